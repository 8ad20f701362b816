/* Semaphores of System V: values, waiting, undoing, permissions, limits. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

static int op(int id, int num, int change, int flags)
{
	struct sembuf one = { num, change, flags };
	return semop(id, &one, 1);
}

static int child_status(pid_t pid)
{
	int status;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void wait_count(int id, int num, int command, int count)
{
	while (semctl(id, num, command) != count)
		usleep(1000);
}

static void values(int id, int count)
{
	unsigned short all[16];
	semctl(id, 0, GETALL, all);
	for (int i = 0; i < count; i++)
		printf("%d%c", all[i], i + 1 < count ? ' ' : '\n');
}

static void errors(void)
{
	struct sembuf many[501] = { { 0 } };
	struct seminfo info;
	struct semid_ds ds;
	unsigned short all[3] = { 1, 2, 40000 };
	int key = 0x48000000 | getpid();
	CALL(semget(IPC_PRIVATE, -1, 0600));
	CALL(semget(IPC_PRIVATE, 0, 0600));
	CALL(semget(IPC_PRIVATE, 32001, 0600));
	CALL(semget(key, 3, 0));
	int id = semget(key, 3, IPC_CREAT | 0600);
	CALL(semget(key, 4, 0));
	CALL(semget(key, 0, 0) == id);
	CALL(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600));
	CALL(semop(id, many, 0));
	CALL(semop(-1, many, 1));
	CALL(semop(0x7fffffff, many, 1));
	CALL(semop(0x7fffffff, many, 501));
	CALL(semop(0x7fffffff, KERNEL, 1));
	CALL(semop(id, many, 500));
	CALL(op(id, 3, 1, 0));
	CALL(op(id, 0, -1, IPC_NOWAIT));
	CALL(op(id, 0, 32767, 0));
	CALL(op(id, 0, 1, 0));
	CALL(op(id, 0, 0, IPC_NOWAIT));
	CALL(op(id, 1, 20000, SEM_UNDO));
	CALL(op(id, 1, 12767, SEM_UNDO));
	CALL(op(id, 1, -32767, 0));
	CALL(op(id, 1, 1, SEM_UNDO));
	CALL(op(id, 1, 2, SEM_UNDO));
	values(id, 3);
	struct timespec bad = { 0, 1000000000 }, past = { 0, 1 };
	CALL(semtimedop(id, many, 1, &bad));
	CALL(semtimedop(id, many, 1, KERNEL));
	CALL(semtimedop(id, many, 1, &past));
	CALL(semctl(id, 0, SETVAL, -1));
	CALL(semctl(id, 0, SETVAL, 32768));
	CALL(semctl(0x7fffffff, 0, SETVAL, 32768));
	CALL(semctl(id, 3, SETVAL, 1));
	CALL(semctl(id, -1, SETVAL, 1));
	CALL(semctl(id, 3, GETVAL));
	CALL(semctl(id, 2, SETVAL, 7));
	CALL(semctl(id, 2, GETVAL));
	CALL(semctl(id, 2, GETPID) == getpid());
	CALL(semctl(id, 0, SETALL, all));
	CALL(semctl(id, 0, SETALL, KERNEL));
	CALL(semctl(id, 0, GETALL, KERNEL));
	values(id, 3);
	CALL(semctl(id, 0, 99));
	CALL(semctl(-1, 0, GETVAL));
	CALL(semctl(id, 0, -1));
	OK(semctl(0, 0, IPC_INFO, &info));
	printf("%d %d %d %d %d %d %d %d %d %d\n", info.semmap, info.semmni, info.semmns, info.semmnu, info.semmsl, info.semopm,
	       info.semume, info.semusz, info.semvmx, info.semaem);
	OK(semctl(0, 0, SEM_INFO, &info));
	TRUE(info.semusz > 0 && info.semaem >= 3);
	CALL(semctl(id, 0, IPC_STAT, &ds));
	printf("%lu %o %d %d\n", ds.sem_nsems, ds.sem_perm.mode, ds.sem_otime > 0, ds.sem_ctime > 0);
	ds.sem_perm.mode = 0666;
	ds.sem_perm.gid = 5;
	CALL(semctl(id, 0, IPC_SET, &ds));
	CALL(semctl(id & 0x7fff, 0, SEM_STAT, &ds) == id);
	printf("%o %d %d\n", ds.sem_perm.mode, ds.sem_perm.gid, ds.sem_perm.__key == key);
	CALL(semctl(id & 0x7fff, 0, SEM_STAT_ANY, &ds) == id);
	CALL(semctl(id, 0, IPC_RMID));
	CALL(semctl(id, 0, IPC_RMID));
	CALL(semctl(id, 0, GETVAL));
}

static void permissions(void)
{
	int id = semget(IPC_PRIVATE, 1, 0644);
	pid_t pid = fork();
	if (pid == 0) {
		struct semid_ds ds;
		unsigned short all[1] = { 0 };
		setresgid(7, 7, 7);
		setresuid(7, 7, 7);
		CALL(semctl(id, 0, GETVAL));
		CALL(op(id, 0, 0, 0));
		CALL(op(id, 0, 1, 0));
		CALL(op(id, 1, 1, 0));
		CALL(semctl(id, 0, SETVAL, 1));
		CALL(semctl(id, 1, SETVAL, 1));
		CALL(semctl(id, 0, SETALL, KERNEL));
		CALL(semctl(id, 0, IPC_STAT, &ds));
		CALL(semctl(id, 0, IPC_SET, &ds));
		CALL(semctl(id, 0, IPC_RMID));
		exit(0);
	}
	child_status(pid);
	semctl(id, 0, IPC_RMID);
}

static void waiting(void)
{
	int id = semget(IPC_PRIVATE, 3, 0600);
	/* Whole or not at all. */
	struct sembuf both[2] = { { 0, -1, 0 }, { 1, -1, 0 } }, pair[2] = { { 0, 1, 0 }, { 1, -1, IPC_NOWAIT } };
	CALL(semop(id, pair, 2));
	values(id, 3);
	pid_t pid = fork();
	if (pid == 0)
		exit(semop(id, both, 2) ? errno : 0);
	wait_count(id, 0, GETNCNT, 1);
	CALL(semctl(id, 1, GETNCNT));
	CALL(op(id, 0, 1, 0));
	wait_count(id, 1, GETNCNT, 1);
	CALL(semctl(id, 0, GETNCNT));
	values(id, 3);
	CALL(op(id, 1, 2, 0));
	CALL(child_status(pid));
	values(id, 3);
	CALL(semctl(id, 0, GETPID) == pid);
	/* The same semaphore twice. */
	struct sembuf twice[3] = { { 2, 5, 0 }, { 2, -3, 0 }, { 2, -2, 0 } }, not_zero[2] = { { 2, 1, 0 }, { 2, 0, IPC_NOWAIT } };
	CALL(semop(id, twice, 3));
	CALL(semop(id, not_zero, 2));
	values(id, 3);
	/* For zero. */
	semctl(id, 2, SETVAL, 2);
	pid = fork();
	if (pid == 0)
		exit(op(id, 2, 0, 0) ? errno : 0);
	wait_count(id, 2, GETZCNT, 1);
	CALL(op(id, 2, -1, 0));
	CALL(semctl(id, 2, GETZCNT));
	CALL(op(id, 2, -1, 0));
	CALL(child_status(pid));
	/* SETVAL and SETALL wake, too. */
	pid = fork();
	if (pid == 0)
		exit(op(id, 2, -3, 0) ? errno : 0);
	wait_count(id, 2, GETNCNT, 1);
	CALL(semctl(id, 2, SETVAL, 2));
	CALL(semctl(id, 2, SETVAL, 4));
	CALL(child_status(pid));
	values(id, 3);
	pid = fork();
	if (pid == 0)
		exit(op(id, 2, -3, 0) ? errno : 0);
	wait_count(id, 2, GETNCNT, 1);
	unsigned short all[3] = { 4, 5, 6 };
	CALL(semctl(id, 0, SETALL, all));
	CALL(child_status(pid));
	values(id, 3);
	/* Who comes first is served first; a big request is overtaken by a small one. */
	semctl(id, 0, SETVAL, 0);
	pid_t first = fork();
	if (first == 0)
		exit(op(id, 0, -3, 0) ? errno : 0);
	wait_count(id, 0, GETNCNT, 1);
	pid_t second = fork();
	if (second == 0)
		exit(op(id, 0, -1, 0) ? errno : 0);
	wait_count(id, 0, GETNCNT, 2);
	CALL(op(id, 0, 1, 0));
	CALL(child_status(second));
	CALL(semctl(id, 0, GETNCNT));
	CALL(op(id, 0, 3, 0));
	CALL(child_status(first));
	values(id, 3);
	/* Single ones wait behind several at once, and a wake-up goes on to those whom it helps. */
	semctl(id, 0, SETVAL, 0);
	semctl(id, 1, SETVAL, 0);
	struct sembuf move[2] = { { 0, -1, 0 }, { 1, 1, 0 } };
	first = fork();
	if (first == 0)
		exit(op(id, 1, -1, 0) ? errno : 0);
	wait_count(id, 1, GETNCNT, 1);
	second = fork();
	if (second == 0)
		exit(semop(id, move, 2) ? errno : 0);
	wait_count(id, 0, GETNCNT, 1);
	pid_t third = fork();
	if (third == 0)
		exit(op(id, 0, -1, 0) ? errno : 0);
	wait_count(id, 0, GETNCNT, 2);
	CALL(op(id, 0, 1, 0));
	CALL(child_status(first));
	CALL(child_status(second));
	CALL(semctl(id, 0, GETNCNT));
	CALL(op(id, 0, 1, 0));
	CALL(child_status(third));
	values(id, 2);
	/* Time runs out. */
	struct timespec soon = { 0, 50000000 };
	struct sembuf take = { 0, -1, 0 };
	CALL(semtimedop(id, &take, 1, &soon));
	CALL(semctl(id, 0, GETNCNT));
	/* Removed under a waiter. */
	pid = fork();
	if (pid == 0)
		exit(op(id, 0, -1, 0) ? errno : 0);
	wait_count(id, 0, GETNCNT, 1);
	CALL(semctl(id, 0, IPC_RMID));
	printf("%s\n", errno_name(child_status(pid)));
}

static void nothing(int signal)
{
}

static void signals(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);
	pid_t pid = fork();
	if (pid == 0) {
		struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };
		sigaction(SIGUSR1, &action, NULL);
		exit(op(id, 0, -1, 0) ? errno : 0);
	}
	wait_count(id, 0, GETNCNT, 1);
	kill(pid, SIGUSR1);
	printf("%s\n", errno_name(child_status(pid)));
	CALL(semctl(id, 0, GETNCNT));
	semctl(id, 0, IPC_RMID);
}

static int shared_id;

static void *undoes(void *unused)
{
	op(shared_id, 0, 5, SEM_UNDO);
	return NULL;
}

static int clone_child(void *unused)
{
	op(shared_id, 1, 5, SEM_UNDO);
	return 0;
}

static void undoing(void)
{
	int id = shared_id = semget(IPC_PRIVATE, 2, 0600);
	semctl(id, 0, SETVAL, 10);
	pid_t pid = fork();
	if (pid == 0) {
		op(id, 0, -4, SEM_UNDO);
		op(id, 1, 3, SEM_UNDO);
		values(id, 2);
		exit(0);
	}
	child_status(pid);
	values(id, 2);
	CALL(semctl(id, 0, GETPID) == pid);
	/* What somebody else took is not there to be undone: never below zero. */
	pid = fork();
	if (pid == 0) {
		op(id, 0, 5, SEM_UNDO);
		op(id, 0, -12, 0);
		values(id, 2);
		exit(0);
	}
	child_status(pid);
	values(id, 2);
	/* SETVAL forgets what is to be undone. */
	pid = fork();
	if (pid == 0) {
		op(id, 0, 5, SEM_UNDO);
		semctl(id, 0, SETVAL, 1);
		exit(0);
	}
	child_status(pid);
	values(id, 2);
	/* The undoing wakes, and outlives execve but not the process. */
	int done[2];
	pipe(done);
	pid = fork();
	if (pid == 0) {
		op(id, 0, -1, SEM_UNDO);
		dup2(done[0], 0);
		close(done[1]);
		execl("/proc/self/exe", "sem", "wait", NULL);
		_exit(1);
	}
	while (semctl(id, 0, GETVAL) != 0)
		usleep(1000);
	pid_t waiter = fork();
	if (waiter == 0) {
		close(done[1]);
		exit(op(id, 0, -1, 0) ? errno : 0);
	}
	wait_count(id, 0, GETNCNT, 1);
	close(done[1]);
	CALL(child_status(waiter));
	CALL(child_status(pid));
	values(id, 2);
	/* Threads share the list: it is undone when the last one ends. */
	pid = fork();
	if (pid == 0) {
		pthread_t thread;
		pthread_create(&thread, NULL, undoes, NULL);
		pthread_join(thread, NULL);
		values(id, 2);
		exit(0);
	}
	child_status(pid);
	values(id, 2);
	/* So do processes that ask for it; others do not. */
	static char stack[65536];
	pid = clone(clone_child, stack + sizeof stack, CLONE_SYSVSEM | SIGCHLD, NULL);
	child_status(pid);
	values(id, 2);
	pid = clone(clone_child, stack + sizeof stack, SIGCHLD, NULL);
	child_status(pid);
	values(id, 2);
	CALL(unshare(CLONE_SYSVSEM));
	values(id, 2);
	/* Waiting with undo. */
	pid = fork();
	if (pid == 0) {
		op(id, 0, -1, SEM_UNDO);
		exit(0);
	}
	wait_count(id, 0, GETNCNT, 1);
	op(id, 0, 1, 0);
	child_status(pid);
	values(id, 2);
	semctl(id, 0, IPC_RMID);
}

static void proc_line(void)
{
	int id = semget(IPC_PRIVATE, 5, 0640);
	char line[512];
	FILE *file = fopen("/proc/sysvipc/sem", "r");
	fgets(line, sizeof line, file);
	printf("%s", line);
	while (fgets(line, sizeof line, file)) {
		int key, semid, perms, nsems, uid, gid, cuid, cgid;
		unsigned long long otime, ctime;
		int n = sscanf(line, "%d %d %o %u %u %u %u %u %llu %llu", &key, &semid, &perms, &nsems, &uid, &gid, &cuid, &cgid, &otime,
			       &ctime);
		if (semid == id)
			printf("%d %zu: %d %o %d %d %d %d %d %llu %d\n", n, strlen(line), key, perms, nsems, uid, gid, cuid, cgid, otime,
			       ctime > 0);
	}
	fclose(file);
	file = fopen("/proc/sys/kernel/sem", "r");
	printf("%s", fgets(line, sizeof line, file));
	fclose(file);
	semctl(id, 0, IPC_RMID);
}

int main(int argc, char **argv)
{
	char byte;
	/* The other program. */
	if (argc > 1)
		return read(0, &byte, 1);
	errors();
	permissions();
	waiting();
	signals();
	undoing();
	proc_line();
	return 0;
}
