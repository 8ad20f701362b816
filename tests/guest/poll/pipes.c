#include "check.h"
#include <sys/ioctl.h>

static void *drain(void *arg)
{
	char buf[65536];
	usleep(50000);
	long total = 0, got;
	while ((got = read(*(int *)arg, buf, sizeof buf)) > 0)
		total += got;
	return (void *)total;
}

int main(void)
{
	static char big[1 << 20];
	char buf[8192];
	int p[2], n;
	signal(SIGPIPE, SIG_IGN);
	CALL(pipe2(p, O_NONBLOCK | O_CLOEXEC));
	CALL(fcntl(p[0], F_GETFD));
	CALL(read(p[0], buf, 10));
	CALL(write(p[1], "hello", 5));
	CALL(ioctl(p[0], FIONREAD, &n));
	SHOW(n);
	CALL(read(p[0], buf, 2));
	CALL(read(p[0], buf, 10));
	CALL(read(p[1], buf, 1));
	CALL(write(p[0], buf, 1));
	CALL(fcntl(p[0], F_GETPIPE_SZ));
	long total = 0, got;
	while ((got = write(p[1], big, 4096)) > 0)
		total += got;
	SHOW(total);
	CALL(write(p[1], big, 1));
	CALL(read(p[0], buf, 4095));
	CALL(write(p[1], big, 4096));
	CALL(write(p[1], big, 8192));
	CALL(read(p[0], buf, 1));
	CALL(write(p[1], big, 4096));
	CALL(write(p[1], big, 8192));
	CALL(fcntl(p[0], F_SETPIPE_SZ, 4096));
	while (read(p[0], buf, sizeof buf) > 0)
		;
	CALL(fcntl(p[0], F_SETPIPE_SZ, 4096));
	CALL(fcntl(p[0], F_SETPIPE_SZ, 100000));
	CALL(fcntl(p[0], F_SETPIPE_SZ, 0));
	CALL(fcntl(p[0], F_SETPIPE_SZ, -1));
	CALL(fcntl(0, F_GETPIPE_SZ) == -2);
	CALL(close(p[1]));
	CALL(read(p[0], buf, 1));
	CALL(pipe(p));
	CALL(close(p[0]));
	CALL(write(p[1], "x", 1));
	CALL(pipe2(p, 1));
	CALL(pipe(KERNEL));
	/* A blocking write of more than fits waits for the reader. */
	CALL(pipe(p));
	pthread_t thread;
	void *result;
	pthread_create(&thread, NULL, drain, &p[0]);
	CALL(write(p[1], big, sizeof big));
	close(p[1]);
	pthread_join(thread, &result);
	SHOW((long)result);
	/* Packets keep their ends. */
	CALL(pipe2(p, O_DIRECT));
	CALL(write(p[1], "first", 5));
	CALL(write(p[1], "second", 6));
	CALL(read(p[0], buf, 3));
	CALL(read(p[0], buf, 100));
	TEXT(buf, 6);
	/* SIGPIPE. */
	signal(SIGPIPE, SIG_DFL);
	fflush(stdout);
	close(p[0]);
	pid_t child = fork();
	if (child == 0) {
		write(p[1], "x", 1);
		_exit(0);
	}
	int status;
	waitpid(child, &status, 0);
	SHOW(WTERMSIG(status));
	return 0;
}
