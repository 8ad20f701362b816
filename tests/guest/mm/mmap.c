#include "check.h"

#define PAGE 4096UL

static sigjmp_buf jump;
static volatile int code, number;
static void *volatile address;

static void caught(int signo, siginfo_t *info, void *context)
{
	(void)context;
	number = signo;
	code = info->si_code;
	address = info->si_addr;
	siglongjmp(jump, 1);
}

/* What touching a byte does: 0, or the signal and its code; says whether the address was told right. */
static void touch(const char *name, volatile char *at, int write)
{
	if (sigsetjmp(jump, 1) == 0) {
		if (write)
			*at = 1;
		else
			(void)*at;
		printf("%s: fine\n", name);
	} else {
		printf("%s: signal %d code %d address %s\n", name, number, code, address == at ? "right" : "wrong");
	}
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	scratch();
	char *a = MAP(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	TRUE(((uintptr_t)a & (PAGE - 1)) == 0);
	TRUE(a[0] == 0 && a[4 * PAGE - 1] == 0);
	CALL(munmap(a + PAGE, PAGE));
	touch("read hole", a + PAGE, 0);
	touch("read before", a, 0);
	touch("read after", a + 2 * PAGE, 0);
	CALL(munmap(a + PAGE, PAGE));
	CALL(munmap(a + 1, PAGE));
	CALL(munmap(a, 0));
	CALL(munmap((void *)(1UL << 63), PAGE));
	CALL(mprotect(a, PAGE, PROT_READ));
	touch("write read-only", a + 5, 1);
	CALL(mprotect(a, PAGE, PROT_NONE));
	touch("read none", a + 5, 0);
	CALL(mprotect(a, PAGE, PROT_READ | PROT_WRITE));
	touch("write again", a + 5, 1);
	CALL(mprotect(a, 3 * PAGE, PROT_READ));
	touch("write before the hole", a, 1);
	CALL(mprotect(a + 1, PAGE, PROT_READ));
	CALL(mprotect(a, 0, PROT_READ));
	CALL(mprotect(a, PAGE, 0x1000));
	CALL(mprotect((void *)PAGE, PAGE, PROT_READ));
	char *fixed = MAP(mmap(a + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	TRUE(fixed == a + PAGE);
	MAP(mmap(a + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	MAP(mmap(a + PAGE + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	char *hint = mmap(a + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TRUE(hint != MAP_FAILED && hint != a + PAGE);
	char *low = MAP(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
	TRUE((uintptr_t)low < 0x80000000);
	MAP(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0));
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0));
	MAP(mmap(NULL, -1UL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	MAP(mmap(NULL, 1UL << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	MAP(mmap((void *)(1UL << 47), PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	/* Hundreds of gigabytes that nobody uses cost nothing. */
	char *huge = MAP(mmap(NULL, 256UL << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	CALL(mprotect(huge + (100UL << 30), 2 * PAGE, PROT_READ | PROT_WRITE));
	touch("write far inside", huge + (100UL << 30), 1);
	touch("write before that", huge + (100UL << 30) - 1, 1);
	CALL(munmap(huge, 256UL << 30));
	char *reserve = MAP(mmap(NULL, 64UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	touch("write the last byte", reserve + (64UL << 30) - 1, 1);
	CALL(munmap(reserve, 64UL << 30));
	/* Files. */
	int fd = open("f", O_RDWR | O_CREAT, 0600);
	char block[6000];
	for (int i = 0; i < 6000; i++)
		block[i] = 'a' + i % 26;
	CALL(write(fd, block, 6000));
	char *shared = MAP(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	char *private = MAP(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	TRUE(!memcmp(shared, block, 6000) && shared[6000] == 0 && shared[2 * PAGE - 1] == 0);
	touch("past the end of file", shared + 2 * PAGE, 0);
	touch("write past the end", shared + 3 * PAGE + 7, 1);
	shared[10] = '!';
	char c;
	pread(fd, &c, 1, 10);
	TRUE(c == '!');
	CALL(pwrite(fd, "?", 1, 20));
	TRUE(shared[20] == '?');
	TRUE(private[20] == '?');
	private[30] = '#';
	pread(fd, &c, 1, 30);
	TRUE(c == block[30]);
	pwrite(fd, "1", 1, 30);
	TRUE(private[30] == '#' && shared[30] == '1');
	CALL(msync(shared, 2 * PAGE, MS_SYNC));
	CALL(msync(shared, PAGE, MS_ASYNC | MS_SYNC));
	CALL(msync(shared + 1, PAGE, MS_SYNC));
	CALL(msync(shared, PAGE, 0x100));
	CALL(msync((void *)PAGE, PAGE, MS_SYNC));
	CALL(ftruncate(fd, 100));
	touch("cut off", shared + PAGE, 0);
	TRUE(shared[200] == 0);
	CALL(ftruncate(fd, 3 * PAGE));
	touch("grown again", shared + 2 * PAGE, 1);
	CALL(close(fd));
	touch("after close", shared, 1);
	int ro = open("f", O_RDONLY);
	MAP(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0));
	char *later = MAP(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0));
	CALL(mprotect(later, PAGE, PROT_READ | PROT_WRITE));
	MAP(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0));
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 100));
	char *offset = MAP(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, PAGE));
	TRUE(offset[0] == shared[PAGE]);
	int wo = open("f", O_WRONLY);
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, wo, 0));
	MAP(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, wo, 0));
	int dir = open(".", O_RDONLY);
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0));
	int p[2];
	pipe(p);
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, p[0], 0));
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x800000, ro, 0));
	MAP(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, ro, 0));
	int zero = open("/dev/zero", O_RDWR);
	char *z = MAP(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0));
	touch("write /dev/zero", z, 1);
	z = MAP(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0));
	touch("write shared /dev/zero", z, 1);
	touch("null", NULL, 0);
	touch("null write", (char *)8, 1);
	if (sigsetjmp(jump, 1) == 0)
		*(volatile char *)0x8000000000000000 = 1;
	else
		printf("not canonical: signal %d code %d address %ld\n", number, code, (long)address);
	if (sigsetjmp(jump, 1) == 0)
		*(volatile char *)KERNEL = 1;
	else
		printf("kernel half: signal %d code %d address %d\n", number, code, address == KERNEL);
	if (sigsetjmp(jump, 1) == 0)
		((void (*)(void))z)();
	else
		printf("jump to data: signal %d code %d address %d\n", number, code, address == z);
	clean();
	return 0;
}
