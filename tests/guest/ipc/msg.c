/* Message queues of System V: choosing by type, waiting on both sides, permissions, limits. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>

static struct {
	long type;
	char text[10000];
} m;

static int send(int id, long type, const char *text, int flags)
{
	m.type = type;
	strcpy(m.text, text);
	return msgsnd(id, &m, strlen(text), flags);
}

static void receive(int id, long type, int room, int flags)
{
	memset(&m, 0, sizeof m);
	long len = msgrcv(id, &m, room, type, flags);
	if (len < 0)
		printf("receive %ld %#x: %s\n", type, flags, errno_name(errno));
	else
		printf("receive %ld %#x: %ld %ld '%s'\n", type, flags, len, m.type, m.text);
}

static int child_status(pid_t pid)
{
	int status;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Waits until a child sleeps. */
static void sleeps(pid_t pid)
{
	char path[64], line[512];
	sprintf(path, "/proc/%d/stat", pid);
	for (;;) {
		FILE *file = fopen(path, "r");
		char *end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
		fclose(file);
		if (end && end[2] == 'S')
			return;
		usleep(1000);
	}
}

static void status(int id)
{
	struct msqid_ds ds;
	msgctl(id, IPC_STAT, &ds);
	printf("%o: %lu messages, %lu bytes of %lu, times %d %d %d, %d %d\n", ds.msg_perm.mode, ds.msg_qnum, ds.__msg_cbytes,
	       ds.msg_qbytes, ds.msg_stime > 0, ds.msg_rtime > 0, ds.msg_ctime > 0, ds.msg_lspid == getpid(),
	       ds.msg_lrpid == getpid());
}

static void errors(void)
{
	struct msqid_ds ds;
	struct msginfo info;
	int key = 0x48000000 | getpid();
	CALL(msgget(key, 0));
	int id = msgget(key, IPC_CREAT | 0600);
	CALL(msgget(key, 0) == id);
	CALL(msgget(key, IPC_CREAT | IPC_EXCL));
	m.type = 0;
	CALL(msgsnd(id, &m, 1, 0));
	m.type = 1;
	CALL(msgsnd(id, &m, 8193, 0));
	CALL(msgsnd(id, &m, -1, 0));
	CALL(msgsnd(-1, &m, 1, 0));
	CALL(msgsnd(0x7fffffff, &m, 1, 0));
	CALL(msgsnd(-1, KERNEL, 1, 0));
	CALL(msgrcv(id, &m, -1, 0, IPC_NOWAIT));
	CALL(msgrcv(-1, &m, 1, 0, IPC_NOWAIT));
	CALL(msgrcv(id, &m, 1, 0, IPC_NOWAIT));
	CALL(msgrcv(0x7fffffff, &m, 1, 0, IPC_NOWAIT));
	CALL(msgrcv(id, &m, 1, 0, MSG_COPY));
	CALL(msgrcv(id, &m, 1, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT));
	CALL(msgctl(-1, IPC_STAT, &ds));
	CALL(msgctl(id, -1, &ds));
	CALL(msgctl(id, 99, &ds));
	CALL(msgctl(id, IPC_STAT, KERNEL));
	CALL(msgctl(0x7fffffff, IPC_SET, KERNEL));
	CALL(msgctl(0x7fffffff, IPC_RMID, NULL));
	status(id);
	CALL(send(id, 1, "lost", 0));
	CALL(msgrcv(id, KERNEL, 10, 0, IPC_NOWAIT));
	status(id);
	OK(msgctl(0, IPC_INFO, (void *)&info));
	printf("%d %d %d %d %d %d %d %d\n", info.msgpool, info.msgmap, info.msgmax, info.msgmnb, info.msgmni, info.msgssz,
	       info.msgtql, info.msgseg);
	send(id, 1, "12345", 0);
	OK(msgctl(0, MSG_INFO, (void *)&info));
	TRUE(info.msgpool > 0 && info.msgmap > 0 && info.msgtql >= 5);
	CALL(msgctl(id & 0x7fff, MSG_STAT, &ds) == id);
	CALL(msgctl(id & 0x7fff, MSG_STAT_ANY, &ds) == id);
	CALL(msgctl(id, IPC_RMID, NULL));
	CALL(msgctl(id, IPC_RMID, NULL));
	CALL(msgrcv(id, &m, 1, 0, IPC_NOWAIT));
}

static void choosing(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	send(id, 5, "five", 0);
	send(id, 3, "three", 0);
	send(id, 7, "seven", 0);
	send(id, 3, "three again", 0);
	send(id, 1, "", 0);
	status(id);
	receive(id, 0, 100, MSG_COPY | IPC_NOWAIT);
	receive(id, 2, 100, MSG_COPY | IPC_NOWAIT);
	receive(id, 9, 100, MSG_COPY | IPC_NOWAIT);
	receive(id, 2, 3, MSG_COPY | IPC_NOWAIT);
	receive(id, 2, 3, MSG_COPY | MSG_NOERROR | IPC_NOWAIT);
	receive(id, 3, 100, 0);
	receive(id, 4, 100, IPC_NOWAIT);
	receive(id, -4, 100, IPC_NOWAIT);
	receive(id, -4, 100, IPC_NOWAIT);
	receive(id, -4, 100, IPC_NOWAIT);
	receive(id, 5, 100, MSG_EXCEPT | IPC_NOWAIT);
	receive(id, 5, 100, MSG_EXCEPT | IPC_NOWAIT);
	receive(id, 0, 2, IPC_NOWAIT);
	receive(id, 0, 2, MSG_NOERROR | IPC_NOWAIT);
	receive(id, LONG_MIN, 2, IPC_NOWAIT);
	status(id);
	msgctl(id, IPC_RMID, NULL);
}

static void waiting(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	struct msqid_ds ds;
	/* A receiver gets what it wants, past others; one without room hears of it and the message stays. */
	pid_t one = fork();
	if (one == 0) {
		receive(id, 2, 100, 0);
		exit(0);
	}
	sleeps(one);
	CALL(send(id, 1, "not for you", 0));
	send(id, 2, "for you", 0);
	child_status(one);
	status(id);
	receive(id, 0, 100, IPC_NOWAIT);
	one = fork();
	if (one == 0) {
		receive(id, 0, 3, 0);
		exit(0);
	}
	sleeps(one);
	send(id, 1, "too long", 0);
	child_status(one);
	status(id);
	receive(id, 0, 100, IPC_NOWAIT);
	one = fork();
	if (one == 0) {
		receive(id, 0, 3, MSG_NOERROR);
		exit(0);
	}
	sleeps(one);
	send(id, 1, "too long", 0);
	child_status(one);
	status(id);
	/* A full queue. */
	msgctl(id, IPC_STAT, &ds);
	ds.msg_qbytes = 8;
	CALL(msgctl(id, IPC_SET, &ds));
	for (int i = 0; i < 8; i++)
		send(id, 1, "", IPC_NOWAIT);
	CALL(send(id, 1, "", IPC_NOWAIT));
	receive(id, 0, 10, 0);
	CALL(send(id, 2, "123456789", IPC_NOWAIT));
	CALL(send(id, 2, "12345678", IPC_NOWAIT));
	one = fork();
	if (one == 0)
		exit(send(id, 3, "x", 0) ? errno : 0);
	sleeps(one);
	receive(id, 1, 10, 0);
	status(id);
	receive(id, 2, 10, 0);
	CALL(child_status(one));
	receive(id, 3, 10, 0);
	status(id);
	CALL(send(id, 2, "12345678", IPC_NOWAIT));
	one = fork();
	if (one == 0)
		exit(send(id, 3, "x", 0) ? errno : 0);
	sleeps(one);
	ds.msg_qbytes = 16;
	CALL(msgctl(id, IPC_SET, &ds));
	CALL(child_status(one));
	/* Removed under those who wait. */
	CALL(send(id, 2, "1234567", IPC_NOWAIT));
	one = fork();
	if (one == 0)
		exit(send(id, 3, "x", 0) ? errno : 0);
	pid_t two = fork();
	if (two == 0)
		exit(msgrcv(id, &m, 10, 99, 0) < 0 ? errno : 0);
	sleeps(one);
	sleeps(two);
	CALL(msgctl(id, IPC_RMID, NULL));
	printf("%s\n", errno_name(child_status(one)));
	printf("%s\n", errno_name(child_status(two)));
}

static void nothing(int signal)
{
}

static void signals(void)
{
	int id = msgget(IPC_PRIVATE, 0600);
	pid_t pid = fork();
	if (pid == 0) {
		struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };
		sigaction(SIGUSR1, &action, NULL);
		exit(msgrcv(id, &m, 10, 0, 0) < 0 ? errno : 0);
	}
	sleeps(pid);
	kill(pid, SIGUSR1);
	printf("%s\n", errno_name(child_status(pid)));
	/* A stop is no reason to fail. */
	pid = fork();
	if (pid == 0) {
		receive(id, 0, 10, 0);
		exit(0);
	}
	sleeps(pid);
	kill(pid, SIGSTOP);
	int status;
	waitpid(pid, &status, WUNTRACED);
	kill(pid, SIGCONT);
	send(id, 4, "go on", 0);
	CALL(child_status(pid));
	msgctl(id, IPC_RMID, NULL);
}

static void permissions(void)
{
	int id = msgget(IPC_PRIVATE, 0644);
	send(id, 1, "x", 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct msqid_ds ds;
		setresgid(7, 7, 7);
		setresuid(7, 7, 7);
		CALL(send(id, 1, "x", 0));
		receive(id, 0, 10, IPC_NOWAIT);
		CALL(msgctl(id, IPC_STAT, &ds));
		CALL(msgctl(id, IPC_SET, &ds));
		CALL(msgctl(id, IPC_RMID, NULL));
		int own = msgget(IPC_PRIVATE, 0600);
		msgctl(own, IPC_STAT, &ds);
		ds.msg_qbytes = 16385;
		CALL(msgctl(own, IPC_SET, &ds));
		ds.msg_qbytes = 16384;
		ds.msg_perm.mode = 0;
		CALL(msgctl(own, IPC_SET, &ds));
		CALL(send(own, 1, "x", 0));
		CALL(msgctl(own, IPC_STAT, &ds));
		CALL(msgctl(own, IPC_RMID, NULL));
		exit(0);
	}
	child_status(pid);
	msgctl(id, IPC_RMID, NULL);
}

static void proc_line(void)
{
	int id = msgget(IPC_PRIVATE, 0640);
	char line[512];
	send(id, 1, "abc", 0);
	FILE *file = fopen("/proc/sysvipc/msg", "r");
	fgets(line, sizeof line, file);
	printf("%s", line);
	while (fgets(line, sizeof line, file)) {
		int key, msqid, perms, lspid, lrpid, uid, gid, cuid, cgid;
		unsigned long bytes, count;
		unsigned long long stime, rtime, ctime;
		int n = sscanf(line, "%d %d %o %lu %lu %u %u %u %u %u %u %llu %llu %llu", &key, &msqid, &perms, &bytes, &count, &lspid,
			       &lrpid, &uid, &gid, &cuid, &cgid, &stime, &rtime, &ctime);
		if (msqid == id)
			printf("%d %zu: %d %o %lu %lu %d %d %d %d %d %d %d %llu %d\n", n, strlen(line), key, perms, bytes, count,
			       lspid == getpid(), lrpid, uid, gid, cuid, cgid, stime > 0, rtime, ctime > 0);
	}
	fclose(file);
	msgctl(id, IPC_RMID, NULL);
}

int main(void)
{
	errors();
	choosing();
	waiting();
	signals();
	permissions();
	proc_line();
	return 0;
}
