#include "check.h"
#include <linux/memfd.h>
#include <linux/membarrier.h>
#include <sys/random.h>

int main(void)
{
	unsigned char a[64] = { 0 }, b[64] = { 0 };
	char buf[64];
	CALL(getrandom(a, 64, 0));
	CALL(getrandom(b, 64, GRND_NONBLOCK | GRND_RANDOM));
	TRUE(memcmp(a, b, 64) != 0);
	CALL(getrandom(a, 0, 0));
	CALL(getrandom(a, 1, 0x100));
	CALL(getrandom(a, 1, GRND_RANDOM | 4));
	CALL(getrandom(KERNEL, 1, 0));
	int fd = CALL(memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC));
	CALL(fcntl(fd, F_GET_SEALS));
	CALL(ftruncate(fd, 8192));
	char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	CALL(ftruncate(fd, 4096));
	CALL(ftruncate(fd, 10000));
	CALL(pwrite(fd, "x", 1, 8192));
	CALL(pwrite(fd, "x", 1, 0));
	munmap(map, 8192);
	CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CALL(pwrite(fd, "x", 1, 0));
	MAP(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	MAP(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	CALL(fcntl(fd, F_GET_SEALS));
	CALL(fcntl(fd, F_ADD_SEALS, 0x1000));
	fd = CALL(memfd_create("plain", 0));
	CALL(fcntl(fd, F_GET_SEALS));
	CALL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	char link[64], path[64];
	sprintf(path, "/proc/self/fd/%d", fd);
	long n = CALL(readlink(path, link, sizeof link));
	TEXT(link, n);
	CALL(memfd_create("x", 0x100));
	CALL(memfd_create(KERNEL, 0));
	char name[300];
	memset(name, 'n', 299);
	name[299] = 0;
	CALL(memfd_create(name, 0));
	CALL(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) > 0);
	CALL(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	CALL(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	CALL(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	CALL(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
	CALL(syscall(SYS_membarrier, 1 << 20, 0, 0));
	CALL(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 77, 0));
	/* Numbers that mean nothing. */
	CALL(syscall(1000));
	CALL(syscall(-1));
	CALL(syscall(400));
	CALL(syscall(423));
	CALL(syscall(0x40000000));
	CALL(syscall(SYS_restart_syscall));
	/* Devices. */
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR);
	CALL(read(null, buf, 10));
	CALL(write(null, KERNEL, 10));
	CALL(write(null, buf, 10));
	CALL(lseek(null, 5, SEEK_SET));
	memset(buf, 1, 64);
	CALL(read(zero, buf, 64));
	TRUE(buf[0] == 0 && buf[63] == 0);
	CALL(write(zero, buf, 10));
	CALL(read(zero, KERNEL, 10));
	CALL(write(full, buf, 10));
	CALL(read(full, buf, 10));
	int random = open("/dev/urandom", O_RDWR);
	CALL(read(random, a, 64));
	CALL(read(random, b, 64));
	TRUE(memcmp(a, b, 64) != 0);
	CALL(write(random, "entropy", 7));
	random = open("/dev/random", O_RDONLY);
	CALL(read(random, a, 16));
	CALL(open("/dev/none", O_RDONLY));
	CALL(access("/dev/shm", W_OK));
	n = readlink("/dev/fd", buf, sizeof buf);
	TEXT(buf, n);
	n = readlink("/dev/stdin", buf, sizeof buf);
	TEXT(buf, n);
	return 0;
}
