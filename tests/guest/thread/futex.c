// machine: --cpus 2
#include "check.h"
#include <linux/futex.h>

static uint32_t a, b;
static volatile int woken;

static long futex(uint32_t *at, int op, uint32_t value, void *timeout, uint32_t *at2, uint32_t value3)
{
	return syscall(SYS_futex, at, op, value, timeout, at2, value3);
}

static void *waiter(void *bits)
{
	if (bits)
		futex(&a, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, (uint32_t)(long)bits);
	else
		futex(&a, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static pthread_t threads[8];

static void start(int n, long bits)
{
	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, waiter, (void *)bits);
	usleep(100000);
}

static void join(int n)
{
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static void *pi_owner(void *arg)
{
	long locked = futex(&b, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
	usleep(200000);
	long unlocked = futex(&b, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
	(void)arg;
	return (void *)(locked | unlocked);
}

static void *robust(void *arg)
{
	static struct robust_list entry;
	static struct robust_list_head head;
	head.list.next = &entry;
	entry.next = &head.list;
	head.futex_offset = (char *)arg - (char *)&entry;
	syscall(SYS_set_robust_list, &head, sizeof head);
	*(uint32_t *)arg = gettid() | FUTEX_WAITERS;
	return NULL;
}

int main(void)
{
	struct timespec soon = { 0, 10000000 }, bad = { 0, 2000000000 }, now;
	CALL(futex(&a, FUTEX_WAIT, 1, NULL, NULL, 0));
	CALL(futex(&a, FUTEX_WAIT, 0, &soon, NULL, 0));
	CALL(futex(&a, FUTEX_WAIT, 0, &bad, NULL, 0));
	CALL(futex(&a, FUTEX_WAIT, 0, KERNEL, NULL, 0));
	CALL(futex((uint32_t *)((char *)&a + 1), FUTEX_WAIT, 0, &soon, NULL, 0));
	CALL(futex(KERNEL, FUTEX_WAIT, 0, &soon, NULL, 0));
	CALL(futex(UNMAPPED, FUTEX_WAIT, 0, &soon, NULL, 0));
	CALL(futex(&a, FUTEX_WAKE, 1, NULL, NULL, 0));
	CALL(futex(&a, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
	CALL(futex(&a, FUTEX_WAIT_BITSET, 0, &soon, NULL, 0));
	CALL(futex(&a, 77, 0, NULL, NULL, 0));
	CALL(futex(&a, FUTEX_FD, 0, NULL, NULL, 0));
	CALL(futex(&a, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0));
	clock_gettime(CLOCK_MONOTONIC, &now);
	CALL(futex(&a, FUTEX_WAIT_BITSET, 0, &now, NULL, FUTEX_BITSET_MATCH_ANY));
	clock_gettime(CLOCK_REALTIME, &now);
	CALL(futex(&a, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &now, NULL, FUTEX_BITSET_MATCH_ANY));
	start(3, 0);
	CALL(futex(&a, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	CALL(futex(&a, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 0));
	join(3);
	SHOW(woken);
	start(2, 1);
	CALL(futex(&a, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 2));
	CALL(futex(&a, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 3));
	join(2);
	start(4, 0);
	CALL(futex(&a, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, (void *)2, &b, 5));
	CALL(futex(&a, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, (void *)2, &b, 0));
	CALL(futex(&a, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 0));
	CALL(futex(&b, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 0));
	join(4);
	start(2, 0);
	CALL(futex(&a, FUTEX_REQUEUE | FUTEX_PRIVATE_FLAG, 0, (void *)100, &b, 0));
	CALL(futex(&b, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 0));
	join(2);
	start(2, 0);
	b = 10;
	CALL(futex(&b, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &a, FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)));
	CALL(futex(&a, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_GT, 9)));
	SHOW(b);
	join(2);
	CALL(futex(&a, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &b, FUTEX_OP(9, 5, FUTEX_OP_CMP_GT, 9)));
	CALL(futex(&a, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, -1, (void *)1, &b, 0));
	/* Priority inheritance: ownership by thread number. */
	b = 0;
	pthread_create(&threads[0], NULL, pi_owner, NULL);
	usleep(50000);
	CALL(futex(&b, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	TRUE((b & FUTEX_TID_MASK) != 0 && (b & FUTEX_TID_MASK) != (uint32_t)gettid());
	CALL(futex(&b, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	TRUE((b & FUTEX_TID_MASK) == (uint32_t)gettid());
	void *owner;
	pthread_join(threads[0], &owner);
	SHOW((long)owner);
	CALL(futex(&b, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	CALL(futex(&b, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	SHOW(b);
	CALL(futex(&b, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	/* Robust lists: the word of a thread that died says so. */
	static uint32_t word;
	pthread_create(&threads[0], NULL, robust, &word);
	pthread_join(threads[0], NULL);
	for (int i = 0; i < 1000 && !(word & FUTEX_OWNER_DIED); i++)
		usleep(1000);
	TRUE(word & FUTEX_OWNER_DIED);
	CALL(syscall(SYS_set_robust_list, NULL, 1));
	void *head;
	size_t length;
	CALL(syscall(SYS_get_robust_list, 0, &head, &length));
	SHOW(length);
	CALL(syscall(SYS_get_robust_list, 999999, &head, &length));
	/* Several at once. */
	struct futex_waitv v[2] = { { 0, (uintptr_t)&a, FUTEX_32 | FUTEX_PRIVATE_FLAG, 0 },
				    { 0, (uintptr_t)&b, FUTEX_32 | FUTEX_PRIVATE_FLAG, 0 } };
	a = 1;
	b = 0;
	CALL(syscall(SYS_futex_waitv, v, 2, 0, NULL, 0));
	CALL(syscall(SYS_futex_waitv, v, 0, 0, NULL, 0));
	CALL(syscall(SYS_futex_waitv, v, 2, 1, NULL, 0));
	v[0].val = 1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	CALL(syscall(SYS_futex_waitv, v, 2, 0, &now, CLOCK_MONOTONIC));
	v[1].flags = 0;
	CALL(syscall(SYS_futex_waitv, v, 2, 0, &now, CLOCK_MONOTONIC));
	return 0;
}
