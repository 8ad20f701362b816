#include "check.h"

struct dirent64_raw {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(void)
{
	char buf[4096];
	char *names[600];
	int count = 0;
	scratch();
	mkdir("d", 0755);
	mkdir("d/sub", 0755);
	mkfifo("d/fifo", 0600);
	symlink("x", "d/link");
	for (int i = 0; i < 300; i++) {
		char name[32];
		sprintf(name, "d/file%03d", i);
		put(name, "");
	}
	int d = CALL(open("d", O_RDONLY | O_DIRECTORY));
	CALL(syscall(SYS_getdents64, d, buf, 10));
	CALL(syscall(SYS_getdents64, d, KERNEL, 4096));
	CALL(syscall(SYS_getdents64, -1, buf, 4096));
	int odd = 0, misaligned = 0;
	for (;;) {
		long got = syscall(SYS_getdents64, d, buf, sizeof buf);
		if (got <= 0) {
			SHOW(got);
			break;
		}
		for (long at = 0; at < got;) {
			struct dirent64_raw *entry = (void *)(buf + at);
			char line[300];
			sprintf(line, "%s %d", entry->name, entry->type);
			names[count++] = strdup(line);
			odd += entry->ino == 0;
			misaligned += entry->reclen % 8 != 0;
			at += entry->reclen;
		}
	}
	SHOW(count);
	SHOW(odd);
	SHOW(misaligned);
	qsort(names, count, sizeof *names, compare);
	for (int i = 0; i < count; i++)
		if (i < 10 || i > count - 5)
			puts(names[i]);
	CALL(lseek(d, 0, SEEK_SET));
	TRUE(syscall(SYS_getdents64, d, buf, sizeof buf) > 0);
	TRUE(syscall(SYS_getdents, d, buf, sizeof buf) > 0);
	int f = open("d/file000", O_RDONLY);
	CALL(syscall(SYS_getdents64, f, buf, sizeof buf));
	/* Reading and removing at once visits everything. */
	DIR *dir = opendir("d");
	struct dirent *entry;
	int removed = 0;
	while ((entry = readdir(dir)))
		if (entry->d_type != DT_DIR && !unlinkat(dirfd(dir), entry->d_name, 0))
			removed++;
	closedir(dir);
	SHOW(removed);
	CALL(rmdir("d/sub"));
	CALL(rmdir("d"));
	CALL(syscall(SYS_getdents64, d, buf, sizeof buf));
	clean();
	return 0;
}
