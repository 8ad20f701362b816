// machine: --cpus 2
#include "check.h"

static volatile int caught_by, hits;
static pthread_t threads[4];

static void caught(int signo)
{
	(void)signo;
	for (int i = 0; i < 4; i++)
		if (pthread_equal(pthread_self(), threads[i]))
			caught_by = i + 1;
	__atomic_add_fetch(&hits, 1, __ATOMIC_SEQ_CST);
}

static void *wait_forever(void *arg)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	if (arg)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (;;)
		pause();
}

static void wait_hits(int n)
{
	for (int i = 0; i < 2000 && hits < n; i++)
		usleep(1000);
}

int main(void)
{
	struct sigaction action = { .sa_handler = caught };
	sigset_t set;
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, wait_forever, (void *)(long)(i != 2));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	usleep(50000);
	RET(pthread_kill(threads[1], SIGUSR1));
	wait_hits(1);
	SHOW(caught_by);
	/* One thread alone lets the process's signal in. */
	CALL(kill(getpid(), SIGUSR2));
	wait_hits(2);
	SHOW(caught_by);
	for (int i = 0; i < 4; i++) {
		pthread_cancel(threads[i]);
		pthread_join(threads[i], NULL);
	}
	CALL(kill(getpid(), SIGUSR2));
	SHOW(hits);
	int signo;
	RET(sigwait(&set, &signo));
	SHOW(signo);
	/* A process's end ends all its threads, whatever they do. */
	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, wait_forever, NULL);
	_exit(21);
}
