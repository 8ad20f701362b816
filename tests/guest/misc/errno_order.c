#include "check.h"
#include <sys/ioctl.h>

/* Several things are wrong at once: Linux says which is seen first. */
int main(void)
{
	scratch();
	put("f", "x");
	int ro = open("f", O_RDONLY), dir = open(".", O_RDONLY), p[2];
	pipe(p);
	CALL(read(99, KERNEL, 1));
	CALL(write(ro, KERNEL, 1));
	CALL(write(99, NULL, 0));
	CALL(write(ro, NULL, 0));
	CALL(read(dir, KERNEL, 1));
	CALL(pread(99, KERNEL, 1, -1));
	CALL(pread(p[0], KERNEL, 1, -1));
	CALL(lseek(99, 0, 99));
	CALL(lseek(p[0], 0, 99));
	CALL(ftruncate(99, -1));
	CALL(ftruncate(ro, -1));
	CALL(truncate("none", -1));
	CALL(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, 99, 1) == MAP_FAILED);
	CALL(syscall(SYS_mmap, NULL, 0, PROT_READ, MAP_PRIVATE, 99, 0));
	CALL(syscall(SYS_mmap, NULL, 4096, PROT_READ, 0, 99, 0));
	CALL(syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, 99, 1));
	CALL(open(KERNEL, O_CREAT | O_DIRECTORY));
	CALL(open("", O_CREAT));
	CALL(openat(99, "", O_RDONLY));
	CALL(openat(99, KERNEL, O_RDONLY));
	CALL(linkat(99, "x", 98, "y", 0x100000));
	CALL(renameat2(99, "x", 98, "y", 0x100));
	CALL(rename("none", ""));
	CALL(rename("f", "none/x"));
	CALL(symlink("", "f"));
	CALL(symlink("x", "f"));
	CALL(mkdir("f", 0));
	CALL(rmdir("f/x"));
	CALL(unlinkat(99, "x", 77));
	CALL(dup3(99, 99, 0));
	CALL(dup3(99, 5, 77));
	CALL(fcntl(99, F_SETLK, KERNEL));
	CALL(fcntl(ro, F_DUPFD, -5));
	CALL(ioctl(99, 0, 0));
	CALL(ioctl(ro, 0x5401, KERNEL));
	CALL(fallocate(ro, 0, -1, 0));
	CALL(fallocate(99, 0, -1, 0));
	CALL(copy_file_range(99, NULL, ro, NULL, 1, 7));
	CALL(utimensat(AT_FDCWD, "none", KERNEL, 0));
	CALL(clock_gettime(99, KERNEL));
	CALL(kill(999999, 99));
	CALL(kill(999999, 0));
	CALL(syscall(SYS_tgkill, -1, -1, 99));
	CALL(syscall(SYS_wait4, -1, KERNEL, 0x1000, KERNEL));
	CALL(setpriority(9, 999999, 0));
	CALL(fchmodat(99, "x", 0, 0));
	CALL(getdents64(99, KERNEL, 1));
	CALL(getdents64(ro, KERNEL, 1));
	clean();
	return 0;
}
