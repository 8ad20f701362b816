#include "../check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)
#define SECCOMP(operation, flags, args) syscall(SYS_seccomp, operation, flags, args)
#define FILTER(code) (&(struct sock_fprog){ sizeof(code) / sizeof *(code), code })

/* Answers `answer` for one call, and allows the others. */
static int restrict_call(int number, unsigned answer, int flags)
{
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		ANSWER(answer),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	return SECCOMP(SECCOMP_SET_MODE_FILTER, flags, FILTER(code));
}

static int single(unsigned short code, unsigned k)
{
	struct sock_filter list[] = { { code, 0, 0, k }, ANSWER(SECCOMP_RET_ALLOW) };
	return SECCOMP(SECCOMP_SET_MODE_FILTER, 0, FILTER(list));
}

/* Runs a function in a child, and says how it ended. */
static void in_child(const char *name, void (*run)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		run();
		exit(0);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s: signal %d\n", name, WTERMSIG(status));
	else
		printf("%s: exit %d\n", name, WEXITSTATUS(status));
}
#define CHILD(run) in_child(#run, run)

static void show_status(void)
{
	char line[256];
	FILE *file = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof line, file))
		if (!strncmp(line, "Seccomp", 7) || !strncmp(line, "NoNewPrivs", 10))
			fputs(line, stdout);
	fclose(file);
}

static void arguments(void)
{
	struct sock_filter allow[] = { ANSWER(SECCOMP_RET_ALLOW) };
	CALL(SECCOMP(99, 0, NULL));
	CALL(SECCOMP(SECCOMP_SET_MODE_STRICT, 1, NULL));
	CALL(SECCOMP(SECCOMP_SET_MODE_STRICT, 0, allow));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 1 << 20, FILTER(allow)));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, NULL));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, KERNEL));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER, FILTER(allow)));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, (&(struct sock_fprog){ 0, allow })));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, (&(struct sock_fprog){ BPF_MAXINSNS + 1, allow })));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, (&(struct sock_fprog){ 1, NULL })));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, (&(struct sock_fprog){ 1, KERNEL })));
	CALL(single(BPF_LD | BPF_W | BPF_ABS, 2));
	CALL(single(BPF_LD | BPF_W | BPF_ABS, sizeof(struct seccomp_data)));
	CALL(single(BPF_LD | BPF_H | BPF_ABS, 0));
	CALL(single(BPF_LD | BPF_W | BPF_IND, 0));
	CALL(single(BPF_LD | BPF_MEM, 1));
	CALL(single(BPF_ST, 16));
	CALL(single(BPF_ALU | BPF_DIV | BPF_K, 0));
	CALL(single(BPF_ALU | BPF_MOD | BPF_K, 3));
	CALL(single(BPF_ALU | BPF_LSH | BPF_K, 32));
	CALL(single(BPF_JMP | BPF_JA, 1));
	CALL(single(BPF_RET | BPF_X, 0));
	CALL(single(0x1006, 0));
	struct sock_filter endless[] = { LOAD(nr) };
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, FILTER(endless)));
	unsigned actions[] = { SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
		SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, SECCOMP_RET_TRAP | 1, 0x12340000 };
	for (unsigned i = 0; i < sizeof actions / sizeof *actions; i++)
		CALL(SECCOMP(SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]));
	CALL(SECCOMP(SECCOMP_GET_ACTION_AVAIL, 1, actions));
	CALL(SECCOMP(SECCOMP_GET_ACTION_AVAIL, 0, KERNEL));
	struct seccomp_notif_sizes sizes;
	CALL(SECCOMP(SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
	printf("%d %d %d\n", sizes.seccomp_notif, sizes.seccomp_notif_resp, sizes.seccomp_data);
	CALL(SECCOMP(SECCOMP_GET_NOTIF_SIZES, 0, KERNEL));
	CALL(prctl(PR_SET_SECCOMP, 0));
	CALL(prctl(PR_SET_SECCOMP, 3, FILTER(allow)));
	CALL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL));
	CALL(prctl(PR_GET_SECCOMP));
}

static void privileges(void)
{
	struct sock_filter allow[] = { ANSWER(SECCOMP_RET_ALLOW) };
	CALL(setresuid(1, 1, 1));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, FILTER(allow)));
	CALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, FILTER(allow)));
	CALL(prctl(PR_GET_SECCOMP));
	CALL(SECCOMP(SECCOMP_SET_MODE_STRICT, 0, NULL));
	show_status();
}

static void errors(void)
{
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_ERRNO | EMFILE, 0));
	CALL(getppid());
	/* The newest filter comes first, and the strictest answer counts. */
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_LOG));
	CALL(getppid());
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_SPEC_ALLOW));
	CALL(getppid());
	CALL(restrict_call(SYS_getuid, SECCOMP_RET_ERRNO, 0));
	CALL(getuid());
	CALL(restrict_call(SYS_getpgrp, SECCOMP_RET_ERRNO | 0xffff, 0));
	TRUE(syscall(SYS_getpgrp) == -1 && errno == 4095);
	CALL(restrict_call(SYS_getgid, SECCOMP_RET_LOG, 0));
	CALL(getgid());
	CALL(restrict_call(SYS_getegid, SECCOMP_RET_TRACE | 7, 0));
	CALL(getegid());
	CALL(restrict_call(SYS_geteuid, SECCOMP_RET_USER_NOTIF, 0));
	CALL(geteuid());
	show_status();
	/* A child has them too, and a new program. */
	pid_t pid = fork();
	if (!pid) {
		CALL(getppid());
		show_status();
		execl("/proc/self/exe", "again", NULL);
		_exit(99);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	SHOW(status);
}

static void by_argument(void)
{
	struct sock_filter code[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 0, 5),
		LOAD(args[0]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LD | BPF_MEM, 3),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 200, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_ERRNO | EDOM),
	};
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, FILTER(code)));
	CALL(syscall(SYS_dup, 199));
	CALL(syscall(SYS_dup, 200));
	CALL(syscall(SYS_dup, 0x1c8));
	struct sock_filter divide[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	CALL(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, FILTER(divide)));
	syscall(SYS_dup, 1);
	printf("alive\n");
}

static void *volatile trapped_at;
static void trapped(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	printf("signal %d code %d errno %d call %d arch %x\n", signal, info->si_code, info->si_errno, info->si_syscall,
		info->si_arch);
	TRUE(info->si_call_addr == (void *)regs[REG_RIP]);
	SHOW(regs[REG_RAX]);
	regs[REG_RAX] = 1234;
}

static void traps(void)
{
	struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };
	CALL(sigaction(SIGSYS, &action, NULL));
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_TRAP | 77, 0));
	CALL(syscall(SYS_getppid));
	/* One that is blocked, or has no handler, ends the process. */
	signal(SIGSYS, SIG_IGN);
	syscall(SYS_getppid);
	printf("alive\n");
}

static void kills(void)
{
	signal(SIGSYS, SIG_IGN);
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0));
	syscall(SYS_getppid);
	printf("alive\n");
}

static void kills_only_thread(void)
{
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0));
	syscall(SYS_getppid);
	printf("alive\n");
}

static void unknown(void)
{
	CALL(restrict_call(SYS_getppid, 0x12340000, 0));
	syscall(SYS_getppid);
	printf("alive\n");
}

static void *calls(void *number)
{
	syscall((long)number);
	return NULL;
}

static void kills_thread(void)
{
	pthread_t thread;
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0));
	RET(pthread_create(&thread, NULL, calls, (void *)SYS_getppid));
	/* The thread never says that it ended, but its number goes. */
	for (int i = 0; i < 1000; i++) {
		DIR *dir = opendir("/proc/self/task");
		int count = 0;
		while (readdir(dir))
			count++;
		closedir(dir);
		if (count == 3)
			break;
		usleep(10000);
	}
	printf("the process goes on\n");
	_exit(5);
}

static void strict_ends(void)
{
	CALL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	write(1, "strict\n", 7);
	syscall(SYS_exit, 6);
}

static void strict_kills(void)
{
	CALL(SECCOMP(SECCOMP_SET_MODE_STRICT, 0, NULL));
	syscall(SYS_getpid);
	write(1, "alive\n", 6);
}

static pthread_barrier_t barrier;
static int kept_apart;
static void *waits(void *result)
{
	if (kept_apart)
		restrict_call(SYS_getegid, SECCOMP_RET_ALLOW, 0);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	*(int *)result = getppid() == -1 ? errno : 0;
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void synchronises(void)
{
	pthread_t thread;
	int result = -1;
	pthread_barrier_init(&barrier, NULL, 2);
	RET(pthread_create(&thread, NULL, waits, &result));
	pthread_barrier_wait(&barrier);
	CALL(restrict_call(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	TRUE(result == EXDEV);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	kept_apart = 1;
	RET(pthread_create(&thread, NULL, waits, &result));
	pthread_barrier_wait(&barrier);
	TRUE(restrict_call(SYS_getuid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_TSYNC) > 0);
	CALL(restrict_call(SYS_getuid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}

static void long_chain(void)
{
	static struct sock_filter code[BPF_MAXINSNS];
	for (int i = 0; i < BPF_MAXINSNS; i++)
		code[i] = (struct sock_filter)ANSWER(SECCOMP_RET_ALLOW);
	int count = 0;
	while (SECCOMP(SECCOMP_SET_MODE_FILTER, 0, FILTER(code)) == 0)
		count++;
	printf("%s after %d\n", errno_name(errno), count);
}

int main(int argc, char **argv)
{
	if (!strcmp(argv[0], "again")) {
		CALL(getppid());
		return 7;
	}
	show_status();
	CHILD(arguments);
	CHILD(privileges);
	CHILD(errors);
	CHILD(by_argument);
	CHILD(traps);
	CHILD(kills);
	CHILD(kills_only_thread);
	CHILD(unknown);
	CHILD(kills_thread);
	CHILD(strict_ends);
	CHILD(strict_kills);
	CHILD(synchronises);
	CHILD(long_chain);
	show_status();
	return argc > 9;
}
