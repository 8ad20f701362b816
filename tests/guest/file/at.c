#include "check.h"
#include <sys/xattr.h>
#include <sys/statfs.h>

/* Names below a directory's descriptor: the calls themselves, without the library's shortcuts. */
int main(void)
{
	char list[256], buf[64];
	struct stat st;
	scratch();
	mkdir("d", 0755);
	int d = open("d", O_RDONLY | O_DIRECTORY), file = open("plain", O_RDWR | O_CREAT, 0644);
	CALL(syscall(SYS_mkdirat, d, "sub", 0777));
	CALL(syscall(SYS_mkdirat, d, "sub", 0777));
	CALL(syscall(SYS_mkdirat, -1, "sub", 0777));
	CALL(syscall(SYS_mkdirat, file, "sub", 0777));
	CALL(syscall(SYS_mkdirat, d, KERNEL, 0777));
	CALL(syscall(SYS_mkdirat, d, "", 0777));
	CALL(syscall(SYS_mknodat, d, "fifo", S_IFIFO | 0666, 0));
	CALL(syscall(SYS_mknodat, d, "fifo", S_IFIFO | 0666, 0));
	CALL(syscall(SYS_mknodat, d, "file", 0640, 0));
	CALL(syscall(SYS_mknodat, d, "folder", S_IFDIR | 0755, 0));
	CALL(syscall(SYS_mknodat, d, "odd", S_IFLNK | 0755, 0));
	CALL(syscall(SYS_mknodat, 99, "x", S_IFREG, 0));
	CALL(syscall(SYS_newfstatat, d, "fifo", &st, 0));
	printf("%o\n", st.st_mode);
	CALL(syscall(SYS_newfstatat, d, "", &st, 0));
	CALL(syscall(SYS_newfstatat, d, "", &st, AT_EMPTY_PATH));
	printf("%o\n", st.st_mode);
	CALL(syscall(SYS_newfstatat, d, "fifo", &st, 0x10000));
	CALL(syscall(SYS_newfstatat, d, "fifo", KERNEL, 0));
	CALL(syscall(SYS_symlinkat, "file", d, "link"));
	CALL(syscall(SYS_symlinkat, "file", d, "link"));
	CALL(syscall(SYS_symlinkat, "", d, "empty"));
	CALL(syscall(SYS_symlinkat, KERNEL, d, "bad"));
	CALL(syscall(SYS_symlinkat, "x", -1, "bad"));
	CALL(syscall(SYS_newfstatat, d, "link", &st, AT_SYMLINK_NOFOLLOW));
	printf("%o %ld\n", st.st_mode, (long)st.st_size);
	CALL(syscall(SYS_faccessat, d, "link", R_OK));
	CALL(syscall(SYS_faccessat, d, "none", F_OK));
	CALL(syscall(SYS_faccessat, d, "file", 8));
	CALL(syscall(SYS_faccessat, d, "file", X_OK));
	CALL(syscall(SYS_faccessat, 99, "file", F_OK));
	CALL(syscall(SYS_faccessat, 99, "/", F_OK));
	CALL(syscall(SYS_renameat, d, "file", AT_FDCWD, "moved"));
	CALL(syscall(SYS_renameat, d, "file", AT_FDCWD, "moved"));
	CALL(syscall(SYS_renameat, d, "sub", d, "sub/below"));
	CALL(syscall(SYS_renameat, d, ".", d, "dot"));
	CALL(syscall(SYS_renameat, AT_FDCWD, "moved", 99, "x"));
	CALL(syscall(SYS_renameat, AT_FDCWD, "moved", file, "x"));
	struct timeval times[2] = { { 1000, 5 }, { 2000, 6 } }, wrong[2] = { { 1, 1000000 }, { 1, 0 } };
	CALL(syscall(SYS_futimesat, AT_FDCWD, "moved", times));
	stat("moved", &st);
	printf("%ld.%09ld %ld.%09ld\n", st.st_atim.tv_sec, st.st_atim.tv_nsec, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	CALL(syscall(SYS_futimesat, AT_FDCWD, "moved", wrong));
	CALL(syscall(SYS_futimesat, AT_FDCWD, "none", times));
	CALL(syscall(SYS_futimesat, AT_FDCWD, "moved", KERNEL));
	CALL(syscall(SYS_futimesat, file, NULL, times));
	CALL(syscall(SYS_futimesat, AT_FDCWD, "moved", NULL));
	/* Lists of extended attributes. */
	setxattr("moved", "user.one", "1", 1, 0);
	setxattr("moved", "trusted.two", "22", 2, 0);
	int moved = open("moved", O_RDONLY);
	long size = CALL(flistxattr(moved, NULL, 0));
	TRUE(flistxattr(moved, list, sizeof list) == size);
	TRUE(memmem(list, size, "user.one", 9) && memmem(list, size, "trusted.two", 12));
	CALL(flistxattr(moved, list, 3));
	CALL(flistxattr(moved, KERNEL, 100));
	CALL(flistxattr(99, list, sizeof list));
	TRUE(llistxattr("moved", list, sizeof list) == size);
	CALL(llistxattr("none", list, sizeof list));
	symlink("moved", "soft");
	CALL(llistxattr("soft", list, sizeof list));
	CALL(llistxattr("moved", list, 1));
	CALL((sync(), 0));
	/* Old questions about file systems. */
	struct { int blocks; unsigned long inodes; char name[6], pack[6]; } us;
	stat(".", &st);
	CALL(syscall(SYS_ustat, (unsigned)st.st_dev, &us));
	CALL(syscall(SYS_ustat, 0x7fffff, &us));
	CALL(syscall(SYS_ustat, (unsigned)st.st_dev, KERNEL));
	TRUE(syscall(SYS_sysfs, 3) > 3);
	TRUE(syscall(SYS_sysfs, 1, "tmpfs") >= 0);
	CALL(syscall(SYS_sysfs, 1, "no-such-file-system"));
	CALL(syscall(SYS_sysfs, 1, KERNEL));
	CALL(syscall(SYS_sysfs, 2, syscall(SYS_sysfs, 1, "tmpfs"), buf));
	TEXT(buf, strlen(buf));
	CALL(syscall(SYS_sysfs, 2, 10000, buf));
	CALL(syscall(SYS_sysfs, 4));
	clean();
	return 0;
}
