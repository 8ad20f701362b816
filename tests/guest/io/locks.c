#include "check.h"
#include <sys/file.h>

static void show_lock(struct flock *lock)
{
	printf("lock: type %d whence %d start %ld len %ld\n", lock->l_type, lock->l_whence, (long)lock->l_start,
	       (long)lock->l_len);
}

int main(void)
{
	scratch();
	int a = CALL(open("f", O_RDWR | O_CREAT, 0600));
	int b = CALL(open("f", O_RDWR));
	CALL(flock(a, LOCK_SH));
	CALL(flock(b, LOCK_SH | LOCK_NB));
	CALL(flock(b, LOCK_EX | LOCK_NB));
	CALL(flock(a, LOCK_UN));
	CALL(flock(b, LOCK_EX | LOCK_NB));
	CALL(flock(a, LOCK_SH | LOCK_NB));
	CALL(flock(a, 77));
	CALL(flock(a, 0));
	CALL(flock(-1, LOCK_SH));
	CALL(close(b));
	CALL(flock(a, LOCK_EX | LOCK_NB));
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20 };
	CALL(fcntl(a, F_SETLK, &lock));
	b = open("f", O_RDWR);
	/* Record locks belong to the process: no conflict with itself. */
	CALL(fcntl(b, F_GETLK, &lock));
	show_lock(&lock);
	struct flock ofd = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1 };
	CALL(fcntl(b, F_OFD_SETLK, &ofd));
	ofd.l_start = 100;
	CALL(fcntl(b, F_OFD_SETLK, &ofd));
	struct flock probe = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 90, .l_len = 20 };
	CALL(fcntl(a, F_GETLK, &probe));
	show_lock(&probe);
	TRUE(probe.l_pid == -1);
	probe.l_pid = 1;
	CALL(fcntl(a, F_OFD_GETLK, &probe));
	lock.l_type = 9;
	CALL(fcntl(a, F_SETLK, &lock));
	lock.l_type = F_UNLCK;
	CALL(fcntl(a, F_SETLK, &lock));
	lock.l_whence = 7;
	CALL(fcntl(a, F_SETLK, &lock));
	lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = -5 };
	CALL(fcntl(a, F_SETLK, &lock));
	lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = -5 };
	CALL(fcntl(a, F_SETLK, &lock));
	CALL(fcntl(a, F_SETLK, NULL));
	int ro = open("f", O_RDONLY);
	lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	CALL(fcntl(ro, F_SETLK, &lock));
	CALL(fcntl(-1, F_SETLK, &lock));
	int p[2];
	CALL(pipe(p));
	CALL(lockf(a, F_TLOCK, 5));
	CALL(lockf(a, F_ULOCK, 5));
	clean();
	return 0;
}
