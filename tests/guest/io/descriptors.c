#include "check.h"
#include <linux/close_range.h>

int main(void)
{
	scratch();
	int fd = CALL(open("f", O_RDWR | O_CREAT, 0600));
	CALL(dup(fd));
	CALL(dup2(fd, 10));
	CALL(dup2(fd, fd));
	CALL(dup2(-1, 5));
	CALL(dup2(99, 99));
	CALL(dup2(fd, -1));
	CALL(dup2(fd, 1 << 30));
	CALL(dup3(fd, 11, O_CLOEXEC));
	CALL(dup3(fd, fd, 0));
	CALL(dup3(fd, 12, O_RDWR));
	CALL(dup3(fd, 12, 1));
	CALL(dup3(-1, 12, 0));
	CALL(dup(-1));
	CALL(fcntl(11, F_GETFD));
	CALL(fcntl(10, F_GETFD));
	CALL(fcntl(10, F_SETFD, FD_CLOEXEC));
	CALL(fcntl(10, F_GETFD));
	CALL(fcntl(10, F_SETFD, 0xff));
	CALL(fcntl(10, F_GETFD));
	CALL(fcntl(fd, F_DUPFD, 20));
	CALL(fcntl(fd, F_DUPFD, 20));
	CALL(fcntl(fd, F_DUPFD_CLOEXEC, 30));
	CALL(fcntl(30, F_GETFD));
	CALL(fcntl(fd, F_DUPFD, -1));
	CALL(fcntl(fd, F_DUPFD, 1 << 30));
	CALL(fcntl(99, F_GETFD));
	CALL(fcntl(99, 12345));
	CALL(fcntl(fd, 12345));
	SHOW(fcntl(fd, F_GETFL) & ~O_LARGEFILE);
	CALL(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_RDONLY | O_CREAT));
	TRUE((fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE)) == (O_APPEND | O_NONBLOCK | O_RDWR));
	TRUE((fcntl(10, F_GETFL) & O_APPEND) != 0);
	CALL(fcntl(fd, F_SETFL, 0));
	/* Copies share the offset. */
	CALL(write(fd, "0123456789", 10));
	CALL(lseek(10, 0, SEEK_CUR));
	CALL(lseek(10, 3, SEEK_SET));
	CALL(lseek(fd, 0, SEEK_CUR));
	CALL(close_range(20, 30, 0));
	CALL(fcntl(20, F_GETFD));
	CALL(fcntl(30, F_GETFD));
	CALL(fcntl(11, F_GETFD));
	CALL(fcntl(fd, F_SETFD, 0));
	CALL(close_range(3, 9, CLOSE_RANGE_CLOEXEC));
	CALL(fcntl(fd, F_GETFD));
	CALL(close_range(9, 3, 0));
	CALL(close_range(3, 9, 8));
	CALL(close_range(3, ~0U, 0));
	CALL(fcntl(fd, F_GETFD));
	CALL(open("f", O_RDONLY | O_CLOEXEC));
	CALL(fcntl(3, F_GETFD));
	CALL(fcntl(3, F_GETOWN));
	CALL(fcntl(3, F_SETSIG, SIGUSR1));
	CALL(fcntl(3, F_GETSIG));
	CALL(fcntl(3, F_SETSIG, 1000));
	struct rlimit limit = { 8, 4096 };
	CALL(setrlimit(RLIMIT_NOFILE, &limit));
	CALL(dup(3));
	CALL(dup(3));
	CALL(dup(3));
	CALL(dup(3));
	CALL(dup(3));
	CALL(open("f", O_RDONLY));
	CALL(dup2(3, 8));
	CALL(fcntl(3, F_DUPFD, 8));
	close(3);
	limit.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &limit);
	clean();
	return 0;
}
