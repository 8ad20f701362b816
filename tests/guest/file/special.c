#include "check.h"
#include <sys/sysmacros.h>
#include <sys/xattr.h>

int main(void)
{
	char buf[64];
	struct stat st;
	scratch();
	CALL(mknod("reg", S_IFREG | 0640, 0));
	CALL(mknod("reg2", 0600, 0));
	CALL(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	CALL(mknod("dir", S_IFDIR | 0755, 0));
	CALL(mknod("link", S_IFLNK | 0755, 0));
	CALL(mknod("sock", S_IFSOCK | 0755, 0));
	CALL(open("sock", O_RDONLY));
	CALL(mknod("reg", S_IFREG | 0640, 0));
	stat("null", &st);
	printf("mode %o rdev %d:%d\n", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	CALL(mknod("nodev", S_IFCHR | 0666, makedev(250, 99)));
	CALL(open("nodev", O_RDONLY));
	CALL(mkfifo("fifo", 0600));
	CALL(mkfifo("fifo", 0600));
	int rw = CALL(open("fifo", O_RDWR));
	CALL(write(rw, "abc", 3));
	CALL(read(rw, buf, 64));
	int r = CALL(open("fifo", O_RDONLY | O_NONBLOCK));
	CALL(read(r, buf, 1));
	CALL(close(rw));
	CALL(read(r, buf, 1));
	int w = CALL(open("fifo", O_WRONLY | O_NONBLOCK));
	CALL(close(r));
	signal(SIGPIPE, SIG_IGN);
	CALL(write(w, "x", 1));
	CALL(close(w));
	CALL(open("fifo", O_WRONLY | O_NONBLOCK));
	/* Attributes: the trusted class is there on both sides; errors are alike everywhere. */
	put("f", "x");
	CALL(setxattr("f", "trusted.a", "value", 5, 0));
	CALL(getxattr("f", "trusted.a", buf, 64));
	TEXT(buf, 5);
	CALL(getxattr("f", "trusted.a", buf, 2));
	CALL(getxattr("f", "trusted.a", NULL, 0));
	CALL(setxattr("f", "trusted.a", "other", 5, XATTR_CREATE));
	CALL(setxattr("f", "trusted.b", "other", 5, XATTR_REPLACE));
	CALL(setxattr("f", "trusted.a", "new", 3, XATTR_REPLACE));
	CALL(setxattr("f", "trusted.a", "new", 3, 4));
	CALL(setxattr("f", "nothing", "x", 1, 0));
	CALL(setxattr("f", "bogus.a", "x", 1, 0));
	CALL(setxattr("f", "", "x", 1, 0));
	CALL(setxattr("none", "trusted.a", "x", 1, 0));
	CALL(setxattr("f", "trusted.a", buf, 1 << 20, 0));
	CALL(getxattr("f", "trusted.none", buf, 64));
	CALL(getxattr("f", KERNEL, buf, 64));
	TRUE(listxattr("f", buf, 64) >= 10);
	CALL(listxattr("f", buf, 1));
	int fd = open("f", O_RDWR);
	CALL(fgetxattr(fd, "trusted.a", buf, 64));
	CALL(fsetxattr(fd, "trusted.c", "", 0, 0));
	CALL(fgetxattr(fd, "trusted.c", buf, 64));
	CALL(fremovexattr(fd, "trusted.c"));
	CALL(removexattr("f", "trusted.a"));
	CALL(removexattr("f", "trusted.a"));
	CALL(fgetxattr(-1, "trusted.a", buf, 64));
	symlink("f", "l");
	CALL(lsetxattr("l", "trusted.l", "x", 1, 0));
	CALL(lgetxattr("l", "trusted.l", buf, 64));
	CALL(getxattr("l", "trusted.l", buf, 64));
	CALL(lremovexattr("l", "trusted.l"));
	CALL(lsetxattr("l", "user.l", "x", 1, 0));
	clean();
	return 0;
}
