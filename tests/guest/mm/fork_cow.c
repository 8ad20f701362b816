#include "check.h"

int main(void)
{
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *private = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *wiped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(private, 1, 1 << 20);
	wiped[0] = 9;
	CALL(madvise(wiped, 4096, MADV_WIPEONFORK));
	pid_t child = fork();
	if (child == 0) {
		private[5] = 2;
		shared[0] = 3;
		shared[1] = private[6];
		shared[2] = wiped[0];
		_exit(4);
	}
	int status = 0;
	TRUE(waitpid(child, &status, 0) == child);
	SHOW(WEXITSTATUS(status));
	SHOW(private[5]);
	SHOW(shared[0]);
	SHOW(shared[1]);
	SHOW(shared[2]);
	SHOW(wiped[0]);
	return 0;
}
