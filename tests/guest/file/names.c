#include "check.h"

static long nlink_of(const char *path)
{
	struct stat st;
	return lstat(path, &st) ? -1 : (long)st.st_nlink;
}

int main(void)
{
	char buf[64];
	scratch();
	put("a", "A");
	put("b", "B");
	CALL(link("a", "a2"));
	SHOW(nlink_of("a"));
	CALL(link("a", "a2"));
	CALL(link("none", "x"));
	CALL(link(".", "x"));
	CALL(link("a", "none/x"));
	CALL(unlink("a2"));
	CALL(unlink("a2"));
	CALL(unlink("."));
	CALL(unlink("a/"));
	CALL(mkdir("d", 0755));
	CALL(mkdir("d", 0755));
	CALL(mkdir("d/", 0755));
	CALL(mkdir("e/", 0755));
	CALL(mkdir(".", 0755));
	CALL(mkdir("", 0755));
	CALL(mkdir("none/d", 0755));
	CALL(mkdir("a/d", 0755));
	SHOW(nlink_of("d"));
	CALL(mkdir("d/sub", 0755));
	SHOW(nlink_of("d"));
	CALL(rmdir("d"));
	CALL(rmdir("a"));
	CALL(rmdir("none"));
	CALL(rmdir("."));
	CALL(rmdir("d/sub/."));
	CALL(rmdir("d/sub/.."));
	CALL(rmdir("/"));
	CALL(unlink("d"));
	CALL(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	CALL(unlinkat(AT_FDCWD, "d", 77));
	CALL(rename("a", "b"));
	CALL(rename("a", "c"));
	CALL(rename("b", "d"));
	CALL(rename("d", "b"));
	CALL(rename("d", "d/sub/x"));
	CALL(rename("d", "d/sub"));
	CALL(rename("d/sub", "d"));
	CALL(rename("e", "d"));
	CALL(rename("d/sub", "e"));
	CALL(rename("b", "b"));
	CALL(rename("b", "c/"));
	CALL(rename(".", "x"));
	CALL(rename("b", ".."));
	CALL(rename("", "x"));
	CALL(rename("b", ""));
	CALL(link("b", "b2"));
	CALL(rename("b", "b2"));
	SHOW(nlink_of("b"));
	put("x", "X");
	CALL(renameat2(AT_FDCWD, "x", AT_FDCWD, "b", RENAME_NOREPLACE));
	CALL(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE));
	CALL(renameat2(AT_FDCWD, "y", AT_FDCWD, "d", RENAME_EXCHANGE));
	SHOW(nlink_of("d"));
	CALL(renameat2(AT_FDCWD, "y", AT_FDCWD, "none", RENAME_EXCHANGE));
	CALL(renameat2(AT_FDCWD, "y", AT_FDCWD, "d", RENAME_EXCHANGE | RENAME_NOREPLACE));
	CALL(renameat2(AT_FDCWD, "y", AT_FDCWD, "d", 0x80));
	CALL(symlink("target", "s"));
	CALL(symlink("target", "s"));
	CALL(symlink("", "s2"));
	CALL(symlink("x", ""));
	CALL(readlink("s", buf, 64));
	TEXT(buf, 6);
	CALL(readlink("s", buf, 3));
	CALL(readlink("s", buf, 0));
	CALL(readlink("s", buf, -1));
	CALL(readlink("b", buf, 64));
	CALL(readlink("none", buf, 64));
	CALL(readlink("s", KERNEL, 64));
	int link = open("s", O_PATH | O_NOFOLLOW);
	CALL(readlinkat(link, "", buf, 64));
	CALL(readlinkat(AT_FDCWD, "", buf, 64));
	CALL(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", 0));
	CALL(linkat(AT_FDCWD, "s", AT_FDCWD, "s4", AT_SYMLINK_FOLLOW));
	CALL(linkat(AT_FDCWD, "s", AT_FDCWD, "s4", 1));
	SHOW(nlink_of("s"));
	/* A removed file lives while it is open. */
	int fd = open("b", O_RDWR);
	CALL(unlink("b"));
	CALL(unlink("b2"));
	struct stat st;
	fstat(fd, &st);
	SHOW(st.st_nlink);
	CALL(pread(fd, buf, 1, 0));
	/* A removed working folder. */
	CALL(mkdir("gone", 0755));
	CALL(chdir("gone"));
	CALL(rmdir("../gone"));
	CALL(syscall(SYS_getcwd, buf, 64));
	CALL(open("x", O_CREAT | O_RDWR, 0600));
	CALL(open(".", O_RDONLY) >= 0);
	CALL(chdir(".."));
	clean();
	return 0;
}
