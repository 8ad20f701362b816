#include "check.h"
#include <asm/prctl.h>
#include <linux/securebits.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/sysinfo.h>

int main(void)
{
	char name[32] = "";
	CALL(prctl(PR_SET_NAME, "a name longer than 15"));
	CALL(prctl(PR_GET_NAME, name));
	TEXT(name, 16);
	CALL(prctl(PR_SET_NAME, KERNEL));
	CALL(prctl(PR_GET_NAME, KERNEL));
	CALL(prctl(PR_GET_DUMPABLE));
	CALL(prctl(PR_SET_DUMPABLE, 0));
	CALL(prctl(PR_GET_DUMPABLE));
	CALL(prctl(PR_SET_DUMPABLE, 2));
	CALL(prctl(PR_SET_DUMPABLE, 1));
	int sig = -1;
	CALL(prctl(PR_SET_PDEATHSIG, SIGUSR1));
	CALL(prctl(PR_GET_PDEATHSIG, &sig));
	SHOW(sig);
	CALL(prctl(PR_SET_PDEATHSIG, 100));
	CALL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	CALL(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
	CALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CALL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	CALL(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CALL(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CALL(prctl(PR_GET_CHILD_SUBREAPER, &sig));
	SHOW(sig);
	CALL(prctl(PR_SET_CHILD_SUBREAPER, 0));
	CALL(prctl(PR_GET_KEEPCAPS));
	CALL(prctl(PR_SET_KEEPCAPS, 1));
	CALL(prctl(PR_GET_KEEPCAPS));
	CALL(prctl(PR_SET_KEEPCAPS, 2));
	CALL(prctl(PR_GET_SECUREBITS));
	CALL(prctl(PR_SET_TIMERSLACK, 12345));
	CALL(prctl(PR_GET_TIMERSLACK));
	CALL(prctl(PR_SET_TIMERSLACK, 0));
	CALL(prctl(PR_GET_TIMERSLACK));
	CALL(prctl(PR_CAPBSET_READ, 999));
	CALL(prctl(PR_GET_TSC, &sig));
	SHOW(sig);
	CALL(prctl(PR_GET_SECCOMP));
	CALL(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	CALL(prctl(9999));
	CALL(prctl(PR_GET_TIMING));
	CALL(prctl(PR_SET_TIMING, 1));
	unsigned long fs = 0, gs = 1;
	CALL(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	TRUE(fs != 0 && *(unsigned long *)fs == fs);
	CALL(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
	SHOW(gs);
	CALL(syscall(SYS_arch_prctl, ARCH_SET_GS, &fs));
	CALL(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
	TRUE(gs == (unsigned long)&fs);
	unsigned long through;
	asm volatile("mov %%gs:0, %0" : "=r"(through));
	TRUE(through == fs);
	CALL(syscall(SYS_arch_prctl, ARCH_SET_GS, KERNEL));
	CALL(syscall(SYS_arch_prctl, ARCH_SET_FS, KERNEL));
	CALL(syscall(SYS_arch_prctl, ARCH_GET_FS, KERNEL));
	CALL(syscall(SYS_arch_prctl, 0x7777, 0));
	CALL(personality(0xffffffff));
	CALL(personality(ADDR_NO_RANDOMIZE));
	CALL(personality(0xffffffff));
	CALL(personality(0));
	struct utsname uts;
	CALL(uname(&uts));
	printf("%s %s\n", uts.sysname, uts.machine);
	CALL(uname(KERNEL));
	struct sysinfo info;
	CALL(sysinfo(&info));
	TRUE(info.mem_unit >= 1 && info.totalram >= info.freeram && info.procs > 0);
	CALL(sysinfo(KERNEL));
	TRUE(gettid() == getpid());
	TRUE(getppid() != getpid());
	CALL(getpgid(-1));
	CALL(getsid(-1));
	CALL(getpgid(999999));
	TRUE(syscall(SYS_set_tid_address, &sig) == gettid());
	CALL(sethostname("x", -1));
	CALL(umask(0123));
	CALL(umask(0));
	CALL(syscall(SYS_getcpu, NULL, NULL, NULL));
	unsigned cpu = 999, node = 999;
	CALL(syscall(SYS_getcpu, &cpu, &node, NULL));
	TRUE(cpu < 999 && node < 999);
	CALL(syscall(SYS_getcpu, KERNEL, NULL, NULL));
	return 0;
}
