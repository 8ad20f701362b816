#include "check.h"

static long size_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) ? -1 : (long)st.st_size;
}

int main(void)
{
	char buf[16];
	scratch();
	put("f", "0123456789");
	int fd = open("f", O_RDWR);
	CALL(truncate("f", 4));
	SHOW(size_of(fd));
	CALL(ftruncate(fd, 8));
	CALL(pread(fd, buf, 16, 0));
	TRUE(!memcmp(buf, "0123\0\0\0\0", 8));
	CALL(ftruncate(fd, -1));
	CALL(truncate("f", -1));
	CALL(truncate("none", 0));
	CALL(truncate(".", 0));
	CALL(truncate("", 0));
	CALL(ftruncate(-1, 0));
	int ro = open("f", O_RDONLY);
	CALL(ftruncate(ro, 0));
	int p[2];
	pipe(p);
	CALL(ftruncate(p[1], 0));
	CALL(ftruncate(fd, 1L << 40));
	SHOW(size_of(fd));
	CALL(pread(fd, buf, 4, (1L << 40) - 2));
	CALL(ftruncate(fd, 10));
	CALL(fallocate(fd, 0, 0, 100));
	SHOW(size_of(fd));
	CALL(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000));
	SHOW(size_of(fd));
	CALL(pwrite(fd, "xxxx", 4, 50));
	CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 51, 2));
	CALL(pread(fd, buf, 4, 50));
	TRUE(!memcmp(buf, "x\0\0x", 4));
	CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 51, 2));
	CALL(fallocate(fd, 0, -1, 10));
	CALL(fallocate(fd, 0, 0, 0));
	CALL(fallocate(fd, 0, LONG_MAX - 5, 10));
	CALL(fallocate(fd, 0x1000, 0, 10));
	CALL(fallocate(ro, 0, 0, 10));
	CALL(fallocate(-1, 0, 0, 10));
	CALL(fallocate(p[1], 0, 0, 10));
	CALL(posix_fallocate(fd, 200, 10));
	SHOW(size_of(fd));
	CALL(fsync(fd));
	CALL(fdatasync(fd));
	CALL(fsync(-1));
	CALL(fsync(p[1]));
	CALL(sync_file_range(fd, 0, 10, SYNC_FILE_RANGE_WRITE));
	CALL(sync_file_range(fd, -1, 10, SYNC_FILE_RANGE_WRITE));
	CALL(sync_file_range(fd, 0, 10, 8));
	CALL(sync_file_range(p[0], 0, 10, 0));
	CALL(syncfs(fd));
	CALL(syncfs(-1));
	CALL(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	CALL(posix_fadvise(fd, 0, 0, 99));
	CALL(posix_fadvise(-1, 0, 0, 0));
	CALL(posix_fadvise(p[0], 0, 0, 0));
	CALL(readahead(fd, 0, 10));
	CALL(readahead(-1, 0, 10));
	struct rlimit limit = { 4096, 4096 };
	signal(SIGXFSZ, SIG_IGN);
	CALL(setrlimit(RLIMIT_FSIZE, &limit));
	CALL(pwrite(fd, "0123456789", 10, 4090));
	CALL(pwrite(fd, "0123456789", 10, 4096));
	CALL(ftruncate(fd, 5000));
	clean();
	return 0;
}
