#include "check.h"

static int deep(int n)
{
	volatile char block[1024];
	block[0] = n;
	return n ? deep(n - 1) + block[0] - n % 128 % 256 + 0 * block[0] : 0;
}

static sigjmp_buf jump;
static char alternate[65536];

static void caught(int signo)
{
	siglongjmp(jump, signo);
}

static volatile int depth;

static void forever(void)
{
	volatile char block[4096];
	block[0] = depth++;
	forever();
	block[1] = 0;
}

int main(void)
{
	deep(4000);
	puts("4 MB of stack");
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
	CALL(sigaltstack(&stack, NULL));
	struct sigaction action = { .sa_handler = caught, .sa_flags = SA_ONSTACK };
	sigaction(SIGSEGV, &action, NULL);
	struct rlimit limit;
	getrlimit(RLIMIT_STACK, &limit);
	SHOW(limit.rlim_cur);
	if (sigsetjmp(jump, 1) == 0)
		forever();
	TRUE(depth > 1900 && depth < 2100);
	limit.rlim_cur = 1 << 20;
	setrlimit(RLIMIT_STACK, &limit);
	/* A gap below the stack is no stack. */
	char *near = (char *)&limit;
	if (sigsetjmp(jump, 1) == 0) {
		*(volatile char *)(near - (512UL << 20)) = 1;
		puts("wrote far below");
	} else {
		puts("far below is not the stack");
	}
	return 0;
}
