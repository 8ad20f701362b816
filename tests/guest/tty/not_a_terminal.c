// stdin: input\n
#include "check.h"
#include <sys/ioctl.h>
#include <termios.h>

int main(void)
{
	struct termios t;
	struct winsize size;
	int n;
	CALL(isatty(0));
	CALL(isatty(1));
	CALL(isatty(99));
	CALL(tcgetattr(0, &t));
	CALL(tcsetattr(1, TCSANOW, &t));
	CALL(ioctl(1, TIOCGWINSZ, &size));
	CALL(tcgetpgrp(0));
	CALL(ttyname(0) == NULL);
	CALL(open("/dev/tty", O_RDWR));
	int null = open("/dev/null", O_RDWR), file = open("/etc/passwd", O_RDONLY);
	CALL(ioctl(null, TCGETS, &t));
	CALL(ioctl(file, TCGETS, &t));
	CALL(ioctl(file, FIONREAD, &n));
	CALL(ioctl(null, FIONREAD, &n));
	CALL(ioctl(file, FIOCLEX));
	CALL(fcntl(file, F_GETFD));
	CALL(ioctl(file, FIONCLEX));
	CALL(fcntl(file, F_GETFD));
	n = 1;
	CALL(ioctl(file, FIONBIO, &n));
	TRUE(fcntl(file, F_GETFL) & O_NONBLOCK);
	CALL(ioctl(file, FIONBIO, KERNEL));
	CALL(ioctl(99, TCGETS, &t));
	CALL(ioctl(file, 0xdeadbeef, &t));
	char buf[16];
	CALL(read(0, buf, 16));
	TEXT(buf, 5);
	CALL(read(0, buf, 16));
	return 0;
}
