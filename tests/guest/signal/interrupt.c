#include "check.h"
#include <sys/epoll.h>
#include <sys/select.h>

static volatile int count;

static void caught(int signo)
{
	(void)signo;
	count++;
}

static void soon(void)
{
	struct itimerval timer = { { 0 }, { 0, 30000 } };
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void *writer(void *fd)
{
	usleep(100000);
	write(*(int *)fd, "x", 1);
	return NULL;
}

int main(void)
{
	struct sigaction action = { .sa_handler = caught };
	struct timespec second = { 1, 0 }, left = { 0 };
	struct epoll_event event;
	sigset_t none, set;
	pthread_t thread;
	char c;
	int p[2];
	pipe(p);
	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&none);
	soon();
	CALL(read(p[0], &c, 1));
	soon();
	CALL(nanosleep(&second, &left));
	TRUE(left.tv_sec == 0 && left.tv_nsec > 500000000);
	soon();
	CALL(clock_nanosleep(CLOCK_MONOTONIC, 0, &second, &left));
	soon();
	CALL(pause());
	soon();
	CALL(sigsuspend(&none));
	soon();
	struct pollfd fd = { p[0], POLLIN };
	CALL(poll(&fd, 1, 2000));
	soon();
	fd_set fds;
	FD_ZERO(&fds);
	FD_SET(p[0], &fds);
	struct timeval two = { 2, 0 };
	CALL(select(p[0] + 1, &fds, NULL, NULL, &two));
	soon();
	int ep = epoll_create1(0);
	CALL(epoll_wait(ep, &event, 1, 2000));
	soon();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CALL(sigtimedwait(&set, NULL, &second));
	soon();
	int word = 0;
	CALL(syscall(SYS_futex, &word, 0, 0, &second, NULL, 0));
	SHOW(count);
	/* With SA_RESTART, a read goes on, a poll or a sleep does not. */
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, NULL);
	pthread_create(&thread, NULL, writer, &p[1]);
	soon();
	CALL(read(p[0], &c, 1));
	pthread_join(thread, NULL);
	soon();
	CALL(poll(&fd, 1, 2000));
	soon();
	CALL(nanosleep(&second, &left));
	soon();
	CALL(epoll_wait(ep, &event, 1, 2000));
	SHOW(count);
	/* An ignored signal interrupts nothing. */
	signal(SIGALRM, SIG_IGN);
	struct timespec tenth = { 0, 100000000 };
	soon();
	CALL(nanosleep(&tenth, &left));
	/* The mask of ppoll holds while it waits. */
	sigaction(SIGALRM, &action, NULL);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	soon();
	usleep(60000);
	CALL(ppoll(&fd, 1, &second, NULL));
	CALL(ppoll(&fd, 1, &second, &none));
	soon();
	usleep(60000);
	CALL(epoll_pwait(ep, &event, 1, 1000, &none));
	soon();
	usleep(60000);
	FD_ZERO(&fds);
	CALL(pselect(0, NULL, NULL, NULL, &second, &none));
	SHOW(count);
	return 0;
}
