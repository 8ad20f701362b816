#include "check.h"
#include <sys/signalfd.h>

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	printf("signal %d code %d value %d\n", signo - SIGRTMIN, info->si_code, info->si_value.sival_int);
}

int main(void)
{
	sigset_t set;
	siginfo_t info;
	struct timespec now = { 0 }, short_time = { 0, 20000000 }, bad = { 0, -1 };
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	sigfillset(&action.sa_mask);
	for (int i = 0; i < 4; i++)
		sigaction(SIGRTMIN + i, &action, NULL);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Queued, lowest number first, in order. */
	int order[] = { 2, 0, 3, 0, 1, 2, 0 };
	for (int i = 0; i < 7; i++)
		CALL(sigqueue(getpid(), SIGRTMIN + order[i], (union sigval){ .sival_int = i }));
	sigemptyset(&set);
	for (int i = 0; i < 4; i++)
		sigaddset(&set, SIGRTMIN + i);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	CALL(sigtimedwait(&set, &info, &now));
	CALL(sigtimedwait(&set, &info, &short_time));
	CALL(sigtimedwait(&set, &info, &bad));
	raise(SIGUSR1);
	CALL(sigtimedwait(&set, &info, &now));
	TRUE(info.si_signo == SIGUSR1 && info.si_code == SI_TKILL && info.si_pid == getpid());
	kill(getpid(), SIGUSR1);
	CALL(sigwaitinfo(&set, &info));
	TRUE(info.si_code == SI_USER && info.si_pid == getpid() && info.si_uid == getuid());
	sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 77 });
	CALL(sigwaitinfo(&set, &info) == SIGRTMIN);
	SHOW(info.si_value.sival_int);
	CALL(syscall(SYS_rt_sigtimedwait, KERNEL, NULL, NULL, 8));
	CALL(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 7));
	CALL(sigqueue(getpid(), 0, (union sigval){ 0 }));
	CALL(sigqueue(getpid(), 65, (union sigval){ 0 }));
	CALL(sigqueue(999999, SIGUSR1, (union sigval){ 0 }));
	memset(&info, 0, sizeof info);
	info.si_code = SI_USER;
	CALL(syscall(SYS_rt_sigqueueinfo, 1, SIGUSR1, &info));
	info.si_code = -50;
	info.si_value.sival_int = 5;
	CALL(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
	CALL(sigwaitinfo(&set, &info));
	printf("code %d value %d\n", info.si_code, info.si_value.sival_int);
	/* Descriptors that read signals. */
	int fd = CALL(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	struct signalfd_siginfo read_info;
	CALL(read(fd, &read_info, sizeof read_info));
	struct pollfd poll_fd = { fd, POLLIN };
	CALL(poll(&poll_fd, 1, 0));
	sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 123 });
	CALL(poll(&poll_fd, 1, 0));
	CALL(read(fd, &read_info, 10));
	CALL(read(fd, &read_info, sizeof read_info));
	printf("signo %d code %d value %d pid %d\n", read_info.ssi_signo - SIGRTMIN, read_info.ssi_code, read_info.ssi_int,
	       read_info.ssi_pid == (uint32_t)getpid());
	CALL(signalfd(fd, &set, 0));
	CALL(signalfd(-1, &set, 1));
	CALL(signalfd(99, &set, 0));
	CALL(signalfd(0, &set, 0) == -1);
	/* The limit counts a user's signals in all processes, so none at all is the only one that tests can expect. */
	struct rlimit limit = { 0, 0 };
	CALL(setrlimit(RLIMIT_SIGPENDING, &limit));
	CALL(sigqueue(getpid(), SIGRTMIN, (union sigval){ 0 }));
	CALL(kill(getpid(), SIGUSR1));
	return 0;
}
