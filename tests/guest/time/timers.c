#include "check.h"
#include <sys/timerfd.h>

static volatile int count, code, value;

static void caught(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	code = info->si_code;
	value = info->si_value.sival_int;
	count++;
}

static volatile int notified;

static void notify(union sigval v)
{
	notified = v.sival_int;
}

static void wait_for(volatile int *what, int least)
{
	for (int i = 0; i < 2000 && *what < least; i++)
		usleep(1000);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGVTALRM, &action, NULL);
	sigaction(SIGPROF, &action, NULL);
	struct itimerval it = { { 0, 10000 }, { 0, 10000 } }, old;
	CALL(setitimer(ITIMER_REAL, &it, NULL));
	wait_for(&count, 3);
	TRUE(count >= 3);
	SHOW(code);
	memset(&it, 0, sizeof it);
	CALL(setitimer(ITIMER_REAL, &it, &old));
	TRUE(old.it_interval.tv_usec == 10000);
	CALL(getitimer(ITIMER_REAL, &old));
	SHOW(old.it_value.tv_usec);
	CALL(getitimer(9, &old));
	CALL(setitimer(ITIMER_REAL, KERNEL, NULL));
	it.it_value.tv_usec = 1000000;
	CALL(setitimer(ITIMER_REAL, &it, NULL));
	count = 0;
	it.it_value.tv_usec = 20000;
	CALL(setitimer(ITIMER_VIRTUAL, &it, NULL));
	for (volatile long i = 0; count == 0 && i < 3000000000L; i++)
		;
	SHOW(count);
	CALL(alarm(100));
	CALL(alarm(0));
	CALL(alarm(0));
	/* POSIX timers. */
	timer_t timer, other;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42 };
	struct itimerspec spec = { { 0, 5000000 }, { 0, 5000000 } }, got;
	CALL(timer_create(CLOCK_MONOTONIC, &event, &timer));
	CALL(timer_settime(timer, 0, &spec, NULL));
	count = 0;
	wait_for(&count, 3);
	TRUE(count >= 3);
	SHOW(code);
	SHOW(value);
	CALL(timer_gettime(timer, &got));
	SHOW(got.it_interval.tv_nsec);
	TRUE(timer_getoverrun(timer) >= 0);
	memset(&spec, 0, sizeof spec);
	CALL(timer_settime(timer, 0, &spec, &got));
	SHOW(got.it_interval.tv_nsec);
	spec.it_value.tv_nsec = 1000000000;
	CALL(timer_settime(timer, 0, &spec, NULL));
	clock_gettime(CLOCK_MONOTONIC, &spec.it_value);
	count = 0;
	CALL(timer_settime(timer, TIMER_ABSTIME, &spec, NULL));
	wait_for(&count, 1);
	SHOW(count);
	CALL(timer_delete(timer));
	CALL(syscall(SYS_timer_delete, 12345));
	CALL(syscall(SYS_timer_gettime, 12345, &got));
	event.sigev_signo = 99;
	CALL(timer_create(CLOCK_MONOTONIC, &event, &timer));
	event.sigev_notify = 77;
	CALL(timer_create(CLOCK_MONOTONIC, &event, &timer));
	CALL(timer_create(99, NULL, &timer));
	event = (struct sigevent){ .sigev_notify = SIGEV_NONE };
	CALL(timer_create(CLOCK_REALTIME, &event, &other));
	spec = (struct itimerspec){ { 0 }, { 100, 0 } };
	CALL(timer_settime(other, 0, &spec, NULL));
	CALL(timer_gettime(other, &got));
	TRUE(got.it_value.tv_sec == 99 || got.it_value.tv_sec == 100);
	event = (struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 5 };
	CALL(timer_create(CLOCK_MONOTONIC, &event, &timer));
	spec = (struct itimerspec){ { 0 }, { 0, 1000000 } };
	CALL(timer_settime(timer, 0, &spec, NULL));
	wait_for(&notified, 1);
	SHOW(notified);
	event = (struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	CALL(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
	spec = (struct itimerspec){ { 0 }, { 0, 20000000 } };
	count = 0;
	CALL(timer_settime(timer, 0, &spec, NULL));
	for (volatile long i = 0; count == 0 && i < 3000000000L; i++)
		;
	SHOW(count);
	/* Descriptors. */
	uint64_t expirations = 0;
	int fd = CALL(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	CALL(read(fd, &expirations, 8));
	spec = (struct itimerspec){ { 0, 10000000 }, { 0, 10000000 } };
	CALL(timerfd_settime(fd, 0, &spec, NULL));
	usleep(55000);
	CALL(read(fd, &expirations, 8));
	TRUE(expirations >= 4);
	CALL(read(fd, &expirations, 4));
	CALL(write(fd, &expirations, 8));
	CALL(timerfd_gettime(fd, &got));
	SHOW(got.it_interval.tv_nsec);
	struct pollfd pfd = { fd, POLLIN };
	CALL(poll(&pfd, 1, 1000));
	memset(&spec, 0, sizeof spec);
	CALL(timerfd_settime(fd, 0, &spec, &got));
	CALL(read(fd, &expirations, 8));
	CALL(timerfd_create(99, 0));
	CALL(timerfd_create(CLOCK_MONOTONIC, 1));
	CALL(timerfd_settime(0, 0, &spec, NULL) == -1);
	CALL(timerfd_settime(fd, 77, &spec, NULL));
	clock_gettime(CLOCK_REALTIME, &spec.it_value);
	int real = timerfd_create(CLOCK_REALTIME, 0);
	CALL(timerfd_settime(real, TFD_TIMER_ABSTIME, &spec, NULL));
	CALL(read(real, &expirations, 8));
	SHOW(expirations);
	return 0;
}
