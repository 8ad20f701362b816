// args: '' plain 'two words' "it's"
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

extern char **environ;
static int order[8], orders;
__attribute__((constructor(101))) static void first(void) { order[orders++] = 1; }
__attribute__((constructor(102))) static void second(void) { order[orders++] = 2; }
__attribute__((destructor)) static void last(void) { puts("destructor"); }
static __thread char tls[300] = "thread local";
static __thread int zeroed[1000];
static char bss[32 << 20];
static const int constant = 7;

int main(int argc, char **argv, char **envp)
{
	TRUE(envp == environ);
	SHOW(argc);
	for (int i = 1; i < argc; i++)
		printf("'%s'\n", argv[i]);
	TRUE(argv[argc] == NULL);
	printf("%d %d %d\n", orders, order[0], order[1]);
	puts(tls);
	TRUE(zeroed[0] == 0 && zeroed[999] == 0);
	TRUE(bss[0] == 0 && bss[sizeof bss - 1] == 0);
	bss[sizeof bss / 2] = 1;
	SHOW(getauxval(AT_PAGESZ));
	SHOW(getauxval(AT_CLKTCK));
	SHOW(getauxval(AT_PHENT));
	SHOW(getauxval(AT_UID));
	SHOW(getauxval(AT_SECURE));
	SHOW(getauxval(AT_FLAGS));
	TRUE(getauxval(AT_PHNUM) > 0);
	TRUE(getauxval(AT_RANDOM) != 0);
	TRUE(!strcmp((char *)getauxval(AT_PLATFORM), "x86_64"));
	TRUE(getauxval(AT_ENTRY) != 0);
	TRUE(strstr((char *)getauxval(AT_EXECFN), "start") != NULL);
	TRUE(getauxval(AT_SYSINFO_EHDR) != 0 && !memcmp((char *)getauxval(AT_SYSINFO_EHDR), ELFMAG, 4));
	TRUE(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
	TRUE(((uintptr_t)argv & 7) == 0);
	TRUE(getenv("PATH") != NULL);
	atexit((void (*)(void))last);
	return constant;
}
