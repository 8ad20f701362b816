// build: -z execstack
#include "check.h"

int main(void)
{
	/* mov $42, %eax; ret */
	volatile unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	SHOW(((int (*)(void))code)());
	return 0;
}
