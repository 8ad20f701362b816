// build: -static
#include "check.h"

static __thread int local = 3;
static int zero[100000];

static void *thread(void *arg)
{
	local += (long)arg;
	return (void *)(long)local;
}

int main(int argc, char **argv)
{
	pthread_t id;
	void *result;
	puts("hello from a program built static");
	SHOW(argc);
	SHOW(zero[99999]);
	RET(pthread_create(&id, NULL, thread, (void *)4L));
	pthread_join(id, &result);
	SHOW((long)result);
	SHOW(local);
	return 3;
}
