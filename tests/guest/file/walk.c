#include "check.h"

int main(void)
{
	struct stat st;
	char buf[PATH_MAX];
	scratch();
	CALL(mkdir("d", 0755));
	put("d/f", "x");
	CALL(stat("./d/../d/./f", &st));
	CALL(stat("d//f", &st));
	CALL(stat("d/f/..", &st));
	CALL(stat("d/f/.", &st));
	CALL(stat("d/f/", &st));
	CALL(stat("d/none/../f", &st));
	CALL(stat("/..", &st));
	CALL(stat("/../..//", &st));
	CALL(stat("...", &st));
	CALL(symlink("d", "l"));
	CALL(symlink("d/", "lslash"));
	CALL(symlink("d/f", "lf"));
	CALL(symlink("/", "root"));
	CALL(symlink("l/../d/f", "long"));
	CALL(lstat("l", &st));
	TRUE(S_ISLNK(st.st_mode));
	SHOW(st.st_size);
	CALL(lstat("l/", &st));
	TRUE(S_ISDIR(st.st_mode));
	CALL(lstat("l/f", &st));
	CALL(stat("lslash/f", &st));
	CALL(stat("lf/", &st));
	CALL(stat("root/..", &st));
	CALL(stat("long", &st));
	CALL(stat("l/../l/../l/f", &st));
	CALL(symlink("chain0", "chain1"));
	for (int i = 2; i <= 45; i++) {
		char from[16], to[16];
		sprintf(to, "chain%d", i - 1);
		sprintf(from, "chain%d", i);
		symlink(to, from);
	}
	put("chain0", "end");
	CALL(stat("chain40", &st));
	CALL(stat("chain41", &st));
	CALL(stat("chain45", &st));
	CALL(lstat("chain45", &st));
	CALL(open("chain40", O_RDONLY) >= 0);
	CALL(symlink("b", "a"));
	CALL(symlink("a", "b"));
	CALL(stat("a", &st));
	CALL(stat("a/x", &st));
	CALL(chdir("d/f"));
	CALL(chdir("none"));
	CALL(chdir("l"));
	CALL(getcwd(buf, sizeof buf) != NULL);
	TRUE(strlen(buf) > 2 && !strcmp(buf + strlen(buf) - 2, "/d"));
	CALL(syscall(SYS_getcwd, buf, 2));
	CALL(syscall(SYS_getcwd, buf, 0));
	CALL(syscall(SYS_getcwd, KERNEL, 4096));
	CALL(stat("f", &st));
	CALL(chdir(".."));
	int d = open("d", O_RDONLY);
	CALL(fchdir(d));
	CALL(access("f", F_OK));
	CALL(chdir(".."));
	int f = open("d/f", O_RDONLY);
	CALL(fchdir(f));
	CALL(fchdir(-1));
	CALL(fstatat(d, "f", &st, 0));
	CALL(fstatat(d, "", &st, AT_EMPTY_PATH));
	TRUE(S_ISDIR(st.st_mode));
	CALL(fstatat(d, "", &st, 0));
	CALL(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
	CALL(fstatat(f, "x", &st, 0));
	CALL(fstatat(AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW));
	TRUE(S_ISLNK(st.st_mode));
	CALL(fstatat(AT_FDCWD, "l", &st, 0x4000000));
	/* Components and whole paths that are too long. */
	memset(buf, 'a', 256);
	strcpy(buf + 256, "/..");
	OK(stat(buf, &st));
	int n = 0;
	while (n < 4090)
		n += sprintf(buf + n, "d/../");
	sprintf(buf + 4085, "d");
	CALL(stat(buf, &st) == 0 || errno);
	unlink("d/f");
	clean();
	return 0;
}
