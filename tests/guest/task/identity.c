#include "check.h"
#include <grp.h>
#include <sys/fsuid.h>
#include <linux/capability.h>

static void show(void)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;
	getresuid(&r, &e, &s);
	getresgid(&rg, &eg, &sg);
	printf("uid %d %d %d gid %d %d %d\n", r, e, s, rg, eg, sg);
}

static void caps(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	CALL(syscall(SYS_capget, &header, data));
	TRUE(data[0].effective != 0);
	TRUE(data[0].permitted != 0);
}

int main(void)
{
	show();
	caps();
	CALL(setuid(-1));
	CALL(setresuid(1, 2, 3));
	show();
	CALL(setresuid(4, -1, -1));
	CALL(setresuid(3, 1, 2));
	show();
	CALL(setuid(3));
	CALL(setuid(9));
	CALL(seteuid(2));
	show();
	caps();
	CALL(setgid(5));
	CALL(getuid());
	CALL(geteuid());
	CALL(getgid());
	CALL(getegid());
	gid_t groups[4] = { 1, 2, 3 };
	CALL(setgroups(3, groups));
	CALL(syscall(SYS_getresuid, KERNEL, KERNEL, KERNEL));
	if (fork() == 0)
		_exit(0);
	wait(NULL);
	struct __user_cap_header_struct header = { 1, 0 };
	CALL(syscall(SYS_capget, &header, NULL));
	TRUE(header.version == _LINUX_CAPABILITY_VERSION_3);
	header.pid = -1;
	CALL(syscall(SYS_capget, &header, groups));
	CALL(syscall(SYS_capget, NULL, NULL));
	return 0;
}
