#include "check.h"
#include <linux/sched.h>

static char stack[65536] __attribute__((aligned(16)));
static volatile int done, tid_there;

static int child(void *arg)
{
	done = (long)arg;
	return 6;
}

static void *last_one(void *arg)
{
	(void)arg;
	usleep(100000);
	puts("the other thread goes on after main");
	exit(9);
}

int main(void)
{
	int status, parent_tid = 0;
	pid_t pid = clone(child, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)5L);
	waitpid(pid, &status, 0);
	SHOW(WEXITSTATUS(status));
	SHOW(done);
	pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, (void *)7L,
		    &parent_tid, NULL, &tid_there);
	TRUE(parent_tid == pid);
	waitpid(pid, &status, 0);
	SHOW(done);
	SHOW(tid_there);
	CALL(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
	CALL(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	CALL(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0));
	struct clone_args args = { .flags = CLONE_THREAD };
	CALL(syscall(SYS_clone3, &args, sizeof args));
	CALL(syscall(SYS_clone3, &args, 10));
	CALL(syscall(SYS_clone3, KERNEL, sizeof args));
	args = (struct clone_args){ .exit_signal = 200 };
	CALL(syscall(SYS_clone3, &args, sizeof args));
	args = (struct clone_args){ .exit_signal = SIGCHLD, .stack = (uintptr_t)stack };
	CALL(syscall(SYS_clone3, &args, sizeof args));
	args = (struct clone_args){ .exit_signal = SIGCHLD };
	fflush(stdout);
	pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		_exit(33);
	waitpid(pid, &status, 0);
	SHOW(WEXITSTATUS(status));
	/* main's thread may end before the process. */
	pthread_t thread;
	pthread_create(&thread, NULL, last_one, NULL);
	pthread_exit(NULL);
}
