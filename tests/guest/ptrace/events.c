#include "../check.h"
#include <linux/ptrace.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/user.h>

#define PTRACE(request, pid, addr, data) syscall(SYS_ptrace, request, (long)(pid), (long)(addr), (long)(data))

/* Says what a wait status means. */
static void show(const char *who, int status)
{
	if (WIFSTOPPED(status))
		printf("%s: stopped by %d, event %d\n", who, WSTOPSIG(status), status >> 16);
	else if (WIFSIGNALED(status))
		printf("%s: killed by %d\n", who, WTERMSIG(status));
	else if (WIFCONTINUED(status))
		printf("%s: continued\n", who);
	else
		printf("%s: exit %d\n", who, WEXITSTATUS(status));
}

static int next(const char *who, pid_t pid)
{
	int status = -1;
	if (waitpid(pid, &status, __WALL) != pid)
		printf("%s: %s\n", who, errno_name(errno));
	else
		show(who, status);
	return status;
}

static long message(pid_t pid)
{
	unsigned long value = -1;
	CALL(PTRACE(PTRACE_GETEVENTMSG, pid, 0, &value));
	return value;
}

static pid_t make(void (*run)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		PTRACE(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		run();
		_exit(0);
	}
	next("tracee", pid);
	return pid;
}

static pid_t plain(void (*run)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		run();
		_exit(0);
	}
	return pid;
}

static void sleeps(void)
{
	for (;;)
		pause();
}

/* Waits until a process has gone to sleep, or is in another state. */
static void until(pid_t pid, char state)
{
	for (int i = 0; i < 2000; i++) {
		char path[64], line[256] = "";
		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		FILE *file = fopen(path, "r");
		if (file && fgets(line, sizeof line, file)) {
			char *after = strrchr(line, ')');
			fclose(file);
			if (after && after[2] == state)
				return;
		}
		usleep(5000);
	}
	printf("never in state %c\n", state);
}

static void forks(void)
{
	pid_t pid = fork();
	if (!pid)
		_exit(3);
	waitpid(pid, NULL, 0);
	_exit(4);
}

static void fork_event(void)
{
	pid_t pid = make(forks);
	CALL(PTRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXIT));
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("parent", pid);
	pid_t child = message(pid);
	TRUE(child > 0);
	next("child", child);
	siginfo_t info;
	CALL(PTRACE(PTRACE_GETSIGINFO, child, 0, &info));
	printf("signal %d code %d\n", info.si_signo, info.si_code);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	next("child", child);
	printf("status %lx\n", message(child));
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	next("child", child);
	/* The parent gets to know only now. */
	next("parent", pid);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("parent", pid);
	printf("status %lx\n", message(pid));
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("parent", pid);
	CALL(waitpid(child, NULL, __WALL));
}

static void vforks(void)
{
	pid_t pid = vfork();
	if (!pid)
		_exit(3);
	waitpid(pid, NULL, 0);
}

static void vfork_event(void)
{
	pid_t pid = make(vforks);
	CALL(PTRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE));
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("parent", pid);
	pid_t child = message(pid);
	next("child", child);
	CALL(PTRACE(PTRACE_DETACH, child, 0, 0));
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("parent", pid);
	TRUE(message(pid) == child);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("parent, of its child", pid);
	CALL(PTRACE(PTRACE_CONT, pid, 0, SIGCHLD));
	next("parent", pid);
}

static void *ends(void *argument) { return argument; }

static void threads(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, ends, NULL);
	pthread_join(thread, NULL);
	/* The thread tells that it ends before it has. */
	usleep(300000);
	_exit(9);
}

static void clone_event(void)
{
	pid_t pid = make(threads);
	CALL(PTRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE));
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("first", pid);
	pid_t thread = message(pid);
	next("second", thread);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	CALL(PTRACE(PTRACE_CONT, thread, 0, 0));
	next("second", thread);
	next("first", pid);
}

static void executes(void) { execl("/proc/self/exe", "again", NULL); }

static void exec_event(void)
{
	pid_t pid = make(executes);
	CALL(PTRACE(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD));
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("tracee", pid);
	TRUE(message(pid) == pid);
	struct user_regs_struct regs;
	CALL(PTRACE(PTRACE_SYSCALL, pid, 0, 0));
	next("tracee", pid);
	CALL(PTRACE(PTRACE_GETREGS, pid, 0, &regs));
	printf("call %d result %d\n", (int)regs.orig_rax, (int)regs.rax);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("tracee", pid);
	/* Without the option there is a signal. */
	pid = make(executes);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("tracee", pid);
	siginfo_t info;
	CALL(PTRACE(PTRACE_GETSIGINFO, pid, 0, &info));
	printf("signal %d code %d\n", info.si_signo, info.si_code);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("tracee", pid);
}

static void attaches(void)
{
	pid_t pid = plain(sleeps);
	until(pid, 'S');
	CALL(PTRACE(PTRACE_ATTACH, pid, 0, 0));
	next("attached", pid);
	until(pid, 't');
	CALL(PTRACE(PTRACE_ATTACH, pid, 0, 0));
	struct user_regs_struct regs;
	CALL(PTRACE(PTRACE_GETREGS, pid, 0, &regs));
	printf("call %d result %d\n", (int)regs.orig_rax, (int)regs.rax);
	CALL(PTRACE(PTRACE_DETACH, pid, 0, 0));
	until(pid, 'S');
	CALL(kill(pid, SIGTERM));
	next("detached", pid);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
}

static void seizes(void)
{
	pid_t pid = plain(sleeps);
	until(pid, 'S');
	CALL(PTRACE(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
	CALL(PTRACE(PTRACE_GETSIGINFO, pid, 0, NULL));
	CALL(PTRACE(PTRACE_INTERRUPT, pid, 0, 0));
	next("seized", pid);
	siginfo_t info;
	CALL(PTRACE(PTRACE_GETSIGINFO, pid, 0, &info));
	printf("signal %d code %#x\n", info.si_signo, info.si_code);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	until(pid, 'S');
	CALL(kill(pid, SIGSTOP));
	next("seized", pid);
	CALL(PTRACE(PTRACE_CONT, pid, 0, SIGSTOP));
	next("seized", pid);
	CALL(PTRACE(PTRACE_GETSIGINFO, pid, 0, &info));
	printf("signal %d code %#x\n", info.si_signo, info.si_code);
	CALL(PTRACE(PTRACE_LISTEN, pid, 0, 0));
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	CALL(kill(pid, SIGCONT));
	next("seized", pid);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("seized", pid);
	CALL(PTRACE(PTRACE_CONT, pid, 0, SIGCONT));
	until(pid, 'S');
	CALL(PTRACE(PTRACE_INTERRUPT, pid, 0, 0));
	next("seized", pid);
	/* Only a signal that is being delivered can be changed. */
	CALL(PTRACE(PTRACE_DETACH, pid, 0, SIGKILL));
	until(pid, 'S');
	kill(pid, SIGTERM);
	next("seized", pid);
}

static void waits(void)
{
	pid_t pid = make(sleeps);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	until(pid, 'S');
	kill(pid, SIGUSR1);
	siginfo_t info = { 0 };
	CALL(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
	printf("signal %d code %d status %d of %d\n", info.si_signo, info.si_code, info.si_status, info.si_pid == pid);
	CALL(waitid(P_PID, pid, &info, WSTOPPED));
	CALL(waitid(P_PID, pid, &info, WSTOPPED | WNOHANG));
	SHOW(info.si_pid);
	CALL(waitid(P_PID, pid, &info, WEXITED | WNOHANG));
	CALL(kill(pid, SIGKILL));
	next("tracee", pid);
}

/* A tracer that is not the parent is told first. */
static void not_parent(void)
{
	int ready[2], go[2];
	char byte = 0;
	pipe(ready);
	pipe(go);
	pid_t pid = plain(sleeps);
	fflush(stdout);
	pid_t tracer = fork();
	if (!tracer) {
		PTRACE(PTRACE_SEIZE, pid, 0, 0);
		write(ready[1], "", 1);
		read(go[0], &byte, 1);
		next("tracer", pid);
		write(ready[1], "", 1);
		_exit(0);
	}
	read(ready[0], &byte, 1);
	CALL(kill(pid, SIGKILL));
	until(pid, 'Z');
	CALL(waitpid(pid, NULL, WNOHANG));
	write(go[1], "", 1);
	next("parent", pid);
	read(ready[0], &byte, 1);
	next("its tracer", tracer);
}

/* What becomes of tracees when their tracer ends. */
static void tracer_ends(void)
{
	for (int kills = 0; kills < 2; kills++) {
		pid_t pid = plain(sleeps);
		until(pid, 'S');
		fflush(stdout);
		pid_t tracer = fork();
		if (!tracer) {
			PTRACE(PTRACE_SEIZE, pid, 0, kills ? PTRACE_O_EXITKILL : 0);
			PTRACE(PTRACE_INTERRUPT, pid, 0, 0);
			next("tracer", pid);
			fflush(stdout);
			_exit(0);
		}
		next("its tracer", tracer);
		if (!kills) {
			until(pid, 'S');
			kill(pid, SIGTERM);
		}
		next("tracee", pid);
	}
}

static void permissions(void)
{
	pid_t pid = plain(sleeps);
	fflush(stdout);
	pid_t other = fork();
	if (!other) {
		setresuid(1, 1, 1);
		CALL(PTRACE(PTRACE_ATTACH, pid, 0, 0));
		CALL(PTRACE(PTRACE_SEIZE, pid, 0, 0));
		char byte;
		struct iovec range = { &byte, 1 };
		CALL(process_vm_readv(pid, &range, 1, &range, 1, 0));
		fflush(stdout);
		_exit(0);
	}
	next("other", other);
	kill(pid, SIGKILL);
	next("tracee", pid);
}

static void caught(int signal) { (void)signal; }

static void handles(void)
{
	signal(SIGUSR1, caught);
	raise(SIGUSR1);
	_exit(11);
}

static void into_handler(void)
{
	pid_t pid = make(handles);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("tracee", pid);
	CALL(PTRACE(PTRACE_SINGLESTEP, pid, 0, SIGUSR1));
	next("tracee", pid);
	struct user_regs_struct regs;
	CALL(PTRACE(PTRACE_GETREGS, pid, 0, &regs));
	TRUE(regs.rip == (unsigned long)caught);
	SHOW(regs.rdi);
	CALL(PTRACE(PTRACE_CONT, pid, 0, 0));
	next("tracee", pid);
}

int main(int argc, char **argv)
{
	if (!strcmp(argv[0], "again"))
		return 12 + (argc > 9);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
#define RUN(part) printf("-- " #part "\n"), part(), fflush(stdout)
	RUN(fork_event);
	RUN(vfork_event);
	RUN(clone_event);
	RUN(exec_event);
	RUN(attaches);
	RUN(seizes);
	RUN(waits);
	RUN(not_parent);
	RUN(tracer_ends);
	RUN(permissions);
	RUN(into_handler);
	CALL(waitpid(-1, NULL, __WALL));
	return 0;
}
