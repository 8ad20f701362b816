#include "check.h"

#define PAGE 4096UL

int main(void)
{
	scratch();
	char *a = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 4; i++)
		a[i * PAGE] = 'a' + i;
	char *b = MAP(mremap(a, 4 * PAGE, 2 * PAGE, 0));
	TRUE(b == a);
	unsigned char core[8];
	CALL(mincore(a, 4 * PAGE, core));
	CALL(mincore(a, 2 * PAGE, core));
	TRUE((core[0] & 1) && (core[1] & 1));
	b = MAP(mremap(a, 2 * PAGE, 100 * PAGE, MREMAP_MAYMOVE));
	TRUE(b[0] == 'a' && b[PAGE] == 'b' && b[2 * PAGE] == 0);
	char *room = mmap(NULL, 10 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *c = MAP(mremap(b, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + PAGE));
	TRUE(c == room + PAGE && c[0] == 'a' && c[PAGE] == 'b');
	CALL(mincore(b, PAGE, core));
	MAP(mremap(c, 2 * PAGE, 2 * PAGE, MREMAP_FIXED, room));
	MAP(mremap(c + 1, PAGE, PAGE, 0));
	MAP(mremap(c, PAGE, 0, 0));
	MAP(mremap(c, PAGE, PAGE, 0x80));
	MAP(mremap(c, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, c + PAGE));
	MAP(mremap(c, 2 * PAGE, 3 * PAGE, 0));
	MAP(mremap((void *)PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	MAP(mremap(c, 20 * PAGE, 30 * PAGE, MREMAP_MAYMOVE));
	char *d = MAP(mremap(c, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	TRUE(d != c && d[0] == 'a' && c[0] == 0);
	put("f", "file contents");
	int fd = open("f", O_RDWR);
	char *f = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *copy = MAP(mremap(f, 0, PAGE, MREMAP_MAYMOVE));
	copy[0] = 'F';
	TRUE(f[0] == 'F');
	MAP(mremap(d, 0, PAGE, MREMAP_MAYMOVE));
	/* Advice. */
	char *m = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(m, 7, 4 * PAGE);
	CALL(madvise(m, PAGE, MADV_DONTNEED));
	TRUE(m[0] == 0 && m[PAGE] == 7);
	CALL(madvise(m, 4 * PAGE, MADV_WILLNEED));
	CALL(madvise(m, 4 * PAGE, MADV_NORMAL));
	CALL(madvise(m, 4 * PAGE, MADV_RANDOM));
	CALL(madvise(m, 4 * PAGE, MADV_FREE));
	CALL(madvise(m, 4 * PAGE, MADV_DONTFORK));
	CALL(madvise(m, 4 * PAGE, MADV_DONTDUMP));
	CALL(madvise(m, 4 * PAGE, MADV_COLD));
	CALL(madvise(m, 4 * PAGE, MADV_POPULATE_WRITE));
	CALL(madvise(m + 1, PAGE, MADV_NORMAL));
	CALL(madvise(m, 0, MADV_NORMAL));
	CALL(madvise(m, PAGE, 999));
	CALL(munmap(m + PAGE, PAGE));
	CALL(madvise(m, 4 * PAGE, MADV_DONTNEED));
	CALL(madvise(m, 4 * PAGE, MADV_NORMAL));
	CALL(madvise(f, PAGE, MADV_FREE));
	memcpy(f, "XX", 2);
	CALL(madvise(f, PAGE, MADV_DONTNEED));
	TRUE(f[0] == 'X');
	CALL(mincore(m + 1, PAGE, core));
	CALL(mincore(m, PAGE, KERNEL));
	/* Locking. */
	CALL(mlock(m, PAGE));
	CALL(mlock(m + 5, PAGE - 10));
	CALL(munlock(m, PAGE));
	CALL(mlock(m, 4 * PAGE));
	CALL(mlock2(m, PAGE, MLOCK_ONFAULT));
	CALL(syscall(SYS_mlock2, m, PAGE, 8));
	CALL(mlockall(0));
	CALL(mlockall(8));
	CALL(munlockall());
	/* The heap's end. */
	char *start = sbrk(0);
	TRUE(brk(start + 10 * PAGE) == 0);
	start[0] = 1;
	start[10 * PAGE - 1] = 1;
	TRUE(sbrk(0) == start + 10 * PAGE);
	TRUE(brk(start) == 0);
	TRUE((char *)syscall(SYS_brk, 0) == start);
	TRUE((char *)syscall(SYS_brk, 1) == start);
	TRUE((char *)syscall(SYS_brk, -1) == start);
	TRUE(brk(start + PAGE) == 0 && start[0] == 0);
	struct rlimit limit = { PAGE, PAGE };
	setrlimit(RLIMIT_DATA, &limit);
	TRUE(brk(start + 1000 * PAGE) == -1);
	clean();
	return 0;
}
