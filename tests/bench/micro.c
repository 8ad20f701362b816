/* Costs of single operations: a line "NAME nanoseconds ticks" each; under -icount a tick is an instruction. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static uint64_t ticks(void)
{
	unsigned low, high;
	asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int file, event, set, ping[2], pong[2];
static uint32_t word;
static char block[PAGE];
static const char *path = "small";

static void op_getpid(void) { syscall(SYS_getpid); }
static void op_clock(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); }
static void op_pread(void) { if (pread(file, block, PAGE, 0) < 0) abort(); }
static void op_pwrite(void) { if (pwrite(file, block, PAGE, 0) < 0) abort(); }
static void op_stat(void) { struct stat s; stat(path, &s); }
static void op_eventfd(void) { eventfd_write(event, 1); }
static void op_epoll(void) { struct epoll_event e; epoll_wait(set, &e, 1, 0); }
static void op_yield(void) { sched_yield(); }

static void op_open(void)
{
	int fd = open(path, O_RDONLY);
	if (read(fd, block, PAGE) < 0)
		abort();
	close(fd);
}

static void op_mmap(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*(volatile char *)p = 1;
	munmap(p, PAGE);
}

static void op_mprotect(void)
{
	static char *p;
	if (!p)
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(p, PAGE, PROT_READ);
	mprotect(p, PAGE, PROT_READ | PROT_WRITE);
}

static void handler(int signo) { (void)signo; }
static void op_signal(void) { raise(SIGUSR1); }
static void *nothing(void *arg) { return arg; }

static void op_thread(void)
{
	pthread_t t;
	if (pthread_create(&t, NULL, nothing, NULL))
		abort();
	pthread_join(t, NULL);
}

static void op_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid < 0)
		abort();
	waitpid(pid, NULL, 0);
}

static void futex_wait(uint32_t value) { syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void futex_wake(void) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }

static void *futex_partner(void *arg)
{
	(void)arg;
	for (;;) {
		uint32_t value;
		while ((value = __atomic_load_n(&word, __ATOMIC_SEQ_CST)) != 1) {
			if (value == 2)
				return NULL;
			futex_wait(value);
		}
		__atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
		futex_wake();
	}
}

static void op_futex(void)
{
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	futex_wake();
	while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 1)
		futex_wait(1);
}

static void *pipe_partner(void *arg)
{
	char c;
	while (read(ping[0], &c, 1) == 1)
		if (write(pong[1], &c, 1) != 1)
			break;
	return arg;
}

static void op_pipe(void)
{
	char c = 0;
	if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
		abort();
}

static char *pages;
static long touched;

static void op_fault(void) { pages[touched++ * PAGE] = 1; }

/* Sockets: one end is a thread that sends back what it gets, or swallows it. */
#define LARGE 65536
static int near, far;
static char large[LARGE];

static void *echo_partner(void *arg)
{
	char c;
	while (read(far, &c, 1) == 1)
		if (write(far, &c, 1) != 1)
			abort();
	return NULL;
}

static void op_socket(void)
{
	char c = 0;
	if (write(near, &c, 1) != 1 || read(near, &c, 1) != 1)
		abort();
}

static void *sink_partner(void *arg)
{
	static char in[LARGE];
	ssize_t got;
	long left = LARGE;
	while ((got = read(far, in, LARGE)) > 0)
		if ((left -= got) == 0) {
			left = LARGE;
			if (write(far, "", 1) != 1)
				abort();
		}
	return NULL;
}

static void op_bulk(void)
{
	char c;
	if (write(near, large, LARGE) != LARGE || read(near, &c, 1) != 1)
		abort();
}

/* Brings the loopback up where this program is init, and connects two sockets over it. */
static int loopback(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	ioctl(listener, SIOCSIFFLAGS, &lo);
	if (bind(listener, (void *)&at, sizeof at) || listen(listener, 1) || getsockname(listener, (void *)&at, &len))
		return -1;
	near = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(near, (void *)&at, sizeof at) || (far = accept(listener, NULL, NULL)) < 0)
		return -1;
	setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	close(listener);
	return 0;
}

static int unix_pair(void)
{
	int both[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, both))
		return -1;
	near = both[0];
	far = both[1];
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(double *)a, y = *(double *)b;
	return (x > y) - (x < y);
}

/* Five rounds; the median of each figure. */
static void measure(const char *name, void (*op)(void), int count)
{
	double ns[5], tick[5];
	op();
	for (int round = 0; round < 5; round++) {
		uint64_t t = now(), c = ticks();
		for (int i = 0; i < count; i++)
			op();
		tick[round] = (double)(ticks() - c) / count;
		ns[round] = (double)(now() - t) / count;
	}
	qsort(ns, 5, sizeof *ns, compare);
	qsort(tick, 5, sizeof *tick, compare);
	printf("%s %.1f %.1f\n", name, ns[2], tick[2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t t;
	int small = open(path, O_RDWR | O_CREAT, 0600);
	if (small < 0 || write(small, "small file\n", 11) != 11)
		perror(path);
	file = open("page", O_RDWR | O_CREAT, 0600);
	if (write(file, block, PAGE) != PAGE)
		perror("page");
	event = eventfd(1, EFD_NONBLOCK);
	set = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN };
	epoll_ctl(set, EPOLL_CTL_ADD, event, &e);
	signal(SIGUSR1, handler);
	measure("getpid", op_getpid, 2000 * n);
	measure("clock_gettime", op_clock, 2000 * n);
	measure("pread-4K", op_pread, 500 * n);
	measure("pwrite-4K", op_pwrite, 500 * n);
	measure("open-read-close", op_open, 200 * n);
	measure("stat", op_stat, 500 * n);
	measure("eventfd-write", op_eventfd, 500 * n);
	measure("epoll-ready", op_epoll, 500 * n);
	measure("mmap-touch-munmap", op_mmap, 100 * n);
	pages = mmap(NULL, (size_t)(1200 * n + 10) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(pages, (size_t)(1200 * n + 10) * PAGE, MADV_NOHUGEPAGE);
	measure("page-fault", op_fault, 200 * n);
	munmap(pages, (size_t)(1200 * n + 10) * PAGE);
	measure("mprotect-twice", op_mprotect, 200 * n);
	measure("signal", op_signal, 200 * n);
	measure("yield", op_yield, 500 * n);
	measure("thread-create-join", op_thread, 20 * n);
	pthread_create(&t, NULL, futex_partner, NULL);
	measure("futex-round-trip", op_futex, 100 * n);
	__atomic_store_n(&word, 2, __ATOMIC_SEQ_CST);
	futex_wake();
	pthread_join(t, NULL);
	if (pipe(ping) == 0 && pipe(pong) == 0) {
		pthread_create(&t, NULL, pipe_partner, NULL);
		measure("pipe-round-trip", op_pipe, 100 * n);
		close(ping[1]);
		pthread_join(t, NULL);
	}
	const char *names[2][2] = { { "unix-round-trip", "unix-64K" }, { "tcp-round-trip", "tcp-64K" } };
	for (int i = 0; i < 4; i++) {
		if (i / 2 ? loopback() : unix_pair()) {
			perror(names[i / 2][i % 2]);
			continue;
		}
		pthread_create(&t, NULL, i % 2 ? sink_partner : echo_partner, NULL);
		measure(names[i / 2][i % 2], i % 2 ? op_bulk : op_socket, (i % 2 ? 20 : 100) * n);
		close(near);
		pthread_join(t, NULL);
		close(far);
	}
	measure("fork-exit", op_fork, 10 * n);
	puts("end");
	fflush(stdout);
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	return 0;
}
