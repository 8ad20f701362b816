#include "check.h"

int main(void)
{
	struct rlimit limit, old;
	CALL(getrlimit(RLIMIT_STACK, &limit));
	SHOW(limit.rlim_cur);
	CALL(getrlimit(RLIMIT_CORE, &limit) == 0);
	CALL(getrlimit(RLIMIT_CPU, &limit));
	SHOW(limit.rlim_cur);
	CALL(getrlimit(99, &limit));
	CALL(syscall(SYS_getrlimit, RLIMIT_CPU, KERNEL));
	limit = (struct rlimit){ 100, 50 };
	CALL(setrlimit(RLIMIT_NOFILE, &limit));
	limit = (struct rlimit){ 50, 100 };
	CALL(setrlimit(RLIMIT_NOFILE, &limit));
	CALL(getrlimit(RLIMIT_NOFILE, &limit));
	printf("%ld %ld\n", (long)limit.rlim_cur, (long)limit.rlim_max);
	limit = (struct rlimit){ 60, 60 };
	CALL(prlimit(0, RLIMIT_NOFILE, &limit, &old));
	printf("%ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
	CALL(prlimit(getpid(), RLIMIT_NOFILE, NULL, &old));
	printf("%ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
	CALL(prlimit(999999, RLIMIT_NOFILE, NULL, &old));
	CALL(prlimit(0, 99, NULL, &old));
	CALL(setresuid(1000, 1000, 1000));
	limit = (struct rlimit){ 61, 61 };
	CALL(setrlimit(RLIMIT_NOFILE, &limit));
	limit = (struct rlimit){ 60, 60 };
	CALL(setrlimit(RLIMIT_NOFILE, &limit));
	struct rusage usage;
	CALL(getrusage(RUSAGE_SELF, &usage));
	TRUE(usage.ru_maxrss > 0 && usage.ru_minflt > 0);
	CALL(getrusage(RUSAGE_CHILDREN, &usage));
	SHOW(usage.ru_maxrss);
	CALL(getrusage(RUSAGE_THREAD, &usage));
	CALL(getrusage(7, &usage));
	CALL(getrusage(RUSAGE_SELF, KERNEL));
	return 0;
}
