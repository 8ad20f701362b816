// machine: --include /bin/true
#include "check.h"
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

/* Every call that takes an address answers EFAULT for one outside the program, in Linux's order of checks. */
int main(void)
{
	scratch();
	put("f", "x");
	int fd = open("f", O_RDWR), p[2];
	pipe(p);
	void *bad[] = { KERNEL, UNMAPPED, (void *)-1, (void *)0x7ffffffff000, (void *)0x800000000000, (void *)(1UL << 63) };
	for (int i = 0; i < 6; i++) {
		void *at = bad[i];
		SHOW(i);
		CALL(syscall(SYS_read, fd, at, 1));
		lseek(fd, 0, SEEK_SET);
		CALL(syscall(SYS_write, fd, at, 1));
		CALL(syscall(SYS_write, p[1], at, 1));
		CALL(syscall(SYS_open, at, O_RDONLY));
		CALL(syscall(SYS_stat, at, at));
		CALL(syscall(SYS_stat, "f", at));
		CALL(syscall(SYS_fstat, fd, at));
		CALL(syscall(SYS_pipe, at));
		CALL(syscall(SYS_uname, at));
		CALL(syscall(SYS_nanosleep, at, NULL));
		CALL(syscall(SYS_rt_sigaction, SIGUSR1, at, NULL, 8));
		CALL(syscall(SYS_rt_sigprocmask, SIG_BLOCK, at, NULL, 8));
		CALL(syscall(SYS_readv, fd, at, 1));
		CALL(syscall(SYS_getcwd, at, 100));
		CALL(syscall(SYS_readlink, "/proc/self/exe", at, 100));
		CALL(syscall(SYS_getrlimit, 0, at));
		CALL(syscall(SYS_prlimit64, 0, 0, at, NULL));
		CALL(syscall(SYS_getrusage, 0, at));
		CALL(syscall(SYS_sysinfo, at));
		CALL(syscall(SYS_times, at) != -1);
		CALL(syscall(SYS_statfs, "f", at));
		CALL(syscall(SYS_clock_gettime, CLOCK_REALTIME, at));
		CALL(syscall(SYS_clock_getres, CLOCK_REALTIME, at));
		CALL(syscall(SYS_epoll_ctl, 99, EPOLL_CTL_ADD, fd, at));
		CALL(syscall(SYS_poll, at, 1, 0));
		CALL(syscall(SYS_select, 1, at, NULL, NULL, NULL));
		CALL(syscall(SYS_futex, at, 0, 0, NULL, NULL, 0));
		CALL(syscall(SYS_getdents64, fd, at, 100));
		CALL(syscall(SYS_execve, at, NULL, NULL));
		CALL(syscall(SYS_execve, "/bin/true", at, NULL));
		CALL(syscall(SYS_getgroups, 70000, at) != -2);
		CALL(syscall(SYS_sendfile, fd, fd, at, 1));
		CALL(syscall(SYS_timer_create, CLOCK_MONOTONIC, at, at));
		CALL(syscall(SYS_setitimer, 0, at, NULL));
		CALL(syscall(SYS_getitimer, 0, at));
		CALL(syscall(SYS_sigaltstack, at, NULL));
		CALL(syscall(SYS_rename, at, "x"));
		CALL(syscall(SYS_mkdir, at, 0));
		CALL(syscall(SYS_unlink, at));
		CALL(syscall(SYS_symlink, "x", at));
		CALL(syscall(SYS_utimensat, AT_FDCWD, at, NULL, 0));
		CALL(syscall(SYS_sched_getparam, 0, at));
		CALL(syscall(SYS_sched_getaffinity, 0, 128, at));
		CALL(syscall(SYS_getresuid, at, at, at));
		CALL(syscall(SYS_wait4, -1, at, 0, NULL));
		CALL(syscall(SYS_getrandom, at, 1, 0));
		CALL(syscall(SYS_statx, AT_FDCWD, "f", 0, 0, at));
		CALL(syscall(SYS_prctl, PR_GET_NAME, at));
		CALL(syscall(SYS_signalfd4, -1, at, 8, 0));
		CALL(syscall(SYS_rt_sigtimedwait, at, NULL, NULL, 8));
		CALL(syscall(SYS_preadv, fd, at, 1, 0, 0));
		CALL(syscall(SYS_memfd_create, at, 0));
		CALL(syscall(SYS_sched_setaffinity, 0, 128, at));
	}
	clean();
	return 0;
}
