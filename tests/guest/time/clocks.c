#include "check.h"
#include <sys/timex.h>
#include <sys/times.h>

static long long ns(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(void)
{
	struct timespec a, b, r;
	int clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
			 CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI };
	for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
		SHOW(clocks[i]);
		CALL(clock_gettime(clocks[i], &a));
		CALL(clock_gettime(clocks[i], &b));
		TRUE(ns(b) >= ns(a));
		CALL(syscall(SYS_clock_gettime, clocks[i], &b));
		TRUE(ns(b) >= ns(a));
		CALL(clock_getres(clocks[i], &r));
		TRUE(r.tv_sec == 0 && r.tv_nsec > 0 && r.tv_nsec <= 10000000);
	}
	CALL(clock_gettime(99, &a));
	CALL(clock_getres(99, &a));
	CALL(clock_getres(CLOCK_MONOTONIC, NULL));
	CALL(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, KERNEL));
	clock_gettime(CLOCK_REALTIME, &a);
	struct timeval tv;
	struct timezone zone = { 9, 9 };
	CALL(gettimeofday(&tv, &zone));
	TRUE(tv.tv_sec - a.tv_sec <= 1 && tv.tv_sec >= a.tv_sec);
	CALL(gettimeofday(NULL, NULL));
	CALL(syscall(SYS_gettimeofday, KERNEL, NULL));
	time_t t;
	TRUE(time(&t) - a.tv_sec <= 1 && t >= a.tv_sec);
	TRUE(syscall(SYS_time, NULL) - t <= 1);
	TRUE(a.tv_sec > 1750000000);
	struct tms tms;
	TRUE(times(&tms) != -1);
	TRUE(tms.tms_cutime == 0);
	TRUE(times(NULL) != -1);
	CALL(sysconf(_SC_CLK_TCK));
	/* The clocks of work: busy time counts, sleep does not. */
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	clock_gettime(CLOCK_MONOTONIC, &r);
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while (ns(b) - ns(r) < 50000000);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	TRUE(ns(b) - ns(a) > 5000000);
	a = b;
	struct timespec nap = { 0, 50000000 };
	nanosleep(&nap, NULL);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	TRUE(ns(b) - ns(a) < 25000000);
	clockid_t id;
	CALL(clock_getcpuclockid(getpid(), &id));
	CALL(clock_gettime(id, &a));
	CALL(clock_getcpuclockid(999999, &id));
	CALL(pthread_getcpuclockid(pthread_self(), &id));
	CALL(clock_gettime(id, &a));
	struct timex timex = { 0 };
	CALL(adjtimex(&timex) >= 0);
	TRUE(timex.tick > 9000 && timex.tick < 11000);
	a.tv_nsec = 1000000000;
	CALL(clock_settime(CLOCK_REALTIME, &a));
	CALL(clock_settime(CLOCK_MONOTONIC, &b));
	CALL(setresuid(1000, 1000, 1000));
	clock_gettime(CLOCK_REALTIME, &a);
	CALL(clock_settime(CLOCK_REALTIME, &a));
	CALL(settimeofday(&tv, NULL));
	timex.modes = ADJ_FREQUENCY;
	CALL(adjtimex(&timex));
	return 0;
}
