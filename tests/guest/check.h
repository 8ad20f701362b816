/* One line per check: the text of the expression and what it gave. Nothing that differs from run to run is printed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *errno_name(int number)
{
	static char text[32];
#ifdef __GLIBC__
	const char *name = strerrorname_np(number);
	if (name)
		return name;
#endif
	snprintf(text, sizeof text, "error %d", number);
	return text;
}

/* Output line by line; and whoever started Linux's run may have left descriptors open. */
__attribute__((constructor)) static void prepare_run(void)
{
	syscall(SYS_close_range, 3, ~0U, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

__attribute__((unused)) static long check_call(const char *text, long result, int error)
{
	if (result == -1)
		printf("%s = -1 %s\n", text, errno_name(error));
	else
		printf("%s = %ld\n", text, result);
	return result;
}

__attribute__((unused)) static long check_ok(const char *text, long result, int error)
{
	if (result == -1)
		printf("%s = -1 %s\n", text, errno_name(error));
	else
		printf("%s ok\n", text);
	return result;
}

/* A call whose result is shown. */
#define CALL(call) ({ errno = 0; long result_ = (long)(call); check_call(#call, result_, errno); })
/* A call whose result differs from run to run: only whether it failed is shown. */
#define OK(call) ({ errno = 0; long result_ = (long)(call); check_ok(#call, result_, errno); })
/* A call that returns an address, or MAP_FAILED. */
#define MAP(call) ({ errno = 0; void *result_ = (void *)(call); check_ok(#call, (long)result_, errno); result_; })
/* A call that returns an error number (pthread_*). */
#define RET(call) ({ int result_ = (call); printf("%s = %s\n", #call, result_ ? errno_name(result_) : "0"); result_; })
/* A condition. */
#define TRUE(condition) ({ int result_ = !!(condition); printf("%s: %s\n", #condition, result_ ? "yes" : "no"); result_; })
/* A number. */
#define SHOW(value) ({ long result_ = (long)(value); printf("%s: %ld\n", #value, result_); result_; })
/* Text of a known length. */
#define TEXT(bytes, length) ({ printf("%s: '%.*s'\n", #bytes, (int)(length), (const char *)(bytes)); })

/* An address that no program may use, and one that nothing is mapped at. */
#define KERNEL ((void *)0xffff800000000000)
#define UNMAPPED ((void *)0x10)

/* Makes a folder of our own and goes there. */
__attribute__((unused)) static void scratch(void)
{
	char path[256];
	const char *base = getenv("SCRATCH");
	snprintf(path, sizeof path, "%s/guest-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(path) || chdir(path)) {
		perror(path);
		exit(99);
	}
	umask(022);
}

/* Removes what a folder holds. */
__attribute__((unused)) static void empty(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(fd, entry->d_name, 0)) {
			empty(fd, entry->d_name);
			unlinkat(fd, entry->d_name, AT_REMOVEDIR);
		}
	}
	if (dir)
		closedir(dir);
}

/* Removes our folder again: Linux's /dev/shm is not ours to fill. */
__attribute__((unused)) static void clean(void)
{
	char path[512];
	if (getcwd(path, sizeof path) && strstr(path, "/guest-")) {
		empty(AT_FDCWD, ".");
		if (chdir("/") == 0)
			rmdir(path);
	}
}

/* Writes a small file. */
__attribute__((unused)) static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		perror(path);
		exit(99);
	}
	close(fd);
}
