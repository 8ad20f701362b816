#include "check.h"
#include <sys/eventfd.h>
#include <sys/select.h>

static void *later(void *arg)
{
	usleep(50000);
	write(*(int *)arg, "x", 1);
	return NULL;
}

int main(void)
{
	int p[2], q[2];
	char c;
	pipe(p);
	pipe(q);
	struct pollfd fds[4] = { { p[0], POLLIN | POLLRDHUP }, { p[1], POLLOUT }, { -1, POLLIN }, { 99, POLLIN } };
	CALL(poll(fds, 4, 0));
	for (int i = 0; i < 4; i++)
		SHOW(fds[i].revents);
	write(p[1], "a", 1);
	CALL(poll(fds, 1, -1));
	SHOW(fds[0].revents);
	read(p[0], &c, 1);
	close(p[1]);
	CALL(poll(fds, 1, 0));
	SHOW(fds[0].revents);
	fds[0] = (struct pollfd){ q[1], POLLOUT };
	close(q[0]);
	CALL(poll(fds, 1, 0));
	SHOW(fds[0].revents);
	CALL(poll(KERNEL, 1, 0));
	CALL(poll(NULL, 0, 0));
	CALL(poll(fds, 1 << 24, 0));
	struct timespec none = { 0, 0 }, bad = { -1, 0 };
	CALL(ppoll(fds, 0, &none, NULL));
	CALL(ppoll(fds, 0, &bad, NULL));
	CALL(syscall(SYS_ppoll, fds, 0, &none, &none, 4));
	pipe(p);
	pthread_t thread;
	pthread_create(&thread, NULL, later, &p[1]);
	fds[0] = (struct pollfd){ p[0], POLLIN };
	CALL(poll(fds, 1, 5000));
	pthread_join(thread, NULL);
	fd_set r, w, e;
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	FD_SET(p[0], &e);
	struct timeval tv = { 1, 0 };
	CALL(select(p[1] + 1, &r, &w, &e, &tv));
	TRUE(FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &e));
	read(p[0], &c, 1);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	tv = (struct timeval){ 0, 20000 };
	CALL(select(p[0] + 1, &r, NULL, NULL, &tv));
	TRUE(!FD_ISSET(p[0], &r) && tv.tv_sec == 0 && tv.tv_usec == 0);
	/* Descriptors above the table's size are not looked at, and a child's table is as small as it can be. */
	FD_SET(77, &r);
	pid_t child = fork();
	if (child == 0) {
		CALL(select(78, &r, NULL, NULL, &tv));
		dup2(p[0], 90);
		close(90);
		CALL(select(78, &r, NULL, NULL, &tv));
		FD_CLR(77, &r);
		FD_SET(200, &r);
		CALL(select(201, &r, NULL, NULL, &tv));
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	CALL(select(-1, NULL, NULL, NULL, &tv));
	tv.tv_usec = -1;
	CALL(select(0, NULL, NULL, NULL, &tv));
	CALL(pselect(0, NULL, NULL, NULL, &bad, NULL));
	/* Files are always ready. */
	int file = open("/etc/passwd", O_RDONLY);
	fds[0] = (struct pollfd){ file, POLLIN | POLLOUT };
	CALL(poll(fds, 1, 0));
	SHOW(fds[0].revents);
	int null = open("/dev/null", O_RDWR);
	fds[0].fd = null;
	CALL(poll(fds, 1, 0));
	SHOW(fds[0].revents);
	/* Counters. */
	uint64_t value = 3;
	int efd = CALL(eventfd(2, EFD_NONBLOCK));
	CALL(read(efd, &value, 8));
	SHOW(value);
	CALL(read(efd, &value, 8));
	CALL(read(efd, &value, 4));
	value = 5;
	CALL(write(efd, &value, 8));
	CALL(write(efd, &value, 8));
	CALL(write(efd, &value, 4));
	fds[0] = (struct pollfd){ efd, POLLIN | POLLOUT };
	CALL(poll(fds, 1, 0));
	SHOW(fds[0].revents);
	CALL(read(efd, &value, 8));
	SHOW(value);
	value = -1;
	CALL(write(efd, &value, 8));
	value = -2;
	CALL(write(efd, &value, 8));
	CALL(poll(fds, 1, 0));
	SHOW(fds[0].revents);
	value = 1;
	CALL(write(efd, &value, 8));
	int semaphore = CALL(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
	CALL(read(semaphore, &value, 8));
	SHOW(value);
	CALL(read(semaphore, &value, 8));
	CALL(read(semaphore, &value, 8));
	CALL(eventfd(0, 0x100));
	CALL(lseek(efd, 0, SEEK_SET));
	return 0;
}
