// machine: -m 128M
#include "check.h"

/* A limit on the address space answers ENOMEM on both sides, whatever the machine has. */
int main(void)
{
	struct rlimit limit = { 512UL << 20, 512UL << 20 };
	CALL(setrlimit(RLIMIT_AS, &limit));
	MAP(mmap(NULL, 1UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	TRUE(malloc(1UL << 30) == NULL && errno == ENOMEM);
	void *some = MAP(mmap(NULL, 16UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	MAP(mremap(some, 16UL << 20, 1UL << 30, MREMAP_MAYMOVE));
	CALL(munmap(some, 16UL << 20));
	return 0;
}
