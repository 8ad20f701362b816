#include "check.h"
#include <sys/ucontext.h>

static sigjmp_buf jump;
static char alternate[1 << 16];
static volatile int on_alternate, flags_inside;

static void clobber(int signo)
{
	/* Uses every vector register. */
	volatile double sum = 0;
	for (int i = 1; i < 200; i++)
		sum += 1.0 / i;
	asm volatile("pxor %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15; fninit; fld1" ::: "xmm0", "xmm7", "xmm15");
	(void)signo;
}

static void skip(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	printf("signal %d code %d trap %lld error %lld\n", signo, info->si_code, uc->uc_mcontext.gregs[REG_TRAPNO],
	       uc->uc_mcontext.gregs[REG_ERR]);
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	uc->uc_mcontext.gregs[REG_RBX] = 0x1234;
}

static void stack(int signo)
{
	char here;
	stack_t now;
	on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
	sigaltstack(NULL, &now);
	flags_inside = now.ss_flags;
	stack_t other = { .ss_sp = malloc(8192), .ss_size = 8192 };
	CALL(sigaltstack(&other, NULL));
	(void)signo;
}

static void fault(int signo, siginfo_t *info, void *context)
{
	(void)context;
	printf("signal %d code %d\n", signo, info->si_code);
	siglongjmp(jump, 1);
}

int main(void)
{
	struct sigaction action = { .sa_handler = clobber };
	sigaction(SIGUSR1, &action, NULL);
	double values[3] = { 1.5, 2.5, 3.5 }, after[3];
	long pid = getpid();
	long result;
	asm volatile("movsd (%2), %%xmm1; movsd 8(%2), %%xmm7; movsd 16(%2), %%xmm15; fldl 8(%2);"
		     "mov $10, %%esi; mov %3, %%rdi; mov $62, %%eax; syscall;"
		     "movsd %%xmm1, (%1); movsd %%xmm7, 8(%1); fstpl 16(%1)"
		     : "=&a"(result)
		     : "r"(after), "r"(values), "r"(pid)
		     : "rdi", "rsi", "rcx", "r11", "xmm1", "xmm7", "xmm15", "memory");
	SHOW(result);
	printf("%g %g %g\n", after[0], after[1], after[2]);
	/* A handler that moves the program on. */
	struct sigaction skipper = { .sa_sigaction = skip, .sa_flags = SA_SIGINFO };
	sigaction(SIGILL, &skipper, NULL);
	long rbx = 0;
	asm volatile("ud2; mov %%rbx, %0" : "=r"(rbx)::"rbx");
	SHOW(rbx);
	sigaction(SIGSEGV, &skipper, NULL);
	asm volatile("xor %%eax, %%eax; movb (%%rax), %%bl" ::: "rax", "rbx");
	puts("moved on");
	/* The alternate stack. */
	stack_t ss = { .ss_sp = alternate, .ss_size = sizeof alternate }, old;
	CALL(sigaltstack(&ss, &old));
	SHOW(old.ss_flags);
	action = (struct sigaction){ .sa_handler = stack, .sa_flags = SA_ONSTACK };
	sigaction(SIGUSR2, &action, NULL);
	raise(SIGUSR2);
	SHOW(on_alternate);
	SHOW(flags_inside);
	ss.ss_size = 100;
	CALL(sigaltstack(&ss, NULL));
	ss.ss_flags = 0x40;
	CALL(sigaltstack(&ss, NULL));
	CALL(sigaltstack(KERNEL, NULL));
	ss = (stack_t){ .ss_flags = SS_DISABLE };
	CALL(sigaltstack(&ss, NULL));
	CALL(sigaltstack(NULL, &old));
	SHOW(old.ss_flags);
	raise(SIGUSR2);
	SHOW(on_alternate);
	/* Faults. */
	action = (struct sigaction){ .sa_sigaction = fault, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGTRAP, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	if (!sigsetjmp(jump, 1))
		*(volatile int *)0 = 0;
	volatile int zero = 0, one = 1;
	if (!sigsetjmp(jump, 1))
		one /= zero;
	if (!sigsetjmp(jump, 1))
		asm volatile("ud2");
	if (!sigsetjmp(jump, 1))
		asm volatile("int3");
	if (!sigsetjmp(jump, 1))
		asm volatile("hlt");
	if (!sigsetjmp(jump, 1))
		asm volatile("int $0x55");
	/* Vector exceptions are not among these: QEMU's emulator raises none. */
	/* A fault whose signal is blocked kills anyway: in a child. */
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		sigset_t set;
		sigfillset(&set);
		sigprocmask(SIG_SETMASK, &set, NULL);
		*(volatile int *)0 = 0;
		_exit(0);
	}
	int status;
	waitpid(child, &status, 0);
	SHOW(WTERMSIG(status));
	return 0;
}
