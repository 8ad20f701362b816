// machine: --cpus 2
#include "check.h"
#include <semaphore.h>

#define N 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static __thread int local = 5;
static long counter, waiting, go, destroyed, onces;
static sem_t sem;

static void *count(void *arg)
{
	local += (long)arg;
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
	}
	return (void *)(long)local;
}

static void *wait_cond(void *arg)
{
	pthread_mutex_lock(&mutex);
	waiting++;
	while (!go)
		pthread_cond_wait(&cond, &mutex);
	counter++;
	pthread_mutex_unlock(&mutex);
	return arg;
}

static void *meet(void *arg)
{
	(void)arg;
	return pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD ? (void *)1 : NULL;
}

static void once_only(void)
{
	onces++;
}

static void destroy(void *value)
{
	__atomic_add_fetch(&destroyed, (long)value, __ATOMIC_SEQ_CST);
}

static void *specific(void *arg)
{
	pthread_once(&once, once_only);
	pthread_setspecific(key, arg);
	return pthread_getspecific(key);
}

static void *forever(void *arg)
{
	(void)arg;
	for (;;)
		sleep(100);
}

static void *detached(void *arg)
{
	sem_post(arg);
	return NULL;
}

static void *busy(void *arg)
{
	volatile int *stop = arg;
	while (!*stop)
		;
	return NULL;
}

static void *owner(void *arg)
{
	pthread_mutex_lock(arg);
	return NULL;
}

int main(void)
{
	pthread_t threads[N];
	long sum = 0;
	void *result;
	for (long i = 0; i < N; i++)
		if (pthread_create(&threads[i], NULL, count, (void *)i))
			puts("create failed");
	for (int i = 0; i < N; i++) {
		pthread_join(threads[i], &result);
		sum += (long)result;
	}
	SHOW(counter);
	SHOW(sum);
	SHOW(local);
	counter = 0;
	for (int i = 0; i < 20; i++)
		pthread_create(&threads[i], NULL, wait_cond, NULL);
	for (;;) {
		pthread_mutex_lock(&mutex);
		long now = waiting;
		pthread_mutex_unlock(&mutex);
		if (now == 20)
			break;
		sched_yield();
	}
	pthread_mutex_lock(&mutex);
	go = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 20; i++)
		pthread_join(threads[i], NULL);
	SHOW(counter);
	pthread_barrier_init(&barrier, NULL, 8);
	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, meet, NULL);
	sum = 0;
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		sum += (long)result;
	}
	SHOW(sum);
	pthread_key_create(&key, destroy);
	for (long i = 0; i < 10; i++)
		pthread_create(&threads[i], NULL, specific, (void *)(i + 1));
	for (int i = 0; i < 10; i++)
		pthread_join(threads[i], NULL);
	SHOW(destroyed);
	SHOW(onces);
	struct timespec past = { 1, 0 };
	RET(pthread_mutex_lock(&mutex));
	RET(pthread_mutex_trylock(&mutex));
	RET(pthread_mutex_timedlock(&mutex, &past));
	RET(pthread_cond_timedwait(&cond, &mutex, &past));
	RET(pthread_mutex_unlock(&mutex));
	RET(pthread_rwlock_rdlock(&rwlock));
	RET(pthread_rwlock_tryrdlock(&rwlock));
	RET(pthread_rwlock_trywrlock(&rwlock));
	RET(pthread_rwlock_unlock(&rwlock));
	RET(pthread_rwlock_unlock(&rwlock));
	RET(pthread_rwlock_trywrlock(&rwlock));
	RET(pthread_rwlock_unlock(&rwlock));
	RET(pthread_create(&threads[0], NULL, forever, NULL));
	RET(pthread_cancel(threads[0]));
	RET(pthread_join(threads[0], &result));
	TRUE(result == PTHREAD_CANCELED);
	sem_init(&sem, 0, 0);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 1 << 20);
	RET(pthread_create(&threads[0], &attr, detached, &sem));
	CALL(sem_wait(&sem));
	CALL(sem_trywait(&sem));
	CALL(sem_timedwait(&sem, &past));
	/* More busy threads than processors: everybody gets on. */
	volatile int stop = 0;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, busy, (void *)&stop);
	usleep(50000);
	stop = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	puts("busy threads ended");
	pthread_mutexattr_t ma;
	pthread_mutex_t kinds;
	pthread_mutexattr_init(&ma);
	pthread_mutexattr_settype(&ma, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&kinds, &ma);
	RET(pthread_mutex_lock(&kinds));
	RET(pthread_mutex_lock(&kinds));
	RET(pthread_mutex_unlock(&kinds));
	RET(pthread_mutex_unlock(&kinds));
	pthread_mutexattr_settype(&ma, PTHREAD_MUTEX_NORMAL);
	pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&kinds, &ma);
	pthread_create(&threads[0], NULL, owner, &kinds);
	pthread_join(threads[0], NULL);
	RET(pthread_mutex_lock(&kinds));
	RET(pthread_mutex_consistent(&kinds));
	RET(pthread_mutex_unlock(&kinds));
	pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_STALLED);
	RET(pthread_mutexattr_setprotocol(&ma, PTHREAD_PRIO_INHERIT));
	RET(pthread_mutex_init(&kinds, &ma));
	RET(pthread_mutex_lock(&kinds));
	RET(pthread_mutex_trylock(&kinds));
	RET(pthread_mutex_unlock(&kinds));
	char name[16] = "";
	RET(pthread_setname_np(pthread_self(), "main thread"));
	RET(pthread_getname_np(pthread_self(), name, 16));
	puts(name);
	return 0;
}
