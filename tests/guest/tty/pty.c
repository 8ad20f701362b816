#include "check.h"
#include <sys/ioctl.h>
#include <termios.h>

static int m, s;

static void from(const char *who, int fd)
{
	char buf[256];
	usleep(20000);
	long n = read(fd, buf, sizeof buf);
	printf("%s: %ld", who, n);
	for (long i = 0; i < n; i++)
		if (buf[i] >= ' ' && buf[i] < 127)
			printf(" %c", buf[i]);
		else
			printf(" %02x", (unsigned char)buf[i]);
	if (n < 0)
		printf(" %s", errno_name(errno));
	putchar('\n');
}

static void type(const char *text)
{
	write(m, text, strlen(text));
}

static volatile int got;

static void caught(int signo)
{
	got = signo;
}

int main(void)
{
	struct termios t, raw;
	struct winsize size = { 24, 80, 0, 0 };
	m = CALL(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK));
	CALL(grantpt(m));
	CALL(unlockpt(m));
	TRUE(ptsname(m) != NULL && !strncmp(ptsname(m), "/dev/pts/", 9));
	s = CALL(open(ptsname(m), O_RDWR | O_NOCTTY | O_NONBLOCK));
	CALL(isatty(s));
	CALL(tcgetattr(s, &t));
	printf("%x %x %x %x\n", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
	for (int i = 0; i < 17; i++)
		printf("%d ", t.c_cc[i]);
	putchar('\n');
	CALL(ioctl(s, TIOCSWINSZ, &size));
	CALL(ioctl(m, TIOCGWINSZ, &size));
	SHOW(size.ws_col);
	type("hello\n");
	from("slave", s);
	from("echo", m);
	type("abx\b\x7fyz");
	from("unfinished", s);
	type("\n");
	from("slave", s);
	from("echo", m);
	type("gone\x15kept\n");
	from("line kill", s);
	from("echo", m);
	type("one two\x17six\n");
	from("word erase", s);
	from("echo", m);
	type("\x04");
	from("end of file", s);
	type("half\x04");
	from("half line", s);
	from("echo", m);
	type("a\x16\x03z\n");
	from("literal", s);
	from("echo", m);
	CALL(write(s, "out\nput\n", 8));
	from("master", m);
	raw = t;
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	CALL(tcsetattr(s, TCSANOW, &raw));
	type("raw\r\x03");
	from("slave", s);
	from("no echo", m);
	CALL(write(s, "out\n", 4));
	from("master", m);
	CALL(tcsetattr(s, TCSAFLUSH, &t));
	int n;
	type("queued\n");
	usleep(20000);
	CALL(ioctl(s, FIONREAD, &n));
	SHOW(n);
	CALL(tcflush(s, TCIFLUSH));
	from("flushed", s);
	from("echo", m);
	/* Signals go to the foreground group of the session whose terminal it is. */
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct sigaction action = { .sa_handler = caught };
		setsid();
		CALL(ioctl(s, TIOCSCTTY, 0));
		sigaction(SIGINT, &action, NULL);
		sigaction(SIGWINCH, &action, NULL);
		TRUE(tcgetpgrp(s) == getpid());
		TRUE(tcgetsid(s) == getpid());
		CALL(open("/dev/tty", O_RDWR) >= 0);
		type("\x03");
		usleep(50000);
		SHOW(got);
		size.ws_col = 100;
		ioctl(m, TIOCSWINSZ, &size);
		usleep(50000);
		SHOW(got);
		CALL(tcsetpgrp(s, 999999));
		CALL(ioctl(s, TIOCNOTTY));
		_exit(0);
	}
	waitpid(child, NULL, 0);
	tcflush(m, TCIOFLUSH);
	close(s);
	from("hung up", m);
	CALL(ioctl(s, TCGETS, &t));
	return 0;
}
