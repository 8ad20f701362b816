#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>

static struct sockaddr_in address;
static socklen_t len;

static void on_pipe(int signal)
{
	printf("SIGPIPE\n");
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

#define A(a) ((struct sockaddr *)&(a)), sizeof(a)

static int port_of(int fd)
{
	struct sockaddr_in name;
	socklen_t size = sizeof name;
	getsockname(fd, (struct sockaddr *)&name, &size);
	return ntohs(name.sin_port);
}

static int listener(int backlog)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in any = loopback(0);
	if (bind(fd, A(any)) || listen(fd, backlog))
		perror("listener");
	return fd;
}

static int dial(int to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in peer = loopback(port_of(to));
	if (connect(fd, A(peer)))
		perror("dial");
	return fd;
}

/* A port that nobody listens at. */
static int dead_port(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in any = loopback(0);
	bind(fd, A(any));
	int port = port_of(fd);
	close(fd);
	return port;
}

static void names(const char *text, int fd)
{
	struct sockaddr_in name;
	socklen_t size = sizeof name;
	char ip[64];
	int result = getsockname(fd, (struct sockaddr *)&name, &size);
	printf("%s: getsockname %d %u %s %s", text, result, size, inet_ntop(AF_INET, &name.sin_addr, ip, sizeof ip), name.sin_port ? "port" : "no port");
	size = sizeof name;
	result = getpeername(fd, (struct sockaddr *)&name, &size);
	if (result)
		printf(", getpeername %s\n", errno_name(errno));
	else
		printf(", getpeername %s %s\n", inet_ntop(AF_INET, &name.sin_addr, ip, sizeof ip), name.sin_port ? "port" : "no port");
}

static void state(const char *text, int fd)
{
	struct pollfd p = { fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM, 0 };
	struct tcp_info info;
	socklen_t size = sizeof info;
	memset(&info, 0, sizeof info);
	int result = poll(&p, 1, 0);
	getsockopt(fd, SOL_TCP, TCP_INFO, &info, &size);
	printf("%s: poll %d %x, state %d\n", text, result, p.revents, info.tcpi_state);
}

static int error_of(int fd)
{
	int error = -1;
	socklen_t size = sizeof error;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return error;
}

static void settle(void)
{
	usleep(100000);
}

static void calls(void)
{
	char buf[8];
	CALL(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	CALL(socket(AF_INET, SOCK_STREAM, -1));
	CALL(socket(AF_INET, SOCK_STREAM, 256));
	CALL(socket(AF_INET, SOCK_SEQPACKET, 0));
	CALL(socket(AF_INET, SOCK_RDM, 0));
	CALL(socket(AF_INET, 11, 0));
	CALL(socket(AF_INET, SOCK_STREAM | 0x10000, 0));
	CALL(socket(99, SOCK_STREAM, 0));
	CALL(socket(AF_INET, 0, 0));
	CALL(socketpair(AF_INET, SOCK_STREAM, 0, (int *)buf));

	int fd = socket(AF_INET, SOCK_STREAM, 0);
	names("new", fd);
	state("new", fd);
	CALL(accept(fd, NULL, NULL));
	CALL(shutdown(fd, SHUT_RDWR));
	CALL(shutdown(fd, 3));
	CALL(recv(fd, buf, 8, 0));
	CALL(recv(fd, buf, 8, MSG_DONTWAIT | MSG_PEEK));
	CALL(recv(fd, buf, 0, 0));
	CALL(recv(fd, buf, 8, MSG_OOB));
	signal(SIGPIPE, on_pipe);
	CALL(send(fd, "x", 1, 0));
	CALL(send(fd, "x", 0, 0));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(write(fd, "x", 1));
	CALL(read(fd, buf, 1));
	int count = -1;
	CALL(ioctl(fd, FIONREAD, &count));
	SHOW(count);
	CALL(ioctl(fd, SIOCOUTQ, &count));
	SHOW(count);
	CALL(ioctl(fd, SIOCATMARK, &count));
	SHOW(count);
	CALL(lseek(fd, 0, SEEK_SET));
	CALL(pread(fd, buf, 1, 0));
	CALL(ftruncate(fd, 0));
	CALL(fsync(fd));

	struct sockaddr_in a = loopback(0);
	CALL(bind(fd, (struct sockaddr *)&a, 15));
	CALL(bind(fd, (struct sockaddr *)&a, 0));
	CALL(bind(fd, (struct sockaddr *)&a, -1));
	CALL(bind(fd, (struct sockaddr *)&a, 129));
	CALL(bind(fd, KERNEL, 16));
	CALL(bind(fd, NULL, 16));
	CALL(bind(99, A(a)));
	CALL(bind(0, A(a)));
	a.sin_family = AF_INET6;
	CALL(bind(fd, A(a)));
	a.sin_family = AF_UNSPEC;
	CALL(bind(fd, A(a)));
	a = loopback(0);
	a.sin_addr.s_addr = htonl(0xc0000201);
	CALL(bind(fd, A(a)));
	a.sin_addr.s_addr = htonl(0xe0000001);
	int group = socket(AF_INET, SOCK_STREAM, 0);
	CALL(bind(group, A(a)));
	close(group);
	a = loopback(0);
	CALL(connect(fd, (struct sockaddr *)&a, 15));
	CALL(connect(fd, (struct sockaddr *)&a, 1));
	CALL(connect(fd, (struct sockaddr *)&a, -1));
	CALL(connect(fd, KERNEL, 16));
	a.sin_family = AF_INET6;
	CALL(connect(fd, A(a)));
	a = loopback(0);
	a.sin_addr.s_addr = htonl(0xe0000001);
	CALL(connect(fd, A(a)));
	a.sin_addr.s_addr = 0xffffffff;
	CALL(connect(fd, A(a)));
	a = loopback(0);
	CALL(connect(fd, A(a)));
	state("refused at port 0", fd);
	a = loopback(0);
	CALL(bind(fd, A(a)));
	names("bound", fd);
	CALL(bind(fd, A(a)));
	state("bound", fd);
	CALL(getsockname(fd, KERNEL, &len));
	len = -1;
	CALL(getsockname(fd, (struct sockaddr *)&address, &len));
	len = 4;
	CALL(getsockname(fd, (struct sockaddr *)&address, &len));
	SHOW(len);
	len = 16;
	CALL(getsockname(fd, (struct sockaddr *)&address, KERNEL));
	CALL(getsockname(fd, KERNEL, &len));
	CALL(getpeername(fd, KERNEL, &len));
	CALL(listen(fd, -1));
	CALL(listen(fd, 3));
	state("listening", fd);
	names("listening", fd);
	CALL(bind(fd, A(a)));
	CALL(connect(fd, A(a)));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 1, 0));
	CALL(recv(fd, buf, 1, MSG_OOB));
	CALL(ioctl(fd, FIONREAD, &count));
	CALL(ioctl(fd, SIOCOUTQ, &count));
	CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
	CALL(accept(fd, NULL, NULL));
	CALL(accept4(fd, NULL, NULL, 1));
	CALL(accept4(fd, NULL, NULL, SOCK_DGRAM | SOCK_CLOEXEC));
	CALL(accept(99, NULL, NULL));
	CALL(accept(0, NULL, NULL));
	CALL(shutdown(fd, SHUT_WR));
	state("listening, shut for writing", fd);
	int client = dial(fd);
	settle();
	state("listening with a connection", fd);
	int other = accept4(fd, (struct sockaddr *)&address, (len = 16, &len), SOCK_CLOEXEC | SOCK_NONBLOCK);
	SHOW(len);
	SHOW(fcntl(other, F_GETFD));
	SHOW(fcntl(other, F_GETFL) & O_NONBLOCK);
	close(other);
	close(client);
	client = dial(fd);
	CALL(accept(fd, (struct sockaddr *)&address, KERNEL));
	len = -1;
	close(client);
	client = dial(fd);
	CALL(accept(fd, (struct sockaddr *)&address, &len));
	close(client);
	client = dial(fd);
	len = 16;
	CALL(accept(fd, KERNEL, &len));
	close(client);
	client = dial(fd);
	CALL(shutdown(fd, SHUT_RD));
	state("no longer listening", fd);
	names("no longer listening", fd);
	settle();
	state("client of the one no longer listening", client);
	CALL(recv(client, buf, 8, 0));
	CALL(accept(fd, NULL, NULL));
	CALL(shutdown(fd, SHUT_RD));
	CALL(listen(fd, 1));
	state("listening again", fd);
	close(client);
	close(fd);
}

static void connecting(void)
{
	char buf[8];
	int dead = dead_port();
	struct sockaddr_in a = loopback(dead);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CALL(connect(fd, A(a)));
	state("refused", fd);
	names("refused", fd);
	SHOW(error_of(fd));
	CALL(connect(fd, A(a)));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 1, 0));
	int l = listener(5);
	a = loopback(port_of(l));
	CALL(connect(fd, A(a)));
	CALL(connect(fd, A(a)));
	CALL(bind(fd, A(a)));
	CALL(listen(fd, 1));
	names("connected", fd);
	state("connected", fd);
	CALL(accept(fd, NULL, NULL));
	CALL(sendto(fd, "abc", 3, 0, KERNEL, 16));
	CALL(sendto(fd, "abc", 3, 0, (void *)&a, -1));
	CALL(sendto(fd, "abc", 3, 0, (void *)&a, 1));
	int s = accept(l, NULL, NULL);
	settle();
	names("accepted", s);
	state("accepted", s);
	len = 16;
	CALL(recvfrom(s, buf, 8, 0, (void *)&address, &len));
	SHOW(len);
	close(s);
	close(fd);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a = loopback(dead);
	CALL(connect(fd, A(a)));
	struct pollfd p = { fd, POLLIN | POLLOUT | POLLRDHUP, 0 };
	CALL(poll(&p, 1, 3000));
	SHOW(p.revents);
	SHOW(error_of(fd));
	SHOW(error_of(fd));
	state("refused in the background", fd);
	names("refused in the background", fd);
	a = loopback(port_of(l));
	CALL(connect(fd, A(a)));
	poll(&p, 1, 3000);
	SHOW(error_of(fd));
	CALL(connect(fd, A(a)));
	CALL(connect(fd, A(a)));
	state("connected in the background", fd);
	close(fd);
	close(accept(l, NULL, NULL));

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	a = loopback(dead);
	CALL(connect(fd, A(a)));
	p.fd = fd;
	poll(&p, 1, 3000);
	CALL(connect(fd, A(a)));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CALL(connect(fd, A(a)));
	p.fd = fd;
	poll(&p, 1, 3000);
	CALL(recv(fd, buf, 1, 0));
	CALL(recv(fd, buf, 1, 0));
	CALL(send(fd, buf, 1, MSG_NOSIGNAL));
	close(fd);

	/* Disconnecting. */
	fd = dial(l);
	s = accept(l, NULL, NULL);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	CALL(connect(fd, &none, sizeof none));
	settle();
	names("disconnected", fd);
	state("disconnected", fd);
	state("peer of the disconnected", s);
	CALL(recv(s, buf, 1, 0));
	CALL(recv(s, buf, 1, 0));
	close(s);
	a = loopback(port_of(l));
	CALL(connect(fd, A(a)));
	s = accept(l, NULL, NULL);
	CALL(send(s, "hi", 2, 0));
	CALL(recv(fd, buf, 8, 0));
	close(s);
	close(fd);
	CALL(connect(l, &none, sizeof none));
	names("listener disconnected", l);
	state("listener disconnected", l);
	CALL(accept(l, NULL, NULL));
	close(l);

	/* To any address is to this machine. */
	l = listener(1);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	a = loopback(port_of(l));
	a.sin_addr.s_addr = 0;
	CALL(connect(fd, A(a)));
	names("to any", fd);
	close(fd);
	close(l);
	/* Elsewhere within the loopback network. */
	l = socket(AF_INET, SOCK_STREAM, 0);
	a = loopback(0);
	a.sin_addr.s_addr = htonl(0x7f000203);
	CALL(bind(l, A(a)));
	CALL(listen(l, 1));
	a.sin_port = htons(port_of(l));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CALL(connect(fd, A(a)));
	names("to 127.0.2.3", fd);
	s = accept(l, NULL, NULL);
	names("accepted there", s);
	close(s);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	a = loopback(port_of(l));
	CALL(connect(fd, A(a)));
	close(fd);
	close(l);
}

static void ends(void)
{
	char buf[64];
	int l = listener(8), count = -1;
	int c = dial(l), s = accept(l, NULL, NULL);
	CALL(send(c, "last words", 10, 0));
	CALL(shutdown(c, SHUT_WR));
	CALL(shutdown(c, SHUT_WR));
	settle();
	state("c half shut", c);
	state("s with bytes, peer shut", s);
	CALL(send(c, "x", 1, 0));
	CALL(send(c, "x", 1, MSG_NOSIGNAL));
	CALL(send(c, "x", 0, MSG_NOSIGNAL));
	CALL(recv(s, buf, 4, 0));
	CALL(recv(s, buf, 64, 0));
	CALL(recv(s, buf, 64, 0));
	CALL(recv(s, buf, 64, MSG_PEEK));
	state("s at the end", s);
	CALL(send(s, "answer", 6, 0));
	settle();
	state("c with an answer", c);
	CALL(recv(c, buf, 64, 0));
	CALL(shutdown(s, SHUT_WR));
	settle();
	state("c, both shut", c);
	state("s, both shut", s);
	names("c, both shut", c);
	names("s, both shut", s);
	CALL(recv(c, buf, 64, 0));
	CALL(shutdown(c, SHUT_RDWR));
	CALL(shutdown(s, SHUT_RDWR));
	CALL(send(s, "x", 1, MSG_NOSIGNAL));
	SHOW(error_of(c));
	SHOW(error_of(s));
	close(c);
	close(s);

	/* The reading half. */
	c = dial(l), s = accept(l, NULL, NULL);
	CALL(shutdown(c, SHUT_RD));
	state("c, shut for reading", c);
	CALL(recv(c, buf, 64, 0));
	CALL(send(s, "hello", 5, 0));
	settle();
	CALL(recv(c, buf, 64, 0));
	CALL(recv(c, buf, 64, 0));
	CALL(send(c, "hello", 5, 0));
	CALL(recv(s, buf, 64, 0));
	state("s, peer shut for reading", s);
	close(c);
	settle();
	state("s, peer gone", s);
	CALL(recv(s, buf, 64, 0));
	CALL(send(s, "x", 1, 0));
	settle();
	state("s, after writing to nobody", s);
	SHOW(error_of(s));
	CALL(send(s, "x", 1, 0));
	CALL(recv(s, buf, 64, 0));
	names("s, after writing to nobody", s);
	CALL(shutdown(s, SHUT_RDWR));
	close(s);

	/* Closed with bytes that nobody has read. */
	c = dial(l), s = accept(l, NULL, NULL);
	send(c, "unread", 6, 0);
	send(s, "for you", 7, 0);
	settle();
	close(s);
	settle();
	state("c, closed with unread bytes", c);
	names("c, closed with unread bytes", c);
	CALL(ioctl(c, FIONREAD, &count));
	SHOW(count);
	CALL(recv(c, buf, 64, 0));
	CALL(recv(c, buf, 64, 0));
	CALL(recv(c, buf, 64, 0));
	CALL(send(c, "x", 1, 0));
	close(c);

	/* Reset. */
	struct linger hard = { 1, 0 };
	c = dial(l), s = accept(l, NULL, NULL);
	CALL(setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
	send(s, "lost?", 5, 0);
	settle();
	close(s);
	settle();
	state("c, reset", c);
	CALL(send(c, "x", 1, 0));
	CALL(send(c, "x", 1, 0));
	CALL(recv(c, buf, 64, 0));
	CALL(shutdown(c, SHUT_WR));
	close(c);
	c = dial(l), s = accept(l, NULL, NULL);
	setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(s);
	settle();
	SHOW(error_of(c));
	SHOW(error_of(c));
	state("c, reset and told", c);
	CALL(recv(c, buf, 64, 0));
	CALL(send(c, "x", 1, 0));
	struct sockaddr_in a = loopback(port_of(l));
	CALL(connect(c, A(a)));
	close(c);

	/* A connection that ends before it is accepted. */
	c = dial(l);
	send(c, "early", 5, 0);
	close(c);
	settle();
	s = OK(accept(l, (struct sockaddr *)&address, (len = 16, &len)));
	SHOW(len);
	state("accepted, ended before", s);
	names("accepted, ended before", s);
	CALL(recv(s, buf, 64, 0));
	CALL(recv(s, buf, 64, 0));
	close(s);
	c = dial(l);
	setsockopt(c, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(c);
	settle();
	s = OK(accept(l, (struct sockaddr *)&address, (len = 16, &len)));
	state("accepted, reset before", s);
	CALL(recv(s, buf, 64, 0));
	close(s);
	/* A listener that closes with a connection in its queue. */
	c = dial(l);
	send(c, "hello", 5, 0);
	close(l);
	settle();
	state("c, listener gone", c);
	CALL(recv(c, buf, 64, 0));
	CALL(recv(c, buf, 64, 0));
	close(c);
}

int main(void)
{
	calls();
	connecting();
	ends();
	return 0;
}
