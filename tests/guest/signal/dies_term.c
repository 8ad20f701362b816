#include "check.h"

int main(void)
{
	puts("before");
	kill(getpid(), SIGTERM);
	for (;;)
		pause();
}
