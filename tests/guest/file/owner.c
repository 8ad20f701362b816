#include "check.h"

static void show(const char *path)
{
	struct stat st;
	if (lstat(path, &st))
		perror(path);
	printf("%s: mode %o uid %d gid %d\n", path, st.st_mode, st.st_uid, st.st_gid);
}

int main(void)
{
	scratch();
	put("f", "x");
	CALL(chmod("f", 07777));
	show("f");
	CALL(chown("f", 1000, 1001));
	show("f");
	CALL(chmod("f", 06711));
	CALL(chown("f", -1, -1));
	show("f");
	CALL(chown("f", -1, 5));
	show("f");
	int fd = open("f", O_RDWR);
	CALL(fchmod(fd, 0600));
	CALL(fchown(fd, 0, 0));
	CALL(fchmod(-1, 0));
	CALL(fchown(-1, 0, 0));
	CALL(chmod("none", 0));
	CALL(chmod(NULL, 0));
	CALL(symlink("f", "s"));
	CALL(lchown("s", 7, 8));
	show("s");
	CALL(chown("s", 9, 10));
	show("f");
	CALL(fchmodat(AT_FDCWD, "s", 0644, 0));
	show("f");
	CALL(fchownat(AT_FDCWD, "s", 11, 12, AT_SYMLINK_NOFOLLOW));
	CALL(fchownat(fd, "", 13, 14, AT_EMPTY_PATH));
	CALL(fchownat(fd, "", 13, 14, 0));
	CALL(fchownat(AT_FDCWD, "f", 1, 1, 0x10));
	show("s");
	show("f");
	CALL(umask(0777));
	close(open("u", O_CREAT | O_RDWR, 0777));
	CALL(mkdir("ud", 0777));
	show("u");
	show("ud");
	CALL(umask(01022));
	CALL(umask(022));
	CALL(mkdir("g", 0755));
	CALL(chown("g", 0, 50));
	CALL(chmod("g", 02755));
	CALL(mkdir("g/sub", 0755));
	show("g/sub");
	put("g/file", "");
	show("g/file");
	unlink("g/file");
	rmdir("g/sub");
	/* As an ordinary user. */
	CALL(chmod(".", 01777));
	put("private", "secret");
	CALL(chmod("private", 0600));
	put("foreign", "x");
	CALL(mkdir("closed", 0700));
	put("closed/f", "x");
	CALL(mkdir("sticky", 01777));
	CALL(chmod("sticky", 01777));
	put("sticky/theirs", "x");
	CALL(setresgid(1000, 1000, 1000));
	CALL(setresuid(1000, 1000, 0));
	CALL(open("private", O_RDONLY));
	CALL(access("private", R_OK));
	CALL(access("private", F_OK));
	CALL(open("closed/f", O_RDONLY));
	CALL(access("closed/f", F_OK));
	CALL(chdir("closed"));
	CALL(open("closed", O_RDONLY));
	CALL(chmod("foreign", 0777));
	CALL(chown("foreign", 1000, -1));
	CALL(open("foreign", O_WRONLY));
	CALL(open("foreign", O_RDONLY | O_NOATIME));
	CALL(unlink("sticky/theirs"));
	CALL(rename("sticky/theirs", "sticky/mine"));
	put("sticky/own", "x");
	CALL(unlink("sticky/own"));
	put("mine", "x");
	CALL(chmod("mine", 0000));
	CALL(open("mine", O_RDONLY));
	CALL(access("mine", R_OK));
	CALL(chmod("mine", 06755));
	CALL(chown("mine", 1000, 2000));
	CALL(chown("mine", 1001, -1));
	CALL(chown("mine", 1000, 1000));
	show("mine");
	CALL(mknod("dev", S_IFCHR | 0600, 0x103));
	CALL(mknod("pipe", S_IFIFO | 0600, 0));
	CALL(truncate("foreign", 0));
	CALL(utimensat(AT_FDCWD, "foreign", NULL, 0));
	struct timespec zero[2] = { { 0 } };
	CALL(utimensat(AT_FDCWD, "foreign", zero, 0));
	CALL(chroot("."));
	CALL(setresuid(0, 0, 0));
	CALL(access("private", R_OK | W_OK | X_OK));
	CALL(access("private", 8));
	/* access(2) asks as the real user, faccessat2 with AT_EACCESS as the effective one. */
	CALL(setresuid(1000, 0, 0));
	CALL(access("private", R_OK));
	CALL(syscall(SYS_faccessat2, AT_FDCWD, "private", R_OK, AT_EACCESS));
	CALL(syscall(SYS_faccessat2, AT_FDCWD, "private", R_OK, 0x40000));
	CALL(setresuid(0, 0, 0));
	/* Writing takes the set-user-id bit away. */
	put("suid", "x");
	CALL(chmod("suid", 06777));
	CALL(setresuid(1000, 1000, 0));
	CALL(close(open("suid", O_WRONLY)));
	fd = open("suid", O_WRONLY);
	CALL(write(fd, "y", 1));
	show("suid");
	CALL(setresuid(0, 0, 0));
	unlink("closed/f");
	unlink("sticky/theirs");
	clean();
	return 0;
}
