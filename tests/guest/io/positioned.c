#include "check.h"

int main(void)
{
	char buf[32] = { 0 };
	scratch();
	int fd = CALL(open("f", O_RDWR | O_CREAT, 0600));
	CALL(pwrite(fd, "abcdef", 6, 4));
	CALL(lseek(fd, 0, SEEK_CUR));
	CALL(pread(fd, buf, 32, 0));
	TRUE(!memcmp(buf, "\0\0\0\0abcdef", 10));
	CALL(pread(fd, buf, 32, 100));
	CALL(pread(fd, buf, 1, -1));
	CALL(pwrite(fd, buf, 1, -1));
	CALL(pread(fd, KERNEL, 1, 0));
	CALL(pread(-1, buf, 1, 0));
	CALL(pwrite(fd, "x", 1, LONG_MAX));
	CALL(pread(fd, buf, 1, LONG_MAX));
	int p[2];
	CALL(pipe(p));
	CALL(pread(p[0], buf, 1, 0));
	CALL(pwrite(p[1], buf, 1, 0));
	CALL(lseek(p[0], 0, SEEK_CUR));
	/* Linux appends with O_APPEND whatever the offset says. */
	int append = CALL(open("f", O_RDWR | O_APPEND));
	CALL(pwrite(append, "Z", 1, 0));
	CALL(pread(append, buf, 32, 0));
	TEXT(buf + 4, 7);
	struct iovec iov[3] = { { buf, 2 }, { buf + 8, 0 }, { buf + 16, 4 } };
	CALL(preadv(fd, iov, 3, 4));
	TEXT(buf, 2);
	TEXT(buf + 16, 4);
	CALL(pwritev(fd, iov, 3, 20));
	CALL(pread(fd, buf, 6, 20));
	TEXT(buf, 6);
	CALL(preadv2(fd, iov, 3, -1, 0));
	CALL(lseek(fd, 0, SEEK_CUR));
	CALL(preadv2(fd, iov, 3, 4, 0x1000));
	CALL(preadv2(fd, iov, 3, -2, 0));
	CALL(pwritev2(fd, iov, 1, 0, RWF_APPEND));
	CALL(lseek(fd, 0, SEEK_END));
	CALL(pwritev2(fd, iov, 1, 0, RWF_SYNC | RWF_DSYNC));
	CALL(preadv(fd, iov, -1, 0));
	CALL(preadv(fd, iov, 1025, 0));
	CALL(preadv(fd, NULL, 1, 0));
	CALL(preadv(fd, NULL, 0, 0));
	iov[1].iov_len = -1;
	CALL(preadv(fd, iov, 3, 0));
	clean();
	return 0;
}
