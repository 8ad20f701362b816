#include "../check.h"
#include <elf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/user.h>

#define PTRACE(request, pid, addr, data) syscall(SYS_ptrace, request, (long)(pid), (long)(addr), (long)(data))

static pid_t child;
static volatile long word = 0x1122334455667788;
static const char constant[8] = "constant";

/* Waits for the tracee and says what became of it. */
static int stopped(void)
{
	int status = -1;
	pid_t pid = waitpid(child, &status, __WALL);
	if (pid != child)
		printf("waitpid: %s\n", pid < 0 ? errno_name(errno) : "somebody else");
	else if (WIFSTOPPED(status))
		printf("stopped by %d, event %d\n", WSTOPSIG(status), status >> 16);
	else if (WIFSIGNALED(status))
		printf("killed by %d\n", WTERMSIG(status));
	else
		printf("exit %d\n", WEXITSTATUS(status));
	return status;
}

static void start(void (*run)(void))
{
	fflush(stdout);
	child = fork();
	if (!child) {
		if (PTRACE(PTRACE_TRACEME, 0, 0, 0))
			_exit(98);
		raise(SIGSTOP);
		run();
		_exit(5);
	}
	stopped();
}

static struct user_regs_struct registers(void)
{
	struct user_regs_struct regs;
	memset(&regs, 0, sizeof regs);
	PTRACE(PTRACE_GETREGS, child, 0, &regs);
	return regs;
}

static void show_info(void)
{
	siginfo_t info;
	if (PTRACE(PTRACE_GETSIGINFO, child, 0, &info))
		printf("no information: %s\n", errno_name(errno));
	else
		printf("signal %d code %#x of %s\n", info.si_signo, info.si_code, info.si_pid == child ? "itself" : "another");
}

static void nothing(void) { }

static void errors(void)
{
	CALL(PTRACE(PTRACE_ATTACH, 999999, 0, 0));
	CALL(PTRACE(PTRACE_ATTACH, getpid(), 0, 0));
	CALL(PTRACE(PTRACE_CONT, getpid(), 0, 0));
	start(nothing);
	CALL(PTRACE(PTRACE_ATTACH, child, 0, 0));
	CALL(PTRACE(PTRACE_SEIZE, child, 1, 0));
	CALL(PTRACE(PTRACE_SEIZE, child, 0, 1 << 30));
	CALL(PTRACE(PTRACE_SEIZE, child, 0, 0));
	CALL(PTRACE(9999, child, 0, 0));
	CALL(PTRACE(PTRACE_CONT, child, 0, 65));
	CALL(PTRACE(PTRACE_DETACH, child, 0, -1));
	CALL(PTRACE(PTRACE_SETOPTIONS, child, 0, 1 << 30));
	CALL(PTRACE(PTRACE_INTERRUPT, child, 0, 0));
	CALL(PTRACE(PTRACE_LISTEN, child, 0, 0));
	long value = 0;
	CALL(PTRACE(PTRACE_PEEKDATA, child, UNMAPPED, &value));
	CALL(PTRACE(PTRACE_POKEDATA, child, UNMAPPED, 1));
	CALL(PTRACE(PTRACE_PEEKDATA, child, KERNEL, &value));
	CALL(PTRACE(PTRACE_PEEKDATA, child, &word, KERNEL));
	CALL(PTRACE(PTRACE_PEEKUSR, child, 3, &value));
	CALL(PTRACE(PTRACE_PEEKUSR, child, 10000, &value));
	CALL(PTRACE(PTRACE_POKEUSR, child, offsetof(struct user_regs_struct, cs), 0));
	CALL(PTRACE(PTRACE_POKEUSR, child, offsetof(struct user_regs_struct, fs_base), KERNEL));
	CALL(PTRACE(PTRACE_GETREGS, child, 0, KERNEL));
	CALL(PTRACE(PTRACE_GETSIGMASK, child, 4, &value));
	struct iovec range = { &value, 8 };
	CALL(PTRACE(PTRACE_GETREGSET, child, 77, &range));
	range.iov_len = 7;
	CALL(PTRACE(PTRACE_GETREGSET, child, NT_PRSTATUS, &range));
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
}

static void memory(void)
{
	start(nothing);
	long value = 0;
	CALL(PTRACE(PTRACE_PEEKDATA, child, &word, &value));
	TRUE(value == word);
	CALL(PTRACE(PTRACE_POKEDATA, child, &word, 42));
	CALL(PTRACE(PTRACE_PEEKDATA, child, &word, &value));
	SHOW(value);
	/* Text that nobody may write to becomes the tracee's own. */
	CALL(PTRACE(PTRACE_POKETEXT, child, constant, 0x4141414141414141));
	CALL(PTRACE(PTRACE_PEEKTEXT, child, constant, &value));
	TRUE(value == 0x4141414141414141);
	TEXT(constant, 8);
	char path[64], bytes[8] = "";
	snprintf(path, sizeof path, "/proc/%d/mem", child);
	int fd = open(path, O_RDWR);
	TRUE(fd >= 0);
	CALL(pread(fd, bytes, 8, (long)constant));
	TEXT(bytes, 8);
	CALL(pwrite(fd, "Bonstant", 8, (long)constant));
	CALL(PTRACE(PTRACE_PEEKTEXT, child, constant, &value));
	TEXT(&value, 8);
	CALL(pread(fd, bytes, 8, (long)UNMAPPED));
	close(fd);
	struct iovec here = { bytes, 8 }, there = { (void *)constant, 8 };
	CALL(process_vm_readv(child, &here, 1, &there, 1, 0));
	TEXT(bytes, 8);
	CALL(process_vm_writev(child, &here, 1, &there, 1, 0));
	there.iov_base = (void *)&word;
	CALL(process_vm_writev(child, &here, 1, &there, 1, 0));
	CALL(process_vm_readv(child, &here, 1, &there, 1, 1));
	CALL(process_vm_readv(999999, &here, 1, &there, 1, 0));
	there.iov_base = UNMAPPED;
	CALL(process_vm_readv(child, &here, 1, &there, 1, 0));
	CALL(process_vm_readv(child, &here, 2000, &there, 1, 0));
	int copy = dup(1);
	CALL(syscall(SYS_kcmp, getpid(), child, 0, 1, 1));
	TRUE(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, copy) != 0);
	CALL(syscall(SYS_kcmp, getpid(), getpid(), 0, 1, copy));
	CALL(syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0));
	TRUE(syscall(SYS_kcmp, getpid(), child, 1, 0, 0) > 0);
	CALL(syscall(SYS_kcmp, getpid(), child, 0, 1, 77));
	CALL(syscall(SYS_kcmp, getpid(), 999999, 0, 1, 1));
	CALL(syscall(SYS_kcmp, getpid(), child, 99, 1, 1));
	close(copy);
	CALL(PTRACE(PTRACE_KILL, child, 0, 0));
	stopped();
}

static void show_line(const char *what)
{
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/%d/status", child);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file))
		if (!strncmp(line, what, strlen(what))) {
			if (!strcmp(what, "TracerPid:"))
				printf("TracerPid: %s\n", atoi(line + 10) == getpid() ? "us" : atoi(line + 10) ? "another" : "0");
			else
				fputs(line, stdout);
		}
	if (file)
		fclose(file);
}

static void calls(void)
{
	syscall(SYS_getppid);
	syscall(SYS_dup, 77);
	syscall(SYS_getpgrp, 1, 2, 3, 4, 5, 6);
	if (syscall(SYS_getuid) == 1234)
		_exit(66);
}

static void show_call(void)
{
	struct ptrace_syscall_info info;
	memset(&info, 0, sizeof info);
	long length = PTRACE(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
	printf("length %ld op %d arch %x ip %d sp %d", length, info.op, info.arch, !!info.instruction_pointer, !!info.stack_pointer);
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		printf(" entry %d", (int)info.entry.nr);
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && info.exit.is_error)
		printf(" error %d", (int)info.exit.rval);
	if (info.op == PTRACE_SYSCALL_INFO_SECCOMP)
		printf(" seccomp %d data %d", (int)info.seccomp.nr, info.seccomp.ret_data);
	printf("\n");
}

static void system_calls(void)
{
	start(calls);
	show_line("State:");
	show_line("TracerPid:");
	show_call();
	CALL(PTRACE(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD));
	unsigned long message;
	for (;;) {
		PTRACE(PTRACE_SYSCALL, child, 0, 0);
		int status = stopped();
		if (!WIFSTOPPED(status))
			break;
		show_info();
		show_call();
		struct user_regs_struct regs = registers();
		PTRACE(PTRACE_GETEVENTMSG, child, 0, &message);
		printf("call %d message %ld\n", (int)regs.orig_rax, message);
		if (message == PTRACE_EVENTMSG_SYSCALL_ENTRY) {
			printf("result so far %d, arguments %d %d\n", (int)regs.rax, (int)regs.rdi == 77, regs.r9 == 6);
			if (regs.orig_rax == SYS_dup) {
				/* Left out. */
				regs.orig_rax = -1;
				CALL(PTRACE(PTRACE_SETREGS, child, 0, &regs));
			}
		} else if (regs.orig_rax == SYS_getuid) {
			CALL(PTRACE(PTRACE_POKEUSR, child, offsetof(struct user_regs_struct, rax), 1234));
		}
	}
}

static volatile int handled;
static void handler(int signal) { handled += signal; }

static void signals_itself(void)
{
	signal(SIGUSR1, handler);
	signal(SIGUSR2, SIG_IGN);
	raise(SIGUSR1);
	raise(SIGUSR1);
	raise(SIGUSR2);
	raise(SIGTERM);
	_exit(handled);
}

static void signals(void)
{
	start(signals_itself);
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
	show_info();
	siginfo_t info;
	CALL(PTRACE(PTRACE_GETSIGINFO, child, 0, &info));
	CALL(PTRACE(PTRACE_SETSIGINFO, child, 0, &info));
	/* Delivered, left out, seen although it is ignored, changed. */
	CALL(PTRACE(PTRACE_CONT, child, 0, SIGUSR1));
	stopped();
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
	CALL(PTRACE(PTRACE_CONT, child, 0, SIGUSR2));
	stopped();
	uint64_t mask = 1 << (SIGHUP - 1), old = 0;
	CALL(PTRACE(PTRACE_SETSIGMASK, child, 8, &mask));
	CALL(PTRACE(PTRACE_GETSIGMASK, child, 8, &old));
	SHOW(old);
	kill(child, SIGHUP);
	struct ptrace_peeksiginfo_args args = { 0, PTRACE_PEEKSIGINFO_SHARED, 5 };
	siginfo_t list[5];
	CALL(PTRACE(PTRACE_PEEKSIGINFO, child, &args, list));
	SHOW(list[0].si_signo);
	args.flags = 0;
	CALL(PTRACE(PTRACE_PEEKSIGINFO, child, &args, list));
	args.flags = 4;
	CALL(PTRACE(PTRACE_PEEKSIGINFO, child, &args, list));
	CALL(PTRACE(PTRACE_CONT, child, 0, SIGUSR1));
	stopped();
	start(nothing);
	kill(child, SIGKILL);
	stopped();
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
}

/* Stops by job control while traced. */
static void group_stops(void)
{
	start(nothing);
	CALL(PTRACE(PTRACE_CONT, child, 0, SIGSTOP));
	stopped();
	show_info();
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
}

static void steps(void)
{
	start(nothing);
	int moved = 0;
	for (int i = 0; i < 20; i++) {
		unsigned long before = registers().rip;
		PTRACE(PTRACE_SINGLESTEP, child, 0, 0);
		int status = -1;
		waitpid(child, &status, 0);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			printf("status %x\n", status);
		moved += registers().rip != before;
	}
	SHOW(moved);
	siginfo_t info;
	CALL(PTRACE(PTRACE_GETSIGINFO, child, 0, &info));
	SHOW(info.si_signo);
	TRUE(info.si_code == TRAP_TRACE || info.si_code == TRAP_BRKPT);
	TRUE((registers().eflags & 0x100) == 0);
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
}

static void breaks(void) { asm volatile("nop; int3; nop" ::: "memory"); }

static void breakpoints(void)
{
	start(breaks);
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
	siginfo_t info;
	CALL(PTRACE(PTRACE_GETSIGINFO, child, 0, &info));
	printf("signal %d code %#x\n", info.si_signo, info.si_code);
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
}

static void float_state(void)
{
	start(nothing);
	struct user_fpregs_struct state;
	CALL(PTRACE(PTRACE_GETFPREGS, child, 0, &state));
	printf("control %x mxcsr %x\n", state.cwd, state.mxcsr);
	state.xmm_space[0] = 0x12345678;
	CALL(PTRACE(PTRACE_SETFPREGS, child, 0, &state));
	state.xmm_space[0] = 0;
	struct iovec range = { &state, sizeof state };
	CALL(PTRACE(PTRACE_GETREGSET, child, NT_PRFPREG, &range));
	SHOW(range.iov_len);
	SHOW(state.xmm_space[0]);
	state.mxcsr = 0x80000000;
	CALL(PTRACE(PTRACE_SETFPREGS, child, 0, &state));
	static char big[16384];
	range = (struct iovec){ big, sizeof big };
	CALL(PTRACE(PTRACE_GETREGSET, child, NT_X86_XSTATE, &range));
	TRUE(range.iov_len >= 576 && range.iov_len < sizeof big);
	TRUE((*(uint64_t *)(big + 464) & 3) == 3);
	CALL(PTRACE(PTRACE_SETREGSET, child, NT_X86_XSTATE, &range));
	struct user_regs_struct regs;
	range = (struct iovec){ &regs, sizeof regs + 64 };
	CALL(PTRACE(PTRACE_GETREGSET, child, NT_PRSTATUS, &range));
	SHOW(range.iov_len);
	TRUE(regs.cs == 0x33 && regs.ss == 0x2b && regs.fs_base);
	range.iov_len = 16;
	CALL(PTRACE(PTRACE_SETREGSET, child, NT_PRSTATUS, &range));
	CALL(PTRACE(PTRACE_DETACH, child, 0, 0));
	stopped();
}

static void emulation(void)
{
	start(calls);
	CALL(PTRACE(PTRACE_SYSEMU, child, 0, 0));
	stopped();
	struct user_regs_struct regs = registers();
	SHOW(regs.orig_rax);
	SHOW((int)regs.rax);
	CALL(PTRACE(PTRACE_SYSEMU, child, 0, 0));
	stopped();
	SHOW(registers().orig_rax);
	CALL(PTRACE(PTRACE_CONT, child, 0, SIGKILL));
	stopped();
}

static void filters(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	long first = syscall(SYS_getppid), second = syscall(SYS_getppid);
	_exit(first == 99 && second > 0 ? 7 : 8);
}

static void filter_events(void)
{
	start(filters);
	CALL(PTRACE(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP));
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
	show_info();
	show_call();
	unsigned long message;
	CALL(PTRACE(PTRACE_GETEVENTMSG, child, 0, &message));
	SHOW(message);
	struct user_regs_struct regs = registers();
	regs.orig_rax = -1;
	regs.rax = 99;
	CALL(PTRACE(PTRACE_SETREGS, child, 0, &regs));
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
	CALL(PTRACE(PTRACE_CONT, child, 0, 0));
	stopped();
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
#define RUN(part) printf("-- " #part "\n"), part(), fflush(stdout)
	RUN(errors);
	RUN(memory);
	RUN(system_calls);
	RUN(signals);
	RUN(group_stops);
	RUN(steps);
	RUN(breakpoints);
	RUN(float_state);
	RUN(emulation);
	RUN(filter_events);
	CALL(waitpid(-1, NULL, __WALL));
	return 0;
}
