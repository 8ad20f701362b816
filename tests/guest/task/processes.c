// machine: --include /bin/sh
#include "check.h"

/* What a child leaves. */
static void reap(const char *what, pid_t child, int options)
{
	int status = 0;
	pid_t got = waitpid(child, &status, options);
	printf("%s: %s", what, got == child ? "child" : got == 0 ? "none" : errno_name(errno));
	if (got > 0 && WIFEXITED(status))
		printf(" exited %d", WEXITSTATUS(status));
	if (got > 0 && WIFSIGNALED(status))
		printf(" killed by %d", WTERMSIG(status));
	if (got > 0 && WIFSTOPPED(status))
		printf(" stopped by %d", WSTOPSIG(status));
	if (got > 0 && WIFCONTINUED(status))
		printf(" continued");
	putchar('\n');
}

int main(void)
{
	pid_t child;
	fflush(stdout);
	if ((child = fork()) == 0)
		_exit(7);
	reap("exit", child, 0);
	reap("again", child, 0);
	if ((child = fork()) == 0)
		pause();
	reap("running", child, WNOHANG);
	kill(child, SIGSTOP);
	reap("stopped", child, WUNTRACED);
	kill(child, SIGCONT);
	reap("continued", child, WCONTINUED);
	kill(child, SIGTERM);
	reap("killed", child, 0);
	CALL(waitpid(-1, NULL, 0));
	CALL(waitpid(-1, NULL, 0x1000));
	CALL(wait4(1 << 30, NULL, 0, NULL));
	siginfo_t info;
	if ((child = fork()) == 0)
		_exit(3);
	memset(&info, 0, sizeof info);
	CALL(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
	printf("signo %d code %d status %d pid %d\n", info.si_signo, info.si_code, info.si_status, info.si_pid == child);
	CALL(waitid(P_ALL, 0, &info, WEXITED));
	CALL(waitid(P_ALL, 0, &info, WEXITED));
	CALL(waitid(P_ALL, 0, &info, 0));
	CALL(waitid(9, 0, &info, WEXITED));
	/* vfork lends the memory. */
	volatile int lent = 0;
	if ((child = vfork()) == 0) {
		lent = 1;
		_exit(0);
	}
	SHOW(lent);
	reap("vfork", child, 0);
	/* Descriptors are shared, their flags and the table are not. */
	int p[2];
	pipe(p);
	if ((child = fork()) == 0) {
		close(p[0]);
		write(p[1], "from the child", 14);
		_exit(0);
	}
	close(p[1]);
	char buf[32];
	CALL(read(p[0], buf, 32));
	TEXT(buf, 14);
	CALL(read(p[0], buf, 32));
	reap("writer", child, 0);
	/* Orphans and groups. */
	if ((child = fork()) == 0) {
		setpgid(0, 0);
		if (fork() == 0)
			pause();
		pause();
	}
	setpgid(child, child);
	TRUE(getpgid(child) == child);
	CALL(kill(-child, SIGKILL));
	reap("group", child, 0);
	CALL(kill(child, 0));
	CALL(kill(getpid(), 0));
	CALL(kill(getpid(), 100));
	CALL(setpgid(getpid(), -1));
	CALL(setpgid(999999, 0));
	/* execve replaces everything but the number. */
	if ((child = fork()) == 0) {
		char *argv[] = { "sh", "-c", "exit 42", NULL }, *envp[] = { NULL };
		execve("/bin/sh", argv, envp);
		_exit(1);
	}
	reap("execve", child, 0);
	char *argv[] = { "x", NULL };
	CALL(execve("/nonexistent", argv, NULL));
	CALL(execve("/etc/passwd", argv, NULL));
	CALL(execve("/", argv, NULL));
	CALL(execve(KERNEL, argv, NULL));
	CALL(execve("/bin/sh", KERNEL, NULL));
	return 0;
}
