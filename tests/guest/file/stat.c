#include "check.h"
#include <sys/statfs.h>
#include <sys/sysmacros.h>

int main(void)
{
	struct stat st, other;
	struct statx stx;
	scratch();
	int fd = CALL(open("f", O_RDWR | O_CREAT, 0640));
	CALL(write(fd, "0123456789", 10));
	CALL(fstat(fd, &st));
	printf("mode %o nlink %ld uid %d gid %d size %ld blksize %ld\n", st.st_mode, (long)st.st_nlink, st.st_uid, st.st_gid,
	       (long)st.st_size, (long)st.st_blksize);
	SHOW(st.st_blocks);
	CALL(stat("f", &other));
	TRUE(st.st_ino == other.st_ino && st.st_dev == other.st_dev);
	TRUE(llabs(time(NULL) - st.st_mtime) < 100);
	TRUE(st.st_mtim.tv_sec == st.st_ctim.tv_sec);
	CALL(ftruncate(fd, 100000));
	CALL(fstat(fd, &st));
	SHOW(st.st_size);
	SHOW(st.st_blocks);
	CALL(pwrite(fd, "x", 1, 50000));
	CALL(fstat(fd, &st));
	SHOW(st.st_blocks);
	CALL(stat("none", &st));
	CALL(stat("f", KERNEL));
	CALL(stat(NULL, &st));
	CALL(fstat(-1, &st));
	CALL(syscall(SYS_fstat, fd, NULL));
	CALL(lstat("f", &st));
	CALL(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &stx));
	TRUE((stx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	SHOW(stx.stx_size);
	SHOW(stx.stx_nlink);
	printf("mode %o\n", stx.stx_mode);
	TRUE(stx.stx_ino == st.st_ino);
	TRUE(makedev(stx.stx_dev_major, stx.stx_dev_minor) == st.st_dev);
	TRUE(stx.stx_mtime.tv_sec == st.st_mtim.tv_sec && stx.stx_mtime.tv_nsec == st.st_mtim.tv_nsec);
	CALL(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &stx));
	CALL(syscall(SYS_statx, fd, "", 0, STATX_SIZE, &stx));
	CALL(syscall(SYS_statx, AT_FDCWD, "f", 0, 0x80000000U, &stx));
	CALL(syscall(SYS_statx, AT_FDCWD, "f", 0x6000, STATX_SIZE, &stx));
	CALL(syscall(SYS_statx, AT_FDCWD, "f", 0x2000, STATX_SIZE, &stx));
	CALL(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_SIZE, KERNEL));
	CALL(syscall(SYS_statx, AT_FDCWD, NULL, 0, STATX_SIZE, &stx) == -1);
	CALL(stat("/dev/null", &st));
	printf("mode %o rdev %d:%d\n", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	CALL(stat("/dev/zero", &st));
	printf("mode %o rdev %d:%d\n", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	CALL(stat("/", &st));
	TRUE(S_ISDIR(st.st_mode));
	CALL(symlink("target", "s"));
	CALL(lstat("s", &st));
	printf("mode %o size %ld\n", st.st_mode, (long)st.st_size);
	int p[2];
	CALL(pipe(p));
	CALL(fstat(p[0], &st));
	printf("mode %o size %ld\n", st.st_mode, (long)st.st_size);
	struct statfs fs;
	CALL(statfs(".", &fs));
	TRUE(fs.f_namelen == 255 && fs.f_bsize > 0 && fs.f_blocks >= fs.f_bfree);
	CALL(fstatfs(fd, &fs));
	CALL(statfs("none", &fs));
	CALL(fstatfs(-1, &fs));
	CALL(statfs(".", KERNEL));
	CALL(statfs("/proc", &fs));
	printf("type %lx\n", (long)fs.f_type);
	CALL(fstatfs(p[0], &fs));
	printf("type %lx\n", (long)fs.f_type);
	clean();
	return 0;
}
