#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int ep;

static int add(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = 1000 + fd };
	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

static void look(int timeout)
{
	struct epoll_event events[8];
	int n = epoll_wait(ep, events, 8, timeout);
	printf("ready: %d%s", n, n < 0 ? errno_name(errno) : "");
	for (int i = 0; i < n; i++)
		printf(" (%x %d)", events[i].events, (int)events[i].data.u64);
	putchar('\n');
}

static void *waiter(void *arg)
{
	struct epoll_event event;
	return (void *)(long)epoll_wait(*(int *)arg, &event, 1, 3000);
}

static void *later(void *arg)
{
	usleep(50000);
	eventfd_write(*(int *)arg, 1);
	return NULL;
}

int main(void)
{
	struct epoll_event event = { EPOLLIN, { 0 } };
	char buf[16];
	int p[2];
	pipe(p);
	ep = CALL(epoll_create1(EPOLL_CLOEXEC));
	CALL(epoll_create1(1));
	CALL(epoll_create(0));
	CALL(close(epoll_create(5)));
	CALL(add(p[0], EPOLLIN));
	CALL(add(p[0], EPOLLIN));
	CALL(add(99, EPOLLIN));
	CALL(add(ep, EPOLLIN));
	int file = open("/etc/passwd", O_RDONLY);
	CALL(add(file, EPOLLIN));
	CALL(epoll_ctl(file, EPOLL_CTL_ADD, p[0], &event));
	CALL(epoll_ctl(99, EPOLL_CTL_ADD, p[0], &event));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &event));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
	CALL(epoll_ctl(ep, 77, p[1], &event));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], KERNEL));
	look(0);
	write(p[1], "abc", 3);
	look(0);
	look(-1);
	/* Edges: once for each arrival. */
	event = (struct epoll_event){ EPOLLIN | EPOLLET, { .u64 = 1 } };
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &event));
	look(0);
	look(0);
	write(p[1], "d", 1);
	look(0);
	look(0);
	read(p[0], buf, 1);
	look(0);
	event.events = EPOLLIN | EPOLLONESHOT;
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &event));
	look(0);
	look(0);
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &event));
	look(0);
	event.events = 0;
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &event));
	look(0);
	close(p[1]);
	look(0);
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	look(0);
	/* A closed descriptor leaves the set; its copy keeps it. */
	int e1 = eventfd(1, 0);
	CALL(add(e1, EPOLLIN));
	look(0);
	int copy = dup(e1);
	close(e1);
	look(0);
	close(copy);
	look(0);
	/* Sets inside sets. */
	int inner = epoll_create1(0), outer = ep;
	int e2 = eventfd(0, 0);
	ep = inner;
	CALL(add(e2, EPOLLIN));
	ep = outer;
	CALL(add(inner, EPOLLIN));
	look(0);
	eventfd_write(e2, 1);
	look(0);
	struct pollfd pfd = { outer, POLLIN };
	CALL(poll(&pfd, 1, 0));
	ep = inner;
	CALL(add(outer, EPOLLIN));
	ep = outer;
	eventfd_t value;
	eventfd_read(e2, &value);
	look(0);
	/* Waiting, and one event for one of two waiters. */
	pthread_t threads[2], late;
	void *a, *b;
	pthread_create(&late, NULL, later, &e2);
	look(5000);
	pthread_join(late, NULL);
	eventfd_read(e2, &value);
	int one = epoll_create1(0);
	ep = one;
	int e3 = eventfd(0, 0);
	CALL(add(e3, EPOLLIN | EPOLLONESHOT));
	pthread_create(&threads[0], NULL, waiter, &one);
	pthread_create(&threads[1], NULL, waiter, &one);
	usleep(50000);
	eventfd_write(e3, 1);
	usleep(100000);
	int e4 = eventfd(1, 0);
	CALL(add(e4, EPOLLIN | EPOLLONESHOT));
	pthread_join(threads[0], &a);
	pthread_join(threads[1], &b);
	SHOW((long)a + (long)b);
	int e5 = eventfd(0, 0);
	CALL(add(e5, EPOLLIN | EPOLLEXCLUSIVE));
	event.events = EPOLLIN;
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, e5, &event));
	CALL(add(eventfd(0, 0), EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT));
	CALL(epoll_wait(ep, &event, 0, 0));
	CALL(epoll_wait(ep, KERNEL, 1, 0));
	CALL(epoll_wait(99, &event, 1, 0));
	CALL(epoll_wait(file, &event, 1, 0));
	struct timespec ts = { 0, 1000000 };
	CALL(syscall(SYS_epoll_pwait2, ep, &event, 1, &ts, NULL, 0) >= 0);
	ts.tv_nsec = -1;
	CALL(syscall(SYS_epoll_pwait2, ep, &event, 1, &ts, NULL, 0));
	/* Fair: with room for one, each ready descriptor has its turn. */
	int fair = epoll_create1(0), seen = 0;
	ep = fair;
	int fds[3];
	for (int i = 0; i < 3; i++) {
		fds[i] = eventfd(1, 0);
		add(fds[i], EPOLLIN);
	}
	for (int i = 0; i < 3; i++) {
		epoll_wait(fair, &event, 1, 0);
		for (int j = 0; j < 3; j++)
			if ((int)event.data.u64 == 1000 + fds[j])
				seen |= 1 << j;
	}
	SHOW(seen);
	return 0;
}
