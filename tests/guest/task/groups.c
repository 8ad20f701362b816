#include "check.h"
#include <grp.h>
#include <sys/fsuid.h>

int main(void)
{
	gid_t groups[4] = { 30, 10, 20 }, got[8];
	CALL(setgroups(3, groups));
	CALL(getgroups(0, NULL));
	CALL(getgroups(8, got));
	printf("%d %d %d\n", got[0], got[1], got[2]);
	CALL(getgroups(2, got));
	CALL(getgroups(-1, got));
	CALL(getgroups(8, KERNEL));
	CALL(setgroups(70000, groups));
	CALL(setgroups(1, KERNEL));
	CALL(setregid(5, 6));
	CALL(setreuid(7, 8));
	printf("%d %d %d %d\n", getuid(), geteuid(), getgid(), getegid());
	CALL(setreuid(8, 7));
	printf("%d %d\n", getuid(), geteuid());
	CALL(setfsuid(7));
	CALL(setfsuid(-1));
	CALL(setfsgid(6));
	CALL(setfsgid(99));
	CALL(setfsgid(-1));
	CALL(setregid(77, -1));
	CALL(setgroups(0, NULL));
	return 0;
}
