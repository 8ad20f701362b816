// machine: --cpus 2
#include "check.h"

static void *count(void *arg)
{
	long *counter = arg;
	for (int i = 0; i < 100000; i++)
		__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *where(void *arg)
{
	(void)arg;
	return (void *)(long)sched_getcpu();
}

int main(void)
{
	pthread_t threads[4];
	static long counter;
	cpu_set_t set;
	SHOW(sysconf(_SC_NPROCESSORS_ONLN));
	SHOW(sysconf(_SC_NPROCESSORS_CONF) >= 2);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count, &counter);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	SHOW(counter);
	for (int cpu = 0; cpu < 2; cpu++) {
		pthread_attr_t attr;
		void *result;
		pthread_attr_init(&attr);
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof set, &set);
		RET(pthread_create(&threads[0], &attr, where, NULL));
		pthread_join(threads[0], &result);
		SHOW((long)result);
		CALL(sched_setaffinity(0, sizeof set, &set));
		CALL(sched_getcpu());
	}
	CALL(sched_getaffinity(0, sizeof set, &set));
	SHOW(CPU_COUNT(&set));
	return 0;
}
