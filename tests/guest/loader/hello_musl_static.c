// build: musl -static
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread int local = 3;

static void *thread(void *arg)
{
	local += (long)arg;
	return (void *)(long)local;
}

int main(int argc, char **argv)
{
	pthread_t id;
	void *result;
	printf("hello from static musl, %d arguments\n", argc);
	if (pthread_create(&id, NULL, thread, (void *)4L))
		return 1;
	pthread_join(id, &result);
	printf("%ld %d\n", (long)result, local);
	char *memory = malloc(10 << 20);
	memset(memory, 1, 10 << 20);
	printf("%s\n", strerror(ENOENT));
	return memory[5] + 3;
}
