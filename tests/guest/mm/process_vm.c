#include "check.h"

/* Reading and writing another process's memory. */
int main(void)
{
	static char here[3 * 4096], there[3 * 4096];
	strcpy(there, "the child's bytes");
	int ready[2], done[2];
	char c;
	pipe(ready);
	pipe(done);
	pid_t child = fork();
	if (child == 0) {
		strcpy(there, "changed in the child");
		write(ready[1], "x", 1);
		read(done[0], &c, 1);
		_exit(strcmp(there, "written from outside") ? 1 : 0);
	}
	read(ready[0], &c, 1);
	struct iovec local = { here, 100 }, remote = { there, 100 };
	CALL(process_vm_readv(child, &local, 1, &remote, 1, 0));
	printf("%s, and here: %s\n", here, there);
	struct iovec parts[2] = { { here, 3 }, { here + 50, 4 } };
	remote = (struct iovec){ there, 7 };
	CALL(process_vm_readv(child, parts, 2, &remote, 1, 0));
	printf("%.3s %.4s\n", here, here + 50);
	strcpy(here, "written from outside");
	remote = (struct iovec){ there, 100 };
	CALL(process_vm_writev(child, &local, 1, &remote, 1, 0));
	/* Errors. */
	CALL(process_vm_readv(child, &local, 1, &remote, 1, 1));
	CALL(process_vm_writev(child, &local, 1, &remote, 1, 1));
	CALL(process_vm_readv(child, &local, 1, &remote, 0, 0));
	CALL(process_vm_readv(child, &local, 2000, &remote, 1, 0));
	remote.iov_base = NULL;
	CALL(process_vm_readv(child, &local, 1, &remote, 1, 0));
	CALL(process_vm_writev(child, &local, 1, &remote, 1, 0));
	CALL(process_vm_readv(child, KERNEL, 1, &remote, 1, 0));
	remote.iov_base = there;
	local.iov_base = KERNEL;
	CALL(process_vm_readv(child, &local, 1, &remote, 1, 0));
	CALL(process_vm_readv(1 << 22, &local, 1, &remote, 1, 0));
	write(done[1], "x", 1);
	int status;
	waitpid(child, &status, 0);
	SHOW(WEXITSTATUS(status));
	CALL(process_vm_writev(child, &local, 1, &remote, 1, 0));
	return 0;
}
