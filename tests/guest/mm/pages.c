#include "check.h"
#include <linux/mempolicy.h>

/* Pages in another order, and where they are. */
int main(void)
{
	int fd = memfd_create("pages", 0);
	ftruncate(fd, 4 * 4096);
	for (int i = 0; i < 4; i++)
		pwrite(fd, &"abcd"[i], 1, i * 4096);
	char *map = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CALL(remap_file_pages(map, 4096, 0, 3, 0));
	printf("%c %c %c %c\n", map[0], map[4096], map[8192], map[12288]);
	CALL(remap_file_pages(map + 4096, 8192, 0, 2, 0));
	printf("%c %c %c %c\n", map[0], map[4096], map[8192], map[12288]);
	map[0] = 'D';
	char c;
	pread(fd, &c, 1, 3 * 4096);
	printf("%c\n", c);
	CALL(remap_file_pages(map, 4096, PROT_READ, 0, 0));
	CALL(remap_file_pages(map, 0, 0, 0, 0));
	CALL(remap_file_pages((void *)0x1000, 4096, 0, 0, 0));
	CALL(remap_file_pages(map, 1L << 50, 0, 0, 0));
	char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CALL(remap_file_pages(own, 4096, 0, 1, 0));
	/* move_pages, with one node of memory. */
	own[0] = 1;
	void *pages[3] = { own, own + 4096, (void *)0x1000 };
	int nodes[3] = { 0, 0, 0 }, status[3] = { 77, 77, 77 };
	CALL(syscall(SYS_move_pages, 0, 3, pages, NULL, status, 0));
	printf("%d %d %d\n", status[0], status[1], status[2]);
	CALL(syscall(SYS_move_pages, 0, 1, pages, nodes, status, MPOL_MF_MOVE));
	printf("%d\n", status[0]);
	nodes[0] = 500;
	CALL(syscall(SYS_move_pages, 0, 1, pages, nodes, status, MPOL_MF_MOVE));
	CALL(syscall(SYS_move_pages, 0, 1, pages, nodes, status, 0x100));
	CALL(syscall(SYS_move_pages, 4000000, 1, pages, NULL, status, 0));
	CALL(syscall(SYS_move_pages, 0, 1, KERNEL, NULL, status, 0));
	CALL(syscall(SYS_move_pages, 0, 1, pages, NULL, KERNEL, 0));
	CALL(syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
	return 0;
}
