#include "check.h"
#include <linux/capability.h>
#include <sys/inotify.h>
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* Processes by descriptor; programs by descriptor; capabilities; names of the machine; what rseq and others refuse. */
static int handled;
static void handler(int sig, siginfo_t *info, void *context)
{
	handled = sig * 1000 + info->si_code;
}

int main(int argc, char **argv)
{
	int status;
	if (argc > 1) {
		printf("started again: %s %s\n", argv[1], getenv("WHAT") ?: "none");
		return 6;
	}
	/* pidfd_open, pidfd_send_signal. */
	CALL(syscall(SYS_pidfd_open, 0, 0));
	CALL(syscall(SYS_pidfd_open, -5, 0));
	CALL(syscall(SYS_pidfd_open, 4000000, 0));
	CALL(syscall(SYS_pidfd_open, getpid(), 1));
	int self = OK(syscall(SYS_pidfd_open, getpid(), 0));
	CALL(fcntl(self, F_GETFD));
	CALL(read(self, &status, 4));
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR1, &sa, NULL);
	CALL(syscall(SYS_pidfd_send_signal, self, SIGUSR1, NULL, 0));
	SHOW(handled);
	siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_QUEUE };
	CALL(syscall(SYS_pidfd_send_signal, self, SIGUSR1, &info, 0));
	SHOW(handled);
	CALL(syscall(SYS_pidfd_send_signal, self, SIGUSR2, &info, 0));
	CALL(syscall(SYS_pidfd_send_signal, self, SIGUSR1, KERNEL, 0));
	CALL(syscall(SYS_pidfd_send_signal, self, 0, NULL, 0));
	CALL(syscall(SYS_pidfd_send_signal, self, 65, NULL, 0));
	CALL(syscall(SYS_pidfd_send_signal, self, 0, NULL, 0x100));
	CALL(syscall(SYS_pidfd_send_signal, 1, 0, NULL, 0));
	CALL(syscall(SYS_pidfd_send_signal, 99, 0, NULL, 0));
	pid_t child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	int fd = OK(syscall(SYS_pidfd_open, child, 0));
	struct pollfd p = { fd, POLLIN };
	CALL(poll(&p, 1, 0));
	CALL(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
	CALL(poll(&p, 1, 5000));
	SHOW(p.revents);
	CALL(waitid(P_PIDFD, fd, &info, WEXITED));
	SHOW(info.si_status);
	CALL(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	/* execveat. */
	char *args[] = { "again", "one", NULL }, *env[] = { "WHAT=this", NULL };
	int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	fflush(stdout);
	if (!(child = fork())) {
		syscall(SYS_execveat, exe, "", args, env, AT_EMPTY_PATH);
		_exit(errno);
	}
	waitpid(child, &status, 0);
	SHOW(status >> 8);
	CALL(syscall(SYS_execveat, exe, "", args, env, 0));
	CALL(syscall(SYS_execveat, AT_FDCWD, "/none", args, env, 0));
	CALL(syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", args, env, AT_SYMLINK_NOFOLLOW));
	CALL(syscall(SYS_execveat, 99, "x", args, env, 0));
	CALL(syscall(SYS_execveat, exe, "x", args, env, 0));
	CALL(syscall(SYS_execveat, AT_FDCWD, "/dev/null", args, env, 0));
	CALL(syscall(SYS_execveat, AT_FDCWD, "/", args, env, 0));
	CALL(syscall(SYS_execveat, exe, "", args, env, AT_EMPTY_PATH | 1));
	CALL(syscall(SYS_execveat, AT_FDCWD, KERNEL, args, env, 0));
	/* capget and capset: what is given up does not come back. */
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2], less[2];
	CALL(syscall(SYS_capget, &head, caps));
	memcpy(less, caps, sizeof caps);
	CALL(syscall(SYS_capset, &head, caps));
	less[0].effective &= ~(1u << CAP_CHOWN);
	CALL(syscall(SYS_capset, &head, less));
	CALL(syscall(SYS_capset, &head, caps));
	less[0].effective &= ~(1u << CAP_CHOWN);
	less[0].permitted &= ~(1u << CAP_CHOWN);
	CALL(syscall(SYS_capset, &head, less));
	CALL(syscall(SYS_capset, &head, caps));
	less[0].effective |= 1u << CAP_CHOWN;
	CALL(syscall(SYS_capset, &head, less));
	CALL(syscall(SYS_capset, &head, KERNEL));
	CALL(syscall(SYS_capset, KERNEL, caps));
	head.pid = 1 << 21;
	CALL(syscall(SYS_capset, &head, less));
	head.pid = 0;
	head.version = 77;
	CALL(syscall(SYS_capset, &head, less));
	printf("%x\n", head.version);
	/* Groups. */
	TRUE(syscall(SYS_getpgrp) == getpgid(0));
	/* A domain's name: refused only, for on Linux it is everybody's. */
	CALL(syscall(SYS_setdomainname, "x", -1));
	CALL(syscall(SYS_setdomainname, "x", 65));
	CALL(syscall(SYS_setdomainname, KERNEL, 5));
	/* The C library has registered its own area. */
	static _Alignas(32) char area[32];
	CALL(syscall(SYS_rseq, area, 32, 0, 0x12345678) == 0);
	CALL(syscall(SYS_rseq, area, 31, 0, 1));
	CALL(syscall(SYS_rseq, area + 1, 32, 0, 1));
	CALL(syscall(SYS_rseq, area, 32, 1, 1));
	CALL(syscall(SYS_rseq, area, 32, 2, 1));
	/* The first inotify call has no flags. */
	int notify = OK(syscall(SYS_inotify_init));
	CALL(fcntl(notify, F_GETFD));
	CALL(fcntl(notify, F_GETFL));
	OK(inotify_add_watch(notify, "/", IN_CREATE));
	CALL(inotify_add_watch(notify, "/none", IN_CREATE));
	CALL(inotify_add_watch(notify, "/", 0));
	return 0;
}
