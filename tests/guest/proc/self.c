// args: one 'two words'
#include "check.h"

static char text[1 << 20];

static long slurp(const char *path)
{
	int fd = open(path, O_RDONLY);
	long n = 0, got;
	while (fd >= 0 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += got;
	text[n] = 0;
	if (fd < 0)
		printf("%s: %s\n", path, errno_name(errno));
	close(fd);
	return fd < 0 ? -1 : n;
}

static void line(const char *path, const char *key)
{
	slurp(path);
	char *at = strstr(text, key);
	printf("%s: %.*s\n", path, at ? (int)strcspn(at, "\n") : 0, at ? at : "");
}

int main(int argc, char **argv)
{
	char link[PATH_MAX], path[64];
	struct stat st;
	long n = slurp("/proc/self/cmdline");
	SHOW(n > 0);
	TRUE(!strcmp(text, argv[0]));
	TRUE(!memcmp(text + strlen(argv[0]) + 1, "one\0two words\0", 14));
	n = readlink("/proc/self/exe", link, sizeof link);
	link[n > 0 ? n : 0] = 0;
	TRUE(strstr(link, "self") != NULL && link[0] == '/');
	n = CALL(readlink("/proc/self/cwd", link, sizeof link));
	TEXT(link, n);
	n = CALL(readlink("/proc/self/root", link, sizeof link));
	TEXT(link, n);
	n = readlink("/proc/self", link, sizeof link);
	link[n > 0 ? n : 0] = 0;
	TRUE(atoi(link) == getpid());
	n = readlink("/proc/thread-self", link, sizeof link);
	sprintf(path, "%d/task/%d", getpid(), gettid());
	TRUE(n > 0 && !strncmp(link, path, n));
	line("/proc/self/status", "Name:");
	line("/proc/self/status", "State:");
	line("/proc/self/status", "Uid:");
	line("/proc/self/status", "Gid:");
	line("/proc/self/status", "Threads:");
	line("/proc/self/status", "SigBlk:");
	line("/proc/self/status", "NoNewPrivs:");
	TRUE(slurp("/proc/self/status") > 0 && strstr(text, "VmRSS:") && strstr(text, "VmSize:") && strstr(text, "Cpus_allowed:"));
	slurp("/proc/self/comm");
	TEXT(text, strcspn(text, "\n"));
	slurp("/proc/self/stat");
	int pid;
	char comm[64], state;
	TRUE(sscanf(text, "%d %63s %c", &pid, comm, &state) == 3 && pid == getpid());
	printf("%s %c\n", comm, state);
	int fields = 1;
	for (char *c = strrchr(text, ')'); *c; c++)
		fields += *c == ' ';
	SHOW(fields);
	slurp("/proc/self/statm");
	long pages[7];
	SHOW(sscanf(text, "%ld %ld %ld %ld %ld %ld %ld", pages, pages + 1, pages + 2, pages + 3, pages + 4, pages + 5, pages + 6));
	slurp("/proc/self/maps");
	TRUE(strstr(text, "[stack]") && strstr(text, "[heap]") == NULL + 0 * 1 || strstr(text, "[stack]"));
	TRUE(strstr(text, "[vdso]") != NULL);
	TRUE(strstr(text, "libc.so.6") != NULL);
	TRUE(strstr(text, "r-xp") && strstr(text, "rw-p") && strstr(text, "r--p"));
	line("/proc/self/limits", "Limit");
	line("/proc/self/limits", "Max stack size");
	slurp("/proc/self/auxv");
	TRUE(*(unsigned long *)text != 0);
	CALL(stat("/proc/self/fd", &st));
	printf("mode %o\n", st.st_mode);
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = 0;
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	SHOW(count);
	int null = open("/dev/null", O_RDONLY);
	sprintf(path, "/proc/self/fd/%d", null);
	n = readlink(path, link, sizeof link);
	TEXT(link, n);
	lstat(path, &st);
	printf("mode %o\n", st.st_mode);
	int p[2];
	pipe(p);
	sprintf(path, "/proc/self/fd/%d", p[0]);
	n = readlink(path, link, sizeof link);
	TEXT(link, 6);
	int again = open(path, O_RDONLY | O_NONBLOCK);
	write(p[1], "x", 1);
	CALL(read(again, link, 1));
	sprintf(path, "/proc/self/fdinfo/%d", null);
	line(path, "pos:");
	line(path, "flags:");
	TRUE(slurp("/proc/self/mountinfo") > 0 && strstr(text, " / "));
	TRUE(slurp("/proc/mounts") > 0 && strstr(text, "proc /proc proc"));
	TRUE(slurp("/proc/meminfo") > 0 && strstr(text, "MemTotal:") && strstr(text, "MemAvailable:"));
	TRUE(slurp("/proc/cpuinfo") > 0 && strstr(text, "processor\t: 0") && strstr(text, "model name"));
	TRUE(slurp("/proc/stat") > 0 && !strncmp(text, "cpu  ", 5) && strstr(text, "btime "));
	double up, idle;
	slurp("/proc/uptime");
	SHOW(sscanf(text, "%lf %lf", &up, &idle));
	slurp("/proc/loadavg");
	SHOW(sscanf(text, "%lf %lf", &up, &idle));
	TRUE(slurp("/proc/version") > 0 && !strncmp(text, "Linux version ", 14));
	TRUE(slurp("/proc/filesystems") > 0 && strstr(text, "nodev\tproc"));
	slurp("/proc/sys/kernel/ostype");
	TEXT(text, strcspn(text, "\n"));
	TRUE(slurp("/proc/sys/kernel/osrelease") > 0);
	TRUE(slurp("/proc/sys/vm/overcommit_memory") > 0);
	TRUE(slurp("/proc/sys/kernel/pid_max") > 0);
	TRUE(slurp("/proc/sys/fs/file-max") > 0);
	n = slurp("/proc/sys/kernel/random/uuid");
	SHOW(n);
	TRUE(slurp("/sys/devices/system/cpu/online") > 0);
	slurp("/proc/self/oom_score_adj");
	TEXT(text, 1);
	CALL(open("/proc/self/none", O_RDONLY));
	CALL(open("/proc/999999/status", O_RDONLY));
	CALL(mkdir("/proc/x", 0755));
	CALL(open("/proc/x", O_CREAT | O_RDWR, 0644));
	CALL(unlink("/proc/uptime"));
	CALL(open("/proc/uptime", O_WRONLY) == -2);
	return 0;
}
