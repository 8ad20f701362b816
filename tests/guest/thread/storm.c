// machine: --cpus 4
// Threads and processes on several processors at once: lost wake-ups show as a hang, stale translations as a count.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const self = "/proc/self/exe";

static void start(pthread_t *thread, void *(*body)(void *), void *argument) {
    if (pthread_create(thread, NULL, body, argument) != 0)
        abort();
}

// Mutex and condition: a token goes round.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long turn;
enum { PLAYERS = 5, TURNS = 400 };

static void *player(void *argument) {
    long me = (long)argument;
    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&lock);
        while (turn % PLAYERS != me)
            pthread_cond_wait(&turned, &lock);
        turn++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void conditions(void) {
    pthread_t threads[PLAYERS];
    turn = 0;
    for (long i = 0; i < PLAYERS; i++)
        start(&threads[i], player, (void *)i);
    for (int i = 0; i < PLAYERS; i++)
        pthread_join(threads[i], NULL);
    printf("conditions: %ld turns\n", turn);
}

// Barriers.
static pthread_barrier_t barrier;
static _Atomic long passed;
static _Atomic int torn;

static void *walker(void *argument) {
    for (int i = 0; i < 300; i++) {
        passed++;
        pthread_barrier_wait(&barrier);
        if (passed < (i + 1) * 4L)
            torn++;
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void barriers(void) {
    pthread_t threads[4];
    passed = 0;
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 4; i++)
        start(&threads[i], walker, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("barriers: %ld passed, %d torn\n", passed, torn);
}

// Mutexes that lend priority.
static pthread_mutex_t lender;
static long lent;

static void *borrower(void *argument) {
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&lender);
        lent++;
        if (i % 64 == 0)
            sched_yield();
        pthread_mutex_unlock(&lender);
    }
    return NULL;
}

static void inheritance(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&lender, &attributes);
    pthread_t threads[4];
    lent = 0;
    for (int i = 0; i < 4; i++)
        start(&threads[i], borrower, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("inheritance: %ld\n", lent);
}

// Pages that go away or lose a right while others use them.
static _Thread_local sigjmp_buf escape;
static char *volatile _Atomic page;
static _Atomic int stage; // Even: usable. Odd: whoever reads it now must fault.
static _Atomic int quit;
static _Atomic long stale, used;

static void escaped(int number) { siglongjmp(escape, 1); }

static void *toucher(void *argument) {
    int writes = argument != NULL;
    while (!quit) {
        char *at = page;
        int before = stage;
        if (at != page)
            continue;
        if (sigsetjmp(escape, 0) == 0) {
            if (writes)
                *(volatile char *)at = 1;
            else
                (void)*(volatile char *)at;
            // It worked: then it was still there when the load began.
            if (before & 1 && before == stage)
                stale++;
            used++;
        }
    }
    return NULL;
}

static void shootdown(const char *name, int protect) {
    struct sigaction action = {.sa_handler = escaped, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    // One fixed address, so that a stale translation would be used.
    char *at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    quit = 0;
    stale = used = 0;
    stage = 0;
    page = at;
    pthread_t threads[3];
    mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (long i = 0; i < 3; i++)
        start(&threads[i], toucher, protect ? (void *)1 : NULL);
    for (int i = 0; i < 400; i++) {
        long seen = used;
        for (int spin = 0; used == seen && spin < 100; spin++)
            sched_yield();
        if (protect)
            mprotect(at, 4096, PROT_READ);
        else
            munmap(at, 4096);
        stage++;
        for (int spin = 0; spin < 2; spin++)
            sched_yield();
        stage++;
        if (protect)
            mprotect(at, 4096, PROT_READ | PROT_WRITE);
        else
            mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    quit = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    signal(SIGSEGV, SIG_DFL);
    munmap(at, 4096);
    printf("%s: %ld stale\n", name, stale);
}

static void unmap(void) { shootdown("unmap", 0); }
static void protect(void) { shootdown("protect", 1); }

// Children see memory as it was, whatever the parent's threads write meanwhile.
enum { WORDS = 64 * 512 };
static _Atomic long *shared_with_nobody;

static void *writer(void *argument) {
    long number = (long)argument, broken = 0;
    for (long value = 1; !quit; value++)
        for (int i = (int)number; i < WORDS && !quit; i += 512) {
            shared_with_nobody[i] = value;
            if (shared_with_nobody[i] != value)
                broken++;
        }
    return (void *)broken;
}

static void copies(void) {
    shared_with_nobody = mmap(NULL, WORDS * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    quit = 0;
    pthread_t threads[2];
    for (long i = 0; i < 2; i++)
        start(&threads[i], writer, (void *)i);
    int good = 0;
    for (int i = 0; i < 25; i++) {
        pid_t child = fork();
        if (child == 0) {
            long sums[2] = {0, 0};
            for (int pass = 0; pass < 2; pass++) {
                for (int word = 0; word < WORDS; word += 64)
                    sums[pass] += shared_with_nobody[word] + shared_with_nobody[word + 1];
                sched_yield();
            }
            _exit(sums[0] == sums[1] ? 7 : 8);
        }
        int status;
        if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7)
            good++;
    }
    quit = 1;
    long broken = 0;
    for (int i = 0; i < 2; i++) {
        void *result;
        pthread_join(threads[i], &result);
        broken += (long)result;
    }
    munmap((void *)shared_with_nobody, WORDS * 8);
    printf("copies: %d good children, %ld broken writes\n", good, broken);
}

// A process whose threads wait in every way ends at once.
static int ends[2];

static void *waits(void *argument) {
    char byte;
    sigset_t set;
    switch ((long)argument) {
    case 0: read(ends[0], &byte, 1); break;
    case 1: poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, -1); break;
    case 2: pause(); break;
    case 3: for (;;) sched_yield();
    case 4: for (volatile long i = 0;; i++) {}
    case 5: nanosleep(&(struct timespec){.tv_sec = 1000}, NULL); break;
    case 6: sigemptyset(&set); sigaddset(&set, SIGUSR2); sigwait(&set, (int *)&set); break;
    case 7: pthread_barrier_wait(&barrier); break;
    case 8: for (;;) munmap(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0), 65536);
    case 9: for (;;) { pid_t child = fork(); if (child == 0) _exit(0); waitpid(child, NULL, 0); }
    }
    return NULL;
}

static void *finisher(void *argument) {
    long how = (long)argument;
    usleep(500 * (how % 7));
    if (how % 4 == 0)
        exit(21);
    if (how % 4 == 1)
        kill(getpid(), SIGTERM);
    if (how % 4 == 2)
        execl(self, self, "replaced", NULL);
    return NULL;
}

static void endings(void) {
    int counts[4] = {0};
    for (long i = 0; i < 24; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            pthread_t threads[11];
            pthread_barrier_init(&barrier, NULL, 99);
            pipe(ends);
            for (long j = 0; j < 10; j++)
                start(&threads[j], waits, (void *)j);
            if (i % 4 == 3) {
                usleep(500);
                _exit(23);
            }
            start(&threads[10], finisher, (void *)i);
            for (;;)
                pause();
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 21) counts[0]++;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) counts[1]++;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 22) counts[2]++;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 23) counts[3]++;
    }
    printf("endings: %d exits, %d kills, %d replaced, %d direct\n", counts[0], counts[1], counts[2], counts[3]);
}

// Signals to threads: queued ones arrive once each.
static _Atomic long arrived, plain;
static void arrives(int number) { arrived++; }
static void arrives_plain(int number) { plain++; }

static void *target(void *argument) {
    while (!quit)
        if ((long)argument)
            usleep(100);
    return NULL;
}

static void signals(void) {
    struct sigaction action = {.sa_handler = arrives, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    action.sa_handler = arrives_plain;
    sigaction(SIGUSR1, &action, NULL);
    pthread_t threads[3];
    quit = 0;
    arrived = 0;
    for (long i = 0; i < 3; i++)
        start(&threads[i], target, (void *)i);
    long sent = 0;
    for (int i = 0; i < 1500; i++) {
        while (pthread_sigqueue(threads[i % 3], SIGRTMIN, (union sigval){0}) == EAGAIN)
            sched_yield();
        sent++;
        long before = plain;
        pthread_kill(threads[i % 3], SIGUSR1);
        if (i % 10 == 0)
            while (plain == before)
                sched_yield();
    }
    while (arrived < sent)
        sched_yield();
    quit = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("signals: %ld arrived\n", arrived);
}

// A signal to the process arrives even if the thread that was to take it ends first.
static void *nothing(void *argument) { return NULL; }

static void *breeder(void *argument) {
    while (!quit) {
        pthread_t threads[3];
        for (int i = 0; i < 3; i++)
            start(&threads[i], nothing, NULL);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
    }
    return NULL;
}

static void strays(void) {
    struct sigaction action = {.sa_handler = arrives, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    quit = 0;
    arrived = 0;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        start(&threads[i], breeder, NULL);
    for (int i = 1; i <= 500; i++) {
        kill(getpid(), SIGRTMIN);
        while (arrived < i)
            usleep(50);
    }
    quit = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("strays: %ld arrived\n", arrived);
}

// A byte goes to a process and back, while a timer interrupts both.
static void ticked(int number) {}

static void pipes(void) {
    int there[2], back[2];
    pipe(there);
    pipe(back);
    struct sigaction action = {.sa_handler = ticked, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    fflush(stdout);
    pid_t child = fork();
    struct itimerval every = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &every, NULL);
    if (child == 0) {
        close(there[1]);
        char byte;
        while (read(there[0], &byte, 1) == 1)
            write(back[1], &byte, 1);
        _exit(5);
    }
    close(there[0]);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        char byte = (char)i, answer = 0;
        write(there[1], &byte, 1);
        if (read(back[0], &answer, 1) == 1 && answer == byte)
            same++;
    }
    close(there[1]);
    int status;
    waitpid(child, &status, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    printf("pipes: %d, child %d\n", same, WEXITSTATUS(status));
    close(back[0]);
    close(back[1]);
}

// Threads that come and go while others map memory.
static void *short_lived(void *argument) { return argument; }

static void *mapper(void *argument) {
    long bad = 0;
    while (!quit) {
        long *at = mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 4096; i += 512) {
            bad += at[i] != 0;
            at[i] = i + 1;
        }
        for (int i = 0; i < 4096; i += 512)
            bad += at[i] != i + 1;
        munmap(at, 32768);
    }
    return (void *)bad;
}

static void comings(void) {
    pthread_t mappers[2];
    quit = 0;
    for (int i = 0; i < 2; i++)
        start(&mappers[i], mapper, NULL);
    long sum = 0, bad = 0;
    for (long i = 0; i < 200; i++) {
        pthread_t threads[3];
        for (long j = 0; j < 3; j++)
            start(&threads[j], short_lived, (void *)j);
        for (int j = 0; j < 3; j++) {
            void *result;
            pthread_join(threads[j], &result);
            sum += (long)result;
        }
        if (i % 20 == 0) {
            pid_t child = fork();
            if (child == 0) {
                execl(self, self, "replaced", NULL);
                _exit(1);
            }
            int status;
            waitpid(child, &status, 0);
            bad += !WIFEXITED(status) || WEXITSTATUS(status) != 22;
        }
    }
    quit = 1;
    for (int i = 0; i < 2; i++) {
        void *result;
        pthread_join(mappers[i], &result);
        bad += (long)result;
    }
    printf("comings: %ld, %ld bad\n", sum, bad);
}

// Arguments: the parts to run (all without one).
int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"conditions", conditions}, {"barriers", barriers}, {"inheritance", inheritance}, {"unmap", unmap},
        {"protect", protect}, {"copies", copies}, {"endings", endings}, {"signals", signals}, {"strays", strays}, {"pipes", pipes},
        {"comings", comings},
    };
    if (count > 1 && strcmp(arguments[1], "replaced") == 0)
        return 22;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int wanted = count == 1;
        for (int j = 1; j < count; j++)
            wanted |= strcmp(arguments[j], parts[i].name) == 0;
        if (wanted)
            parts[i].run();
        fflush(stdout);
    }
}
