/* Maps the vDSO's image behind a data page, plays the kernel on that page, and checks what the functions answer.
 * Arguments: image, then the offsets of clock_gettime, clock_getres, gettimeofday, time, getcpu. Prints the number
 * of instructions of a clock_gettime(CLOCK_MONOTONIC) and its time; exits with 1 on the first wrong answer. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <x86intrin.h>

#define CHECK(condition) \
    do { if (!(condition)) { printf("line %d: %s\n", __LINE__, #condition); exit(1); } } while (0)

/* abi/src/vdso.rs describes it. */
static volatile struct {
    uint32_t seq, mode;
    uint64_t tsc_base, mult, raw_mult;
    uint32_t flags, coarse_ns;
    int32_t minutes_west, dst_time;
    uint64_t base_ns[12];
} *data;

static char *image;
static int (*get)(clockid_t, struct timespec *);
static int (*res)(clockid_t, struct timespec *);
static int (*day)(struct timeval *, struct timezone *);
static time_t (*seconds)(time_t *);
static int (*cpu)(unsigned *, unsigned *, void *);

static uint64_t ns_of(struct timespec t)
{
    CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t get_ns(int clock)
{
    struct timespec t;
    CHECK(get(clock, &t) == 0);
    return ns_of(t);
}

static uint64_t at(uint64_t base, uint64_t mult, uint64_t tsc)
{
    return base + (uint64_t)(((unsigned __int128)(tsc - data->tsc_base) * mult) >> 32);
}

static void without_data(void)
{
    static const int clocks[] = { 0, 1, 2, 3, 4, 5, 6, 7, 11 };
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        struct timespec before, now, after, a, b;
        clock_gettime(clocks[i], &before);
        CHECK(get(clocks[i], &now) == 0);
        clock_gettime(clocks[i], &after);
        CHECK(ns_of(before) <= ns_of(now) && ns_of(now) <= ns_of(after));
        CHECK(res(clocks[i], &a) == 0 && clock_getres(clocks[i], &b) == 0 && ns_of(a) == ns_of(b));
    }
    struct timespec t;
    struct timeval tv;
    struct timezone zone = { 7, 7 };
    unsigned c = ~0u, n = ~0u;
    CHECK(get(99, &t) == -EINVAL && get(-1000, &t) != 0 && res(99, &t) == -EINVAL);
    CHECK(day(&tv, &zone) == 0 && labs(tv.tv_sec - time(NULL)) <= 1 && zone.tz_minuteswest == 0);
    CHECK(labs(seconds(NULL) - time(NULL)) <= 1);
    CHECK(cpu(&c, &n, NULL) == 0 && c < 4096 && n < 1024);
}

static void with_counter(void)
{
    static const int exact[] = { 0, 1, 4, 7, 11 };
    for (int i = 0; i < 12; i++)
        data->base_ns[i] = 1000000000ull * (i + 1) * 100000 + 999999999 - i;
    data->tsc_base = __rdtsc();
    data->mult = 1431655765;
    data->raw_mult = 0x500000000;
    data->coarse_ns = 4000000;
    data->minutes_west = -60;
    data->dst_time = 1;
    data->mode = 1;
    for (int round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < sizeof exact / sizeof *exact; i++) {
            uint64_t mult = exact[i] == 4 ? data->raw_mult : data->mult, base = data->base_ns[exact[i]];
            uint64_t before = __rdtsc();
            _mm_lfence();
            uint64_t now = get_ns(exact[i]);
            _mm_lfence();
            uint64_t after = __rdtsc();
            CHECK(at(base, mult, before) <= now && now <= at(base, mult, after));
        }
        uint64_t before = get_ns(0), coarse = get_ns(5), after = get_ns(0);
        CHECK(before <= coarse && coarse <= after);
        before = get_ns(1), coarse = get_ns(6), after = get_ns(1);
        CHECK(before <= coarse && coarse <= after);
    }
    /* Clocks that only the kernel knows: CPU time, alarms, and numbers that do not exist. */
    struct timespec t, u;
    CHECK(get(2, &t) == 0 && ns_of(t) < 3600 * 1000000000ull);
    static const int others[] = { 3, 8, 9, 10, 12, 31, 32, 33, -1, -2, -6 };
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(get(others[i], &t) == (clock_gettime(others[i], &u) ? -errno : 0));
    CHECK(res(1, &t) == 0 && ns_of(t) == 1 && res(5, &t) == 0 && ns_of(t) == 4000000 && res(1, NULL) == 0);

    struct timeval tv;
    struct timezone zone;
    uint64_t before = get_ns(0) / 1000;
    CHECK(day(&tv, &zone) == 0 && day(NULL, NULL) == 0);
    uint64_t now = tv.tv_sec * 1000000ull + tv.tv_usec;
    CHECK(before <= now && now <= get_ns(0) / 1000 && tv.tv_usec < 1000000);
    CHECK(zone.tz_minuteswest == -60 && zone.tz_dsttime == 1);

    /* A counter that lags behind the base, as another processor's may: the base. */
    data->tsc_base = __rdtsc() + (1ull << 50);
    CHECK(get_ns(1) == data->base_ns[1]);
    /* A base long ago: the product of counter and rate does not fit into 64 bits. */
    data->tsc_base = 0;
    data->mult = 0x500000000;
    before = at(data->base_ns[1], data->mult, __rdtsc()), now = get_ns(1);
    CHECK(before <= now && now <= at(data->base_ns[1], data->mult, __rdtsc()));

    data->flags = 4;
    CHECK(get_ns(5) == data->base_ns[5] && get_ns(6) == data->base_ns[6]);
    time_t stored;
    CHECK(seconds(&stored) == (time_t)(data->base_ns[5] / 1000000000) && stored == seconds(NULL));
    data->flags = 0;
    CHECK(seconds(NULL) == (time_t)(get_ns(0) / 1000000000));
    data->mode = 2;
    CHECK(get_ns(1) < data->base_ns[0]);
    data->mode = 1;
}

static void with_processor(void)
{
    unsigned a, b, c, d, n = ~0u, number = ~0u;
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    int want = 0;
    while (!CPU_ISSET(want, &set))
        want++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(want, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    /* Linux keeps node and processor in TSC_AUX as we do. */
    if (__get_cpuid(0x80000001, &a, &b, &c, &d) && d & 1u << 27) {
        data->flags = 1;
        CHECK(cpu(&number, &n, NULL) == 0 && number == (unsigned)want && n == 0 && cpu(NULL, NULL, NULL) == 0);
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1u << 22) {
        data->flags = 2;
        number = n = ~0u;
        CHECK(cpu(&number, &n, NULL) == 0 && number == (unsigned)want && n == 0);
    }
    data->flags = 0;
    CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

static volatile int stop;

/* Moves base and counter together, so that only a torn read gives a time outside the two true ones. */
static void *writer(void *unused)
{
    for (uint32_t seq = data->seq; !stop; seq += 2) {
        data->seq = seq + 1;
        __atomic_thread_fence(__ATOMIC_RELEASE);
        uint64_t tsc = __rdtsc();
        data->base_ns[1] = tsc / 4;
        data->tsc_base = tsc;
        __atomic_store_n(&data->seq, seq + 2, __ATOMIC_RELEASE);
        for (int i = 0; i < 20; i++)
            _mm_pause();
    }
    return unused;
}

static void under_writes(void)
{
    pthread_t thread;
    data->mult = 1ull << 30;
    data->base_ns[1] = __rdtsc() / 4;
    data->tsc_base = __rdtsc();
    CHECK(pthread_create(&thread, NULL, writer, NULL) == 0);
    for (int i = 0; i < 300000; i++) {
        uint64_t before = __rdtsc() / 4, now = get_ns(1), after = __rdtsc() / 4;
        CHECK(before <= now + 2 && now <= after + 2);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

static volatile long steps;

static void step(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    char *rip = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    steps += rip >= image && rip < image + 4096;
}

static void cost(void)
{
    struct sigaction action = { .sa_sigaction = step, .sa_flags = SA_SIGINFO };
    struct timespec t;
    sigaction(SIGTRAP, &action, NULL);
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    get(1, &t);
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
    const int rounds = 2000000;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < rounds; i++)
        get(1, &t);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%ld instructions, %.1f ns\n", steps, (double)(ns_of(end) - ns_of(start)) / rounds);
    CHECK(steps > 10 && steps < 60);
}

int main(int argc, char **argv)
{
    CHECK(argc == 7);
    int fd = open(argv[1], O_RDONLY);
    char *room = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fd >= 0 && room != MAP_FAILED);
    image = room + 4096;
    CHECK(read(fd, image, 4096) > 64 && mprotect(image, 4096, PROT_READ | PROT_EXEC) == 0);
    data = (void *)room;
    get = (void *)(image + atol(argv[2]));
    res = (void *)(image + atol(argv[3]));
    day = (void *)(image + atol(argv[4]));
    seconds = (void *)(image + atol(argv[5]));
    cpu = (void *)(image + atol(argv[6]));
    without_data();
    with_counter();
    with_processor();
    under_writes();
    cost();
    return 0;
}
