#include "sock.h"

static void signalled(int number)
{
	(void)number;
}

static void *later(void *arg)
{
	usleep(150000);
	int fd = *(int *)arg;
	write(fd, "later", 5);
	return NULL;
}

static void *drain(void *arg)
{
	char buf[65536];
	long total = 0, got;
	usleep(100000);
	while ((got = read(*(int *)arg, buf, sizeof buf)) > 0)
		total += got;
	return (void *)total;
}

int main(void)
{
	static char big[1 << 20];
	int s[2], a, b, l, n;
	char buf[256];
	pthread_t thread;
	void *result;
	struct sockaddr_un un;
	scratch();
	signal(SIGPIPE, SIG_IGN);
	/* Without a connection. */
	a = OK(socket(AF_UNIX, SOCK_STREAM, 0)) < 0 ? -1 : 3;
	POLL(a);
	CALL(recv(a, buf, 10, 0));
	CALL(send(a, buf, 10, 0));
	CALL(read(a, buf, 10));
	CALL(write(a, buf, 10));
	CALL(write(a, buf, 0));
	CALL(read(a, buf, 0));
	CALL(listen(a, 5));
	CALL(accept(a, NULL, NULL));
	CALL(shutdown(a, SHUT_RD));
	CALL(shutdown(a, 3));
	POLL(a);
	CALL(ioctl(a, SIOCINQ, &n));
	SHOW(n);
	NAME(getsockname, a);
	NAME(getpeername, a);
	CALL(send_to(a, "x", 1, 0, "nowhere"));
	close(a);
	/* A pair. */
	CALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	CALL(fcntl(s[0], F_GETFD));
	POLL(s[0]);
	CALL(recv(s[0], buf, 10, MSG_DONTWAIT));
	CALL(recv(s[0], buf, 0, MSG_DONTWAIT));
	CALL(write(s[1], "hello world", 11));
	POLL(s[0]);
	CALL(ioctl(s[0], FIONREAD, &n));
	SHOW(n);
	CALL(ioctl(s[1], SIOCOUTQ, &n));
	TRUE(n > 0);
	CALL(recv(s[0], buf, 5, MSG_PEEK));
	TEXT(buf, 5);
	CALL(recv(s[0], buf, 0, 0));
	CALL(recv(s[0], buf, 6, 0));
	CALL(write(s[1], "more", 4));
	CALL(recv(s[0], buf, sizeof buf, 0));
	TEXT(buf, 9);
	CALL(ioctl(s[1], SIOCOUTQ, &n));
	SHOW(n);
	CALL(send_to(s[0], "x", 1, 0, "nowhere"));
	CALL(recv(s[0], KERNEL, 10, MSG_DONTWAIT));
	CALL(send(s[1], KERNEL, 10, 0));
	CALL(send(s[1], UNMAPPED, 10, 0));
	CALL(write(s[1], "abc", 3));
	CALL(recv(s[0], UNMAPPED, 10, MSG_DONTWAIT));
	CALL(recv(s[0], buf, 10, MSG_DONTWAIT));
	/* Everything is sent, and everything is waited for. */
	RET(pthread_create(&thread, NULL, drain, &s[0]));
	CALL(write(s[1], big, sizeof big));
	CALL(shutdown(s[1], SHUT_WR));
	RET(pthread_join(thread, &result));
	SHOW(result);
	POLL(s[0]);
	POLL(s[1]);
	CALL(write(s[1], "x", 1));
	CALL(send(s[1], "x", 1, MSG_NOSIGNAL));
	CALL(read(s[0], buf, 10));
	CALL(write(s[0], "back", 4));
	CALL(read(s[1], buf, 10));
	CALL(close(s[0]));
	POLL(s[1]);
	CALL(read(s[1], buf, 10));
	NAME(getpeername, s[1]);
	close(s[1]);
	/* Full without waiting. */
	CALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	TRUE(write(s[0], big, sizeof big) > 1000);
	CALL(write(s[0], big, sizeof big));
	POLL(s[0]);
	while (read(s[1], big, sizeof big) > 0)
		;
	POLL(s[0]);
	/* Unread data at the end. */
	CALL(write(s[0], "lost", 4));
	CALL(close(s[1]));
	POLL(s[0]);
	CALL(getsockopt(s[0], SOL_SOCKET, SO_ERROR, &n, &(socklen_t){ 4 }));
	TRUE(n == ECONNRESET);
	CALL(read(s[0], buf, 10));
	CALL(write(s[0], buf, 10));
	close(s[0]);
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(write(s[0], "lost", 4));
	close(s[1]);
	CALL(read(s[0], buf, 10));
	CALL(read(s[0], buf, 10));
	close(s[0]);
	/* MSG_WAITALL, SO_RCVLOWAT, timeouts, signals. */
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(write(s[1], "early", 5));
	RET(pthread_create(&thread, NULL, later, &s[1]));
	CALL(recv(s[0], buf, 10, MSG_WAITALL));
	TEXT(buf, 10);
	RET(pthread_join(thread, NULL));
	CALL(write(s[1], "ab", 2));
	CALL(recv(s[0], buf, 10, MSG_WAITALL | MSG_DONTWAIT));
	CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVLOWAT, &(int){ 7 }, 4));
	CALL(write(s[1], "ab", 2));
	RET(pthread_create(&thread, NULL, later, &s[1]));
	CALL(recv(s[0], buf, 20, 0));
	RET(pthread_join(thread, NULL));
	CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVLOWAT, &(int){ 1 }, 4));
	struct timeval tv = { 0, 100000 };
	CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	CALL(recv(s[0], buf, 10, 0));
	CALL(read(s[0], buf, 10));
	struct sigaction act = { .sa_handler = signalled, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &act, NULL);
	struct itimerval it = { { 0, 0 }, { 0, 100000 } };
	tv.tv_sec = 20;
	CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	setitimer(ITIMER_REAL, &it, NULL);
	CALL(recv(s[0], buf, 10, 0));
	tv.tv_sec = tv.tv_usec = 0;
	CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	setitimer(ITIMER_REAL, &it, NULL);
	usleep(0);
	RET(pthread_create(&thread, NULL, later, &s[1]));
	CALL(recv(s[0], buf, 10, 0));
	RET(pthread_join(thread, NULL));
	act.sa_flags = 0;
	sigaction(SIGALRM, &act, NULL);
	sigset_t set;
	sigemptyset(&set);
	setitimer(ITIMER_REAL, &it, NULL);
	CALL(recv(s[0], buf, 10, 0));
	close(s[0]);
	close(s[1]);
	/* Listening, connecting, accepting. */
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	CALL(bind_to(l, "sock"));
	CALL(listen(l, 1));
	POLL(l);
	CALL(read(l, buf, 1));
	CALL(write(l, buf, 1));
	CALL(ioctl(l, SIOCINQ, &n));
	CALL(connect_to(l, "sock"));
	CALL(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &n, &(socklen_t){ 4 }));
	SHOW(n);
	a = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CALL(connect_to(a, "sock"));
	CALL(connect_to(a, "sock"));
	CALL(connect_to(a, "nowhere"));
	POLL(l);
	POLL(a);
	CALL(write(a, "first", 5));
	b = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CALL(connect_to(b, "sock"));
	n = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CALL(connect_to(n, "sock"));
	close(n);
	close(b);
	socklen_t len = sizeof un;
	b = accept4(l, (struct sockaddr *)&un, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	show_name("accept4", &un, len);
	CALL(fcntl(b, F_GETFD));
	TRUE(fcntl(b, F_GETFL) & O_NONBLOCK);
	NAME(getsockname, b);
	NAME(getpeername, b);
	NAME(getsockname, a);
	NAME(getpeername, a);
	CALL(read(b, buf, 10));
	struct ucred who;
	len = sizeof who;
	CALL(getsockopt(a, SOL_SOCKET, SO_PEERCRED, &who, &len));
	TRUE(who.pid == getpid() && who.uid == geteuid() && who.gid == getegid());
	len = sizeof who;
	CALL(getsockopt(l, SOL_SOCKET, SO_PEERCRED, &who, &len));
	CALL(close(b));
	CALL(read(a, buf, 10));
	b = accept(l, NULL, NULL);
	CALL(read(b, buf, 10));
	CALL(close(b));
	CALL(fcntl(l, F_SETFL, O_NONBLOCK));
	CALL(accept(l, NULL, NULL));
	close(a);
	a = socket(AF_UNIX, SOCK_STREAM, 0);
	CALL(connect_to(a, "sock"));
	CALL(close(l));
	CALL(write(a, "x", 1));
	CALL(read(a, buf, 1));
	POLL(a);
	close(a);
	a = socket(AF_UNIX, SOCK_STREAM, 0);
	CALL(connect_to(a, "sock"));
	CALL(bind_to(a, "sock"));
	CALL(unlink("sock"));
	CALL(connect_to(a, "sock"));
	close(a);
	/* Out of band. */
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(recv(s[0], buf, 10, MSG_OOB));
	CALL(send(s[1], "abc", 3, MSG_OOB));
	POLL(s[0]);
	CALL(ioctl(s[0], SIOCATMARK, &n));
	SHOW(n);
	CALL(recv(s[0], buf, 10, 0));
	CALL(ioctl(s[0], SIOCATMARK, &n));
	SHOW(n);
	CALL(recv(s[0], buf, 10, MSG_OOB));
	TEXT(buf, 1);
	CALL(recv(s[0], buf, 10, MSG_OOB));
	CALL(send(s[1], "xyz", 3, 0));
	CALL(recv(s[0], buf, 10, MSG_DONTWAIT));
	CALL(setsockopt(s[0], SOL_SOCKET, SO_OOBINLINE, &(int){ 1 }, 4));
	CALL(send(s[1], "123", 3, MSG_OOB));
	CALL(recv(s[0], buf, 10, MSG_OOB));
	CALL(recv(s[0], buf, 10, 0));
	CALL(recv(s[0], buf, 10, 0));
	TEXT(buf, 1);
	clean();
	return 0;
}
