#include "check.h"

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long start;

static int took(long long least)
{
	long long ms = (now() - start) / 1000000;
	return ms >= least && ms < least + 500;
}

int main(void)
{
	struct timespec ts = { 0, 50000000 }, left = { 5, 5 };
	start = now();
	CALL(nanosleep(&ts, &left));
	TRUE(took(50));
	TRUE(left.tv_sec == 5);
	ts.tv_nsec = -1;
	CALL(nanosleep(&ts, NULL));
	ts.tv_nsec = 1000000000;
	CALL(nanosleep(&ts, NULL));
	ts = (struct timespec){ -1, 0 };
	CALL(nanosleep(&ts, NULL));
	CALL(nanosleep(KERNEL, NULL));
	ts = (struct timespec){ 0, 0 };
	CALL(nanosleep(&ts, NULL));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += 60000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	start = now();
	RET(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	TRUE(took(55));
	start = now();
	RET(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
	TRUE(took(0));
	clock_gettime(CLOCK_REALTIME, &ts);
	RET(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL));
	ts = (struct timespec){ 0, 1000 };
	RET(clock_nanosleep(CLOCK_BOOTTIME, 0, &ts, NULL));
	RET(clock_nanosleep(CLOCK_TAI, 0, &ts, NULL));
	RET(clock_nanosleep(99, 0, &ts, NULL));
	RET(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &ts, NULL));
	RET(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL));
	RET(clock_nanosleep(CLOCK_MONOTONIC_COARSE, 0, &ts, NULL));
	start = now();
	CALL(usleep(20000));
	TRUE(took(20));
	start = now();
	CALL(poll(NULL, 0, 30));
	TRUE(took(30));
	start = now();
	CALL(sleep(1));
	TRUE(took(1000));
	/* Short sleeps end in order. */
	int order = 1;
	for (int i = 0; i < 20; i++) {
		long long before = now();
		ts = (struct timespec){ 0, 1000000 };
		nanosleep(&ts, NULL);
		order &= now() - before >= 1000000;
	}
	SHOW(order);
	return 0;
}
