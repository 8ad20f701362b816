#include "check.h"

int main(void)
{
	puts("before");
	struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	*(volatile int *)0 = 1;
	puts("after");
	return 0;
}
