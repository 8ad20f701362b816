#include "check.h"
#include <sys/sendfile.h>

int main(void)
{
	char buf[64] = "";
	scratch();
	put("from", "the quick brown fox");
	int from = CALL(open("from", O_RDONLY));
	int to = CALL(open("to", O_RDWR | O_CREAT, 0600));
	CALL(sendfile(to, from, NULL, 3));
	off_t at = 4;
	CALL(sendfile(to, from, &at, 100));
	SHOW(at);
	CALL(lseek(from, 0, SEEK_CUR));
	CALL(pread(to, buf, 64, 0));
	TEXT(buf, 18);
	CALL(sendfile(to, -1, NULL, 1));
	CALL(sendfile(-1, from, NULL, 1));
	CALL(sendfile(to, from, KERNEL, 1));
	at = -1;
	CALL(sendfile(to, from, &at, 1));
	CALL(sendfile(from, to, NULL, 1));
	at = 0;
	CALL(sendfile(to, from, &at, 0));
	int append = open("to", O_WRONLY | O_APPEND);
	CALL(sendfile(append, from, NULL, 1));
	int p[2];
	CALL(pipe(p));
	at = 0;
	CALL(sendfile(p[1], from, &at, 9));
	CALL(read(p[0], buf, 64));
	TEXT(buf, 9);
	CALL(sendfile(to, p[0], NULL, 1));
	off_t a = 4, b = 30;
	CALL(copy_file_range(from, &a, to, &b, 5, 0));
	SHOW(a);
	SHOW(b);
	CALL(pread(to, buf, 64, 30));
	TEXT(buf, 5);
	CALL(copy_file_range(from, &a, to, &b, 5, 1));
	CALL(copy_file_range(to, &a, from, &b, 5, 0));
	CALL(copy_file_range(p[0], NULL, to, &b, 5, 0));
	CALL(copy_file_range(-1, NULL, to, &b, 5, 0));
	a = 100;
	CALL(copy_file_range(from, &a, to, &b, 5, 0));
	a = 0;
	b = 2;
	CALL(copy_file_range(to, &a, to, &b, 5, 0));
	CALL(copy_file_range(from, NULL, append, NULL, 5, 0));
	int dir = open(".", O_RDONLY);
	CALL(copy_file_range(dir, NULL, to, NULL, 5, 0));
	/* splice, tee and vmsplice move bytes through pipes. */
	int q[2];
	CALL(pipe(q));
	a = 0;
	CALL(splice(from, &a, p[1], NULL, 9, 0));
	CALL(tee(p[0], q[1], 9, 0));
	CALL(splice(p[0], NULL, to, NULL, 9, SPLICE_F_MOVE));
	CALL(read(q[0], buf, 64));
	TEXT(buf, 9);
	struct iovec iov = { "vector", 6 };
	CALL(vmsplice(p[1], &iov, 1, 0));
	CALL(read(p[0], buf, 64));
	TEXT(buf, 6);
	CALL(splice(from, &a, to, NULL, 1, 0));
	CALL(splice(p[0], &a, to, NULL, 1, 0));
	CALL(splice(p[0], NULL, to, NULL, 1, SPLICE_F_NONBLOCK));
	CALL(splice(p[0], NULL, to, NULL, 1, 0x100));
	CALL(tee(p[0], p[1], 1, 0));
	CALL(tee(from, p[1], 1, 0));
	clean();
	return 0;
}
