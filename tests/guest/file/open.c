#include "check.h"
#include <linux/openat2.h>

static int openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };
	return syscall(SYS_openat2, dir, path, &how, sizeof how);
}

int main(void)
{
	struct stat st;
	scratch();
	CALL(open("none", O_RDONLY));
	CALL(open("", O_RDONLY));
	CALL(open(NULL, O_RDONLY));
	CALL(open(KERNEL, O_RDONLY));
	int fd = CALL(open("f", O_WRONLY | O_CREAT | O_EXCL, 0666));
	fstat(fd, &st);
	printf("mode %o\n", st.st_mode);
	CALL(open("f", O_WRONLY | O_CREAT | O_EXCL, 0666));
	CALL(write(fd, "1234567890", 10));
	CALL(close(open("f", O_WRONLY | O_TRUNC)));
	CALL(fstat(fd, &st));
	SHOW(st.st_size);
	CALL(open("f", O_RDONLY | O_DIRECTORY));
	CALL(open("f/", O_RDONLY));
	CALL(open("f/x", O_RDONLY));
	CALL(open("new/", O_RDWR | O_CREAT, 0600));
	CALL(mkdir("d", 0777));
	CALL(open("d", O_RDWR));
	CALL(open("d", O_RDONLY | O_CREAT, 0600));
	CALL(open("d/", O_WRONLY | O_CREAT, 0600));
	int d = CALL(open("d", O_RDONLY | O_DIRECTORY));
	CALL(openat(d, "x", O_RDWR | O_CREAT, 0640));
	CALL(openat(d, "../f", O_RDONLY));
	CALL(openat(fd, "x", O_RDONLY));
	CALL(openat(-1, "x", O_RDONLY));
	CALL(openat(-1, "/", O_RDONLY));
	CALL(symlink("f", "link"));
	CALL(symlink("nowhere", "dangling"));
	CALL(symlink("loop", "loop"));
	CALL(open("link", O_RDONLY | O_NOFOLLOW));
	CALL(open("link", O_PATH | O_NOFOLLOW));
	CALL(open("dangling", O_RDONLY));
	CALL(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600));
	CALL(close(open("dangling", O_RDWR | O_CREAT, 0600)));
	CALL(stat("nowhere", &st));
	CALL(open("loop", O_RDONLY));
	char name[300];
	memset(name, 'n', sizeof name);
	name[255] = 0;
	CALL(close(open(name, O_RDWR | O_CREAT, 0600)));
	CALL(unlink(name));
	memset(name, 'n', sizeof name);
	name[256] = 0;
	OK(open(name, O_RDWR | O_CREAT, 0600));
	char path[5000];
	memset(path, '/', sizeof path);
	path[4095] = 0;
	CALL(close(open(path, O_RDONLY)));
	path[4095] = '/';
	path[4096] = 0;
	CALL(open(path, O_RDONLY));
	int tmp = CALL(open(".", O_TMPFILE | O_RDWR, 0600));
	CALL(write(tmp, "x", 1));
	CALL(fstat(tmp, &st));
	SHOW(st.st_nlink);
	CALL(open(".", O_TMPFILE | O_RDONLY, 0600));
	char proc[64];
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", tmp);
	CALL(linkat(AT_FDCWD, proc, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	CALL(stat("named", &st));
	SHOW(st.st_size);
	CALL(open("f", O_RDONLY | O_NOATIME | O_CLOEXEC | O_NONBLOCK | O_SYNC));
	CALL(openat2(AT_FDCWD, "f", O_RDONLY, 0, 0));
	CALL(openat2(AT_FDCWD, "f", O_RDONLY, 0600, 0));
	CALL(openat2(AT_FDCWD, "f", O_RDONLY | (1ULL << 40), 0, 0));
	CALL(openat2(AT_FDCWD, "f", O_RDONLY, 0, 1 << 20));
	CALL(openat2(d, "../f", O_RDONLY, 0, RESOLVE_BENEATH));
	CALL(openat2(d, "x", O_RDONLY, 0, RESOLVE_BENEATH));
	CALL(openat2(d, "/x", O_RDONLY, 0, RESOLVE_BENEATH));
	CALL(openat2(d, "/x", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CALL(openat2(d, "../../x", O_RDONLY, 0, RESOLVE_IN_ROOT));
	CALL(openat2(AT_FDCWD, "link", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
	CALL(openat2(AT_FDCWD, proc, O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
	CALL(openat2(d, "x", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
	CALL(openat2(AT_FDCWD, "/proc/self", O_PATH, 0, RESOLVE_NO_XDEV));
	CALL(syscall(SYS_openat2, AT_FDCWD, "f", KERNEL, 24));
	CALL(syscall(SYS_openat2, AT_FDCWD, "f", NULL, 23));
	CALL(syscall(SYS_openat2, AT_FDCWD, "f", NULL, 24));
	CALL(creat("c", 0444));
	CALL(stat("c", &st));
	printf("mode %o\n", st.st_mode);
	CALL(mkfifo("fifo", 0600));
	CALL(open("fifo", O_WRONLY | O_NONBLOCK));
	int fifo = CALL(open("fifo", O_RDONLY | O_NONBLOCK));
	TRUE(fifo >= 0);
	CALL(close(fifo));
	unlink("d/x");
	clean();
	return 0;
}
