#include "check.h"

static volatile sig_atomic_t count, last, depth, deepest;
static volatile sigset_t inside;

static void caught(int signo)
{
	last = signo;
	count++;
	if (++depth > deepest)
		deepest = depth;
	sigprocmask(SIG_BLOCK, NULL, (sigset_t *)&inside);
	if (signo == SIGUSR1 && count == 1)
		raise(SIGUSR2);
	if (signo == SIGUSR1 && count < 3)
		raise(SIGUSR1);
	depth--;
}

int main(void)
{
	struct sigaction action = { .sa_handler = caught }, old;
	sigset_t set, pending;
	CALL(sigaction(SIGUSR1, &action, NULL));
	CALL(sigaction(SIGUSR2, &action, &old));
	TRUE(old.sa_handler == SIG_DFL);
	CALL(raise(SIGUSR1));
	SHOW(count);
	SHOW(deepest);
	TRUE(sigismember((sigset_t *)&inside, SIGUSR1));
	CALL(sigprocmask(SIG_BLOCK, NULL, &set));
	TRUE(!sigismember(&set, SIGUSR1));
	action.sa_flags = SA_NODEFER | SA_RESETHAND;
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGTERM);
	CALL(sigaction(SIGUSR2, &action, NULL));
	CALL(raise(SIGUSR2));
	TRUE(!sigismember((sigset_t *)&inside, SIGUSR2) && sigismember((sigset_t *)&inside, SIGTERM));
	CALL(sigaction(SIGUSR2, NULL, &old));
	TRUE(old.sa_handler == SIG_DFL);
	SHOW(old.sa_flags & (SA_NODEFER | SA_RESETHAND));
	CALL(sigaction(SIGKILL, &action, NULL));
	CALL(sigaction(SIGSTOP, &action, NULL));
	CALL(sigaction(SIGKILL, NULL, &old));
	CALL(sigaction(0, &action, NULL));
	CALL(sigaction(65, &action, NULL));
	CALL(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
	CALL(syscall(SYS_rt_sigaction, SIGUSR1, KERNEL, NULL, 8));
	CALL(syscall(SYS_rt_sigaction, SIGUSR1, NULL, KERNEL, 8));
	/* Blocked signals wait, once each. */
	count = 5;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CALL(sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	raise(SIGUSR1);
	CALL(sigpending(&pending));
	TRUE(sigismember(&pending, SIGUSR1));
	SHOW(count);
	CALL(sigprocmask(SIG_UNBLOCK, &set, NULL));
	SHOW(count);
	CALL(sigprocmask(77, &set, NULL));
	CALL(syscall(SYS_rt_sigprocmask, 77, NULL, NULL, 8));
	CALL(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4));
	CALL(syscall(SYS_rt_sigprocmask, SIG_BLOCK, KERNEL, NULL, 8));
	CALL(syscall(SYS_rt_sigpending, KERNEL, 8));
	CALL(syscall(SYS_rt_sigpending, &pending, 9));
	sigfillset(&set);
	CALL(sigprocmask(SIG_SETMASK, &set, NULL));
	CALL(sigprocmask(SIG_SETMASK, NULL, &set));
	TRUE(!sigismember(&set, SIGKILL) && !sigismember(&set, SIGSTOP) && sigismember(&set, SIGTERM));
	sigemptyset(&set);
	CALL(sigprocmask(SIG_SETMASK, &set, NULL));
	/* An ignored signal is gone, even if it waited. */
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	signal(SIGUSR1, SIG_IGN);
	sigpending(&pending);
	TRUE(!sigismember(&pending, SIGUSR1));
	/* SIGCHLD, SIGWINCH, SIGURG and SIGCONT are harmless by default. */
	CALL(raise(SIGCHLD));
	CALL(raise(SIGWINCH));
	CALL(raise(SIGURG));
	CALL(raise(SIGCONT));
	CALL(syscall(SYS_tgkill, getpid(), gettid(), 0));
	CALL(syscall(SYS_tgkill, getpid(), 999999, 0));
	CALL(syscall(SYS_tgkill, 0, gettid(), 0));
	CALL(syscall(SYS_tkill, gettid(), 65));
	CALL(syscall(SYS_tkill, -1, 0));
	return 0;
}
