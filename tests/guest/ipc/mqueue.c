/* Message queues of POSIX: priorities, waiting on both sides, notices, readiness, limits. */
#include "check.h"
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/mount.h>

static char name[64], buffer[10000];

static int child_status(pid_t pid)
{
	int status;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

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

static void receive(mqd_t q)
{
	unsigned priority = 99;
	long len = mq_receive(q, buffer, sizeof buffer, &priority);
	if (len < 0)
		printf("receive: %s\n", errno_name(errno));
	else
		printf("receive: %ld %u '%.*s'\n", len, priority, (int)len, buffer);
}

static void status(mqd_t q)
{
	struct mq_attr attr;
	int ok = mq_getattr(q, &attr);
	printf("attributes %d: %#lx %ld %ld %ld\n", ok, attr.mq_flags, attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs);
}

/* The status line, with our own number in place of the owner's. */
static void line(mqd_t q)
{
	char text[200] = "", *pid;
	long len = pread(q, text, sizeof text, 0);
	if ((pid = strstr(text, "NOTIFY_PID:"))) {
		int owner = atoi(pid + 11);
		pid[11] = 0;
		printf("%ld %s%s\n", len, text, owner == getpid() ? "us" : owner ? "other" : "0");
	}
}

static int limited(void)
{
	/* As a user: what root may differs with its capabilities. */
	return setresgid(7, 7, 7) || setresuid(7, 7, 7);
}

static void opening(void)
{
	struct mq_attr attr = { .mq_maxmsg = 3, .mq_msgsize = 10 };
	struct stat st;
	char path[300];
	CALL(mq_open(name, O_RDWR));
	CALL(syscall(SYS_mq_open, "", O_RDWR, 0, NULL));
	CALL(syscall(SYS_mq_open, "/x", O_RDWR, 0, NULL));
	CALL(syscall(SYS_mq_open, "a/b", O_RDWR, 0, NULL));
	CALL(syscall(SYS_mq_open, ".", O_RDWR, 0, NULL));
	CALL(syscall(SYS_mq_open, KERNEL, O_RDWR, 0, NULL));
	CALL(syscall(SYS_mq_open, KERNEL, O_RDWR, 0, KERNEL));
	memset(path, 'x', 256);
	path[256] = 0;
	CALL(syscall(SYS_mq_open, path, O_RDWR, 0, NULL));
	CALL(mq_unlink(name));
	umask(022);
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0666, &attr);
	status(q);
	CALL(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0666, &attr));
	CALL(syscall(SYS_mq_open, name + 1, 3, 0, NULL));
	CALL(fcntl(q, F_GETFD));
	CALL(fcntl(q, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	fstat(q, &st);
	printf("%o %ld %ld %d %d\n", st.st_mode, (long)st.st_size, (long)st.st_nlink, st.st_uid, st.st_gid);
	CALL(fchmod(q, 0600));
	fstat(q, &st);
	printf("%o\n", st.st_mode);
	line(q);
	CALL(write(q, "x", 1));
	CALL(mmap(NULL, 4096, PROT_READ, MAP_SHARED, q, 0) == MAP_FAILED ? errno : 0);
	pid_t pid = fork();
	if (pid == 0) {
		limited();
		CALL(mq_open(name, O_RDONLY));
		CALL(mq_open(name, O_CREAT | O_RDONLY, 0600, NULL));
		CALL(mq_unlink(name));
		exit(0);
	}
	child_status(pid);
	CALL(mq_close(q));
	q = mq_open(name, O_RDONLY);
	status(q);
	CALL(mq_send(q, "x", 1, 0));
	CALL(mq_unlink(name));
	CALL(mq_unlink(name));
	status(q);
	fstat(q, &st);
	SHOW(st.st_nlink);
	CALL(mq_close(q));
	CALL(mq_close(q));
	CALL(mq_send(0, "x", 1, 0));
	CALL(mq_receive(0, buffer, 10, NULL));
	CALL(mq_getattr(0, &attr));
	CALL(mq_notify(0, NULL));
	CALL(mq_send(99, "x", 1, 0));
}

static void limits(void)
{
	struct mq_attr attr = { .mq_maxmsg = 3, .mq_msgsize = 10 };
	struct rlimit limit = { 50000, 50000 };
	pid_t pid = fork();
	if (pid == 0) {
		limited();
		attr.mq_maxmsg = 0;
		CALL(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
		attr.mq_maxmsg = -1;
		CALL(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
		attr.mq_maxmsg = 11;
		CALL(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
		attr.mq_maxmsg = 10;
		attr.mq_msgsize = 8193;
		CALL(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
		attr.mq_msgsize = 0;
		CALL(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
		setrlimit(RLIMIT_MSGQUEUE, &limit);
		attr.mq_msgsize = 8192;
		CALL(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
		attr.mq_msgsize = 4096;
		OK(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
		CALL(mq_open("/another", O_RDWR | O_CREAT, 0600, &attr));
		attr.mq_maxmsg = 1;
		OK(mq_open("/another", O_RDWR | O_CREAT, 0600, &attr));
		CALL(mq_unlink("/another"));
		CALL(mq_unlink(name));
		exit(0);
	}
	child_status(pid);
	const char *files[] = { "msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max" };
	for (int i = 0; i < 5; i++) {
		char path[100], text[100];
		sprintf(path, "/proc/sys/fs/mqueue/%s", files[i]);
		FILE *file = fopen(path, "r");
		printf("%s %s", files[i], fgets(text, sizeof text, file));
		fclose(file);
	}
}

static void messages(void)
{
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 10 };
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
	struct timespec past = { 1, 0 }, bad = { 1, -1 }, soon;
	receive(q);
	CALL(mq_receive(q, buffer, 9, NULL));
	CALL(mq_send(q, "12345678901", 11, 0));
	CALL(mq_send(q, "x", 1, 32768));
	CALL(mq_send(99, "x", 1, 32768));
	CALL(mq_timedsend(99, "x", 1, 32768, &bad));
	CALL(mq_timedsend(99, "x", 1, 0, KERNEL) == -1 ? errno : 0);
	CALL(mq_send(q, KERNEL, 1, 0));
	CALL(mq_send(q, "low", 3, 1));
	CALL(mq_send(q, "high", 4, 32767));
	CALL(mq_send(q, "low too", 7, 1));
	CALL(mq_send(q, "", 0, 0));
	CALL(mq_send(q, "full", 4, 0));
	status(q);
	line(q);
	CALL(syscall(SYS_mq_timedreceive, q, KERNEL, 10, NULL, NULL));
	receive(q);
	receive(q);
	receive(q);
	receive(q);
	attr.mq_flags = 0;
	struct mq_attr old;
	CALL(mq_setattr(q, &attr, &old));
	printf("%#lx\n", old.mq_flags);
	attr.mq_flags = O_NONBLOCK | O_APPEND;
	CALL(mq_setattr(q, &attr, NULL));
	status(q);
	CALL(mq_timedreceive(q, buffer, 10, NULL, &past));
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 50000000;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_sec++;
		soon.tv_nsec -= 1000000000;
	}
	CALL(mq_timedreceive(q, buffer, 10, NULL, &soon));
	for (int i = 0; i < 4; i++)
		mq_send(q, "x", 1, 0);
	CALL(mq_timedsend(q, "x", 1, 0, &past));
	CALL(mq_timedreceive(q, buffer, 10, NULL, &past));
	CALL(mq_close(q));
	CALL(mq_unlink(name));
}

static void nothing(int signal)
{
}

static void waiting(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 10 };
	mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
	pid_t pid = fork();
	if (pid == 0) {
		receive(q);
		exit(0);
	}
	sleeps(pid);
	mq_send(q, "hello", 5, 7);
	child_status(pid);
	status(q);
	CALL(mq_send(q, "first", 5, 1));
	pid = fork();
	if (pid == 0)
		exit(mq_send(q, "second", 6, 9) ? errno : 0);
	sleeps(pid);
	receive(q);
	CALL(child_status(pid));
	receive(q);
	/* Signals. */
	struct sigaction action = { .sa_handler = nothing };
	sigaction(SIGUSR1, &action, NULL);
	pid = fork();
	if (pid == 0)
		exit(mq_receive(q, buffer, 10, NULL) < 0 ? errno : 0);
	sleeps(pid);
	kill(pid, SIGUSR1);
	printf("%s\n", errno_name(child_status(pid)));
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, NULL);
	pid = fork();
	if (pid == 0) {
		receive(q);
		exit(0);
	}
	sleeps(pid);
	kill(pid, SIGUSR1);
	usleep(10000);
	mq_send(q, "again", 5, 7);
	child_status(pid);
	mq_close(q);
	mq_unlink(name);
}

static volatile int got, got_code, got_value, got_pid;

static void noticed(int signal, siginfo_t *info, void *context)
{
	got = signal;
	got_code = info->si_code;
	got_value = info->si_value.sival_int;
	got_pid = info->si_pid;
}

static void notices(void)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 10 };
	mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 42 };
	struct sigaction action = { .sa_sigaction = noticed, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR2, &action, NULL);
	CALL(mq_notify(q, &event));
	line(q);
	CALL(mq_notify(q, &event));
	pid_t pid = fork();
	if (pid == 0) {
		CALL(mq_notify(q, &event));
		CALL(mq_notify(q, NULL));
		exit(mq_send(q, "x", 1, 0));
	}
	child_status(pid);
	while (!got)
		usleep(1000);
	TRUE(got == SIGUSR2 && got_code == SI_MESGQ && got_value == 42 && got_pid == pid);
	line(q);
	/* Only what comes into an empty queue counts. */
	got = 0;
	CALL(mq_notify(q, &event));
	mq_send(q, "y", 1, 0);
	SHOW(got);
	receive(q);
	receive(q);
	/* A waiting receiver is served first. */
	pid = fork();
	if (pid == 0) {
		receive(q);
		exit(0);
	}
	sleeps(pid);
	mq_send(q, "z", 1, 0);
	child_status(pid);
	SHOW(got);
	mq_send(q, "z", 1, 0);
	SHOW(got);
	receive(q);
	/* Closing any descriptor ends the registration, as does the end of the process. */
	CALL(mq_notify(q, &event));
	close(dup(q));
	line(q);
	pid = fork();
	if (pid == 0)
		exit(mq_notify(q, &event) ? errno : 0);
	CALL(child_status(pid));
	line(q);
	event.sigev_notify = SIGEV_NONE;
	CALL(mq_notify(q, &event));
	line(q);
	mq_send(q, "z", 1, 0);
	line(q);
	CALL(mq_notify(q, NULL));
	event.sigev_notify = 99;
	CALL(mq_notify(q, &event));
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = 65;
	CALL(mq_notify(q, &event));
	CALL(syscall(SYS_mq_notify, q, KERNEL));
	mq_close(q);
	mq_unlink(name);
}

static void readiness(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 10 };
	mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
	struct pollfd p = { q, POLLIN | POLLOUT };
	CALL(poll(&p, 1, 0));
	printf("%#x\n", p.revents);
	mq_send(q, "x", 1, 0);
	CALL(poll(&p, 1, 0));
	printf("%#x\n", p.revents);
	int e = epoll_create1(0);
	struct epoll_event event = { EPOLLIN, { .u32 = 1 } };
	CALL(epoll_ctl(e, EPOLL_CTL_ADD, q, &event));
	CALL(epoll_wait(e, &event, 1, 0));
	receive(q);
	CALL(epoll_wait(e, &event, 1, 0));
	pid_t pid = fork();
	if (pid == 0) {
		usleep(20000);
		exit(mq_send(q, "y", 1, 0));
	}
	CALL(epoll_wait(e, &event, 1, 10000));
	child_status(pid);
	p.events = POLLOUT;
	pid = fork();
	if (pid == 0) {
		usleep(20000);
		exit(mq_receive(q, buffer, 10, NULL) != 1);
	}
	CALL(poll(&p, 1, 10000));
	CALL(child_status(pid));
	mq_close(q);
	mq_unlink(name);
}

/* The file system shows the queues. */
static void mounted(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 10 };
	struct stat st;
	char text[200] = "", path[200];
	scratch();
	mkdir("m", 0755);
	CALL(mount("none", "m", "mqueue", 0, NULL));
	mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0640, &attr);
	mq_send(q, "12345", 5, 0);
	sprintf(path, "m%s", name);
	CALL(stat(path, &st));
	printf("%o %ld\n", st.st_mode, (long)st.st_size);
	stat("m", &st);
	printf("%o\n", st.st_mode);
	int fd = open(path, O_RDWR | O_NONBLOCK);
	CALL(read(fd, text, sizeof text));
	printf("%s", text);
	CALL(read(fd, text, sizeof text));
	receive(fd);
	close(fd);
	CALL(mkdir("m/dir", 0755));
	CALL(rename(path, "m/other"));
	CALL(access(path, F_OK));
	CALL(unlink("m/other"));
	CALL(unlink(path));
	CALL(mq_open(name, O_RDWR));
	OK(fd = open(path, O_RDWR | O_CREAT, 0600));
	status(fd);
	CALL(mq_unlink(name));
	CALL(access(path, F_OK));
	close(fd);
	CALL(umount("m"));
	clean();
}

int main(void)
{
	sprintf(name, "/hull-guest-%d", getpid());
	opening();
	limits();
	messages();
	waiting();
	notices();
	readiness();
	mounted();
	return 0;
}
