#include "check.h"

int main(void)
{
	char a[4] = "", b[8] = "", c[64] = "";
	scratch();
	int fd = CALL(open("f", O_RDWR | O_CREAT, 0600));
	struct iovec out[] = { { "one ", 4 }, { "", 0 }, { "two ", 4 }, { "three", 5 } };
	CALL(writev(fd, out, 4));
	CALL(lseek(fd, 0, SEEK_SET));
	struct iovec in[] = { { a, 4 }, { b, 8 }, { c, 64 } };
	CALL(readv(fd, in, 3));
	TEXT(a, 4);
	TEXT(b, 8);
	TEXT(c, 1);
	CALL(readv(fd, in, 3));
	CALL(writev(fd, out, 0));
	CALL(readv(fd, in, 0));
	CALL(writev(fd, out, -1));
	CALL(writev(fd, out, 1025));
	CALL(writev(fd, KERNEL, 1));
	CALL(writev(fd, UNMAPPED, 1));
	CALL(writev(-1, KERNEL, 1));
	/* What can be written is written, up to the first bad piece. */
	struct iovec bad[] = { { "good", 4 }, { UNMAPPED, 4 }, { "more", 4 } };
	CALL(writev(fd, bad, 3));
	bad[0].iov_base = UNMAPPED;
	CALL(writev(fd, bad, 3));
	CALL(lseek(fd, 0, SEEK_SET));
	struct iovec bad_in[] = { { a, 4 }, { UNMAPPED, 4 } };
	CALL(readv(fd, bad_in, 2));
	bad_in[0].iov_len = (size_t)1 << 63;
	CALL(readv(fd, bad_in, 2));
	struct iovec many[1024];
	for (int i = 0; i < 1024; i++)
		many[i] = (struct iovec){ "x", 1 };
	CALL(writev(fd, many, 1024));
	int ro = open("f", O_RDONLY);
	CALL(writev(ro, many, 1));
	clean();
	return 0;
}
