#include "check.h"
#include <utime.h>

static void show(const char *path)
{
	struct stat st;
	lstat(path, &st);
	printf("%s: atime %ld.%09ld mtime %ld.%09ld\n", path, st.st_atim.tv_sec, st.st_atim.tv_nsec, st.st_mtim.tv_sec,
	       st.st_mtim.tv_nsec);
}

int main(void)
{
	struct stat before, after;
	scratch();
	put("f", "x");
	symlink("f", "s");
	struct timespec ts[2] = { { 1000, 123456789 }, { 2000, 987654321 } };
	CALL(utimensat(AT_FDCWD, "f", ts, 0));
	show("f");
	CALL(utimensat(AT_FDCWD, "s", ts, AT_SYMLINK_NOFOLLOW));
	show("s");
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1] = (struct timespec){ 5, 6 };
	CALL(utimensat(AT_FDCWD, "f", ts, 0));
	show("f");
	ts[1].tv_nsec = UTIME_OMIT;
	CALL(utimensat(AT_FDCWD, "f", ts, 0));
	CALL(utimensat(AT_FDCWD, "none", ts, 0));
	show("f");
	ts[1].tv_nsec = 1000000000;
	CALL(utimensat(AT_FDCWD, "f", ts, 0));
	ts[1].tv_nsec = UTIME_NOW;
	CALL(utimensat(AT_FDCWD, "f", ts, 0));
	stat("f", &after);
	TRUE(llabs(time(NULL) - after.st_mtime) < 100);
	SHOW(after.st_atime);
	CALL(utimensat(AT_FDCWD, "f", ts, 0x55));
	CALL(utimensat(AT_FDCWD, "f", KERNEL, 0));
	int fd = open("f", O_RDWR);
	ts[0] = ts[1] = (struct timespec){ 77, 88 };
	CALL(futimens(fd, ts));
	show("f");
	CALL(futimens(-1, ts));
	CALL(syscall(SYS_utimensat, fd, NULL, ts, 0));
	CALL(syscall(SYS_utimensat, AT_FDCWD, NULL, ts, 0));
	struct timeval tv[2] = { { 11, 500000 }, { 12, 999999 } };
	CALL(utimes("f", tv));
	show("f");
	tv[0].tv_usec = 1000000;
	CALL(utimes("f", tv));
	struct utimbuf old = { 21, 22 };
	CALL(utime("f", &old));
	show("f");
	CALL(utime("f", NULL));
	CALL(utime("none", NULL));
	/* What changes which time. */
	ts[0] = ts[1] = (struct timespec){ 100, 0 };
	utimensat(AT_FDCWD, "f", ts, 0);
	utimensat(AT_FDCWD, ".", ts, 0);
	CALL(write(fd, "y", 1));
	stat("f", &after);
	TRUE(after.st_mtime != 100 && after.st_atime == 100);
	stat(".", &after);
	TRUE(after.st_mtime == 100);
	put("new", "");
	stat(".", &after);
	TRUE(after.st_mtime != 100);
	utimensat(AT_FDCWD, "f", ts, 0);
	stat("f", &before);
	struct timespec pause = { 0, 20000000 };
	nanosleep(&pause, NULL);
	CALL(chmod("f", 0600));
	stat("f", &after);
	TRUE(after.st_mtime == 100);
	TRUE(after.st_ctim.tv_nsec != before.st_ctim.tv_nsec || after.st_ctim.tv_sec != before.st_ctim.tv_sec);
	utimensat(AT_FDCWD, "f", ts, 0);
	CALL(ftruncate(fd, 0));
	stat("f", &after);
	TRUE(after.st_mtime != 100);
	clean();
	return 0;
}
