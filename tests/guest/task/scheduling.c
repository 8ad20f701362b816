#include "check.h"

/* The C library's struct sched_param is in the way of the kernel's header. */
struct sched_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t sched_nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

int main(void)
{
	struct sched_param param = { 0 };
	cpu_set_t set;
	CALL(sched_yield());
	CALL(sched_getscheduler(0));
	CALL(sched_getparam(0, &param));
	SHOW(param.sched_priority);
	CALL(sched_get_priority_max(SCHED_FIFO));
	CALL(sched_get_priority_min(SCHED_FIFO));
	CALL(sched_get_priority_max(SCHED_OTHER));
	CALL(sched_get_priority_max(77));
	CALL(sched_setscheduler(0, SCHED_BATCH, &param));
	CALL(sched_getscheduler(0));
	CALL(sched_setscheduler(0, 77, &param));
	CALL(sched_setscheduler(0, SCHED_FIFO, &param));
	param.sched_priority = 5;
	CALL(sched_setscheduler(0, SCHED_OTHER, &param));
	CALL(sched_setparam(0, &param));
	CALL(sched_getscheduler(-1));
	CALL(sched_getscheduler(999999));
	CALL(sched_setparam(0, NULL));
	param.sched_priority = 0;
	CALL(sched_setscheduler(0, SCHED_OTHER, &param));
	CALL(sched_getaffinity(0, sizeof set, &set) == 0);
	TRUE(CPU_COUNT(&set) >= 1);
	CALL(syscall(SYS_sched_getaffinity, 0, 1, &set));
	CALL(syscall(SYS_sched_getaffinity, 0, 12, &set));
	CALL(syscall(SYS_sched_getaffinity, 999999, sizeof set, &set));
	CPU_ZERO(&set);
	CALL(sched_setaffinity(0, sizeof set, &set));
	CPU_SET(1000, &set);
	CALL(sched_setaffinity(0, sizeof set, &set));
	CPU_SET(0, &set);
	CALL(sched_setaffinity(0, sizeof set, &set));
	CALL(sched_getcpu());
	CALL(sched_setaffinity(999999, sizeof set, &set));
	CALL(getpriority(PRIO_PROCESS, 0));
	CALL(setpriority(PRIO_PROCESS, 0, 5));
	CALL(getpriority(PRIO_PROCESS, 0));
	CALL(syscall(SYS_getpriority, PRIO_PROCESS, 0));
	CALL(setpriority(PRIO_PROCESS, 0, 100));
	CALL(getpriority(PRIO_PROCESS, 0));
	CALL(setpriority(PRIO_PROCESS, 0, -100));
	CALL(getpriority(PRIO_PROCESS, 0));
	CALL(getpriority(9, 0));
	CALL(getpriority(PRIO_PROCESS, 999999));
	errno = 0;
	CALL(nice(3));
	struct sched_attr attr;
	CALL(syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0));
	SHOW(attr.size);
	SHOW(attr.sched_nice);
	attr.sched_nice = 7;
	CALL(syscall(SYS_sched_setattr, 0, &attr, 0));
	CALL(getpriority(PRIO_PROCESS, 0));
	CALL(syscall(SYS_sched_setattr, 0, &attr, 1));
	CALL(syscall(SYS_sched_getattr, 0, &attr, 10, 0));
	struct timespec ts;
	CALL(sched_rr_get_interval(0, &ts));
	CALL(sched_rr_get_interval(-1, &ts));
	CALL(setresuid(1000, 1000, 1000));
	CALL(setpriority(PRIO_PROCESS, 0, 1));
	CALL(setpriority(PRIO_PROCESS, 0, 10));
	param.sched_priority = 5;
	CALL(sched_setscheduler(0, SCHED_RR, &param));
	CALL(syscall(SYS_ioprio_get, 1, 0) >= 0);
	CALL(syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 4));
	CALL(syscall(SYS_ioprio_get, 1, 0));
	CALL(syscall(SYS_ioprio_set, 9, 0, 0));
	return 0;
}
