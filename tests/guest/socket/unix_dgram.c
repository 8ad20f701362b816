#include "sock.h"

static void *take_one(void *arg)
{
	char buf[16];
	usleep(150000);
	recv(*(int *)arg, buf, sizeof buf, 0);
	return NULL;
}

int main(void)
{
	static char big[300000];
	char buf[256];
	int s[2], a, b, c, n, count;
	struct sockaddr_un un;
	socklen_t len;
	pthread_t thread;
	scratch();
	signal(SIGPIPE, SIG_IGN);
	a = socket(AF_UNIX, SOCK_DGRAM, 0);
	b = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	POLL(a);
	CALL(send(a, "x", 1, 0));
	CALL(listen(a, 1));
	CALL(accept(a, NULL, NULL));
	CALL(bind_to(a, "a"));
	CALL(recv(a, buf, 10, MSG_DONTWAIT));
	CALL(send_to(b, "unnamed", 7, 0, "a"));
	memset(&un, 0, sizeof un);
	len = sizeof un;
	CALL(recvfrom(a, buf, sizeof buf, 0, (struct sockaddr *)&un, &len));
	SHOW(len);
	CALL(bind_to(b, "@b"));
	CALL(send_to(b, "named", 5, 0, "a"));
	POLL(a);
	CALL(ioctl(a, SIOCINQ, &n));
	SHOW(n);
	len = sizeof un;
	CALL(recvfrom(a, buf, 3, MSG_PEEK | MSG_TRUNC, (struct sockaddr *)&un, &len));
	show_name("from", &un, len);
	len = 4;
	CALL(recvfrom(a, buf, 3, 0, (struct sockaddr *)&un, &len));
	SHOW(len);
	RECEIVE(a, 10, 0, MSG_DONTWAIT, NULL);
	CALL(send_to(b, "", 0, 0, "a"));
	CALL(ioctl(a, SIOCINQ, &n));
	SHOW(n);
	RECEIVE(a, 10, 0, 0, NULL);
	CALL(send_to(b, "long message", 12, 0, "a"));
	RECEIVE(a, 4, 0, 0, NULL);
	CALL(send_to(b, "x", 1, 0, "nowhere"));
	CALL(send_to(b, "x", 1, 0, "."));
	CALL(send_to(b, "x", 1, MSG_OOB, "a"));
	CALL(recv(a, buf, 1, MSG_OOB));
	CALL(send_to(b, big, sizeof big, 0, "a"));
	CALL(send_to(b, big, 100000, 0, "a"));
	CALL(recv(a, big, sizeof big, 0));
	/* Ten and one wait; then the sender waits. */
	CALL(connect_to(b, "a"));
	NAME(getpeername, b);
	for (count = 0; send(b, "m", 1, 0) == 1; count++)
		;
	SHOW(errno == EAGAIN);
	SHOW(count);
	POLL(b);
	fcntl(b, F_SETFL, 0);
	RET(pthread_create(&thread, NULL, take_one, &a));
	CALL(send(b, "waited", 6, 0));
	RET(pthread_join(thread, NULL));
	CALL(recv(a, buf, sizeof buf, 0));
	POLL(b);
	while (recv(a, buf, sizeof buf, MSG_DONTWAIT) > 0)
		;
	/* Only the peer is heard. */
	c = socket(AF_UNIX, SOCK_DGRAM, 0);
	CALL(connect_to(a, "@b"));
	CALL(send_to(c, "x", 1, 0, "a"));
	CALL(connect_to(c, "a"));
	CALL(send(a, "to b", 4, 0));
	CALL(recv(b, buf, 10, 0));
	CALL(send(b, "unread", 6, 0));
	CALL(connect(a, (struct sockaddr *)&(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)));
	CALL(recv(a, buf, 10, MSG_DONTWAIT));
	CALL(getsockopt(b, SOL_SOCKET, SO_ERROR, &n, &(socklen_t){ 4 }));
	TRUE(n == ECONNRESET);
	NAME(getpeername, a);
	CALL(close(a));
	CALL(send(b, "x", 1, 0));
	CALL(send(b, "x", 1, 0));
	CALL(send_to(b, "x", 1, 0, "a"));
	CALL(shutdown(b, SHUT_WR));
	CALL(send_to(b, "x", 1, 0, "@b"));
	CALL(shutdown(b, SHUT_RD));
	POLL(b);
	CALL(recv(b, buf, 10, 0));
	CALL(recv(b, buf, 10, MSG_DONTWAIT));
	CALL(send_to(c, "x", 1, 0, "@b"));
	close(b);
	close(c);
	/* Pairs. */
	CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	CALL(send(s[0], "one", 3, 0));
	CALL(send(s[0], "two", 3, 0));
	CALL(recv(s[1], buf, 1, 0));
	CALL(recv(s[1], buf, 10, 0));
	for (count = 0; count < 100 && send(s[0], "m", 1, MSG_DONTWAIT) == 1; count++)
		;
	SHOW(count);
	POLL(s[0]);
	CALL(close(s[1]));
	POLL(s[0]);
	CALL(send(s[0], "x", 1, 0));
	close(s[0]);
	CALL(socketpair(AF_UNIX, SOCK_RAW, 0, s));
	CALL(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &n, &(socklen_t){ 4 }));
	SHOW(n);
	close(s[0]);
	close(s[1]);
	/* Sequenced packets. */
	a = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	POLL(a);
	CALL(send(a, "x", 1, 0));
	CALL(recv(a, buf, 1, 0));
	CALL(bind_to(a, "seq"));
	CALL(listen(a, 3));
	b = socket(AF_UNIX, SOCK_STREAM, 0);
	CALL(connect_to(b, "seq"));
	close(b);
	b = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	CALL(connect_to(b, "seq"));
	CALL(send(b, "packet", 6, 0));
	CALL(send(b, "", 0, 0));
	CALL(send(b, "last", 4, MSG_EOR));
	c = accept(a, NULL, NULL);
	POLL(c);
	CALL(ioctl(c, SIOCINQ, &n));
	SHOW(n);
	RECEIVE(c, 3, 0, 0, NULL);
	RECEIVE(c, 10, 0, 0, NULL);
	RECEIVE(c, 10, 0, 0, NULL);
	CALL(send_to(b, "x", 1, 0, "nowhere"));
	CALL(shutdown(b, SHUT_WR));
	POLL(c);
	RECEIVE(c, 10, 0, 0, NULL);
	RECEIVE(c, 10, 0, 0, NULL);
	RECEIVE(c, 10, 0, MSG_DONTWAIT, NULL);
	CALL(send(b, "x", 1, 0));
	CALL(send(c, "unread", 6, 0));
	CALL(close(b));
	CALL(send(c, "x", 1, 0));
	CALL(recv(c, buf, 10, 0));
	POLL(c);
	/* Several at once. */
	CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	struct iovec iov[3] = { { "a", 1 }, { "bb", 2 }, { "ccc", 3 } };
	struct mmsghdr list[3];
	memset(list, 0, sizeof list);
	for (int i = 0; i < 3; i++) {
		list[i].msg_hdr.msg_iov = &iov[i];
		list[i].msg_hdr.msg_iovlen = 1;
	}
	CALL(sendmmsg(s[0], list, 3, 0));
	SHOW(list[2].msg_len);
	char out[3][8];
	for (int i = 0; i < 3; i++)
		iov[i] = (struct iovec){ out[i], 8 };
	CALL(recvmmsg(s[1], list, 2, 0, NULL));
	SHOW(list[0].msg_len);
	SHOW(list[1].msg_len);
	CALL(recvmmsg(s[1], list, 3, MSG_WAITFORONE, NULL));
	struct timespec time = { 0, 1000000000 };
	CALL(recvmmsg(s[1], list, 3, 0, &time));
	CALL(recvmmsg(s[1], list, 3, MSG_DONTWAIT, NULL));
	CALL(recvmmsg(-1, list, 3, 0, NULL));
	CALL(syscall(SYS_recvmmsg, s[1], KERNEL, 3, MSG_DONTWAIT, NULL));
	CALL(syscall(SYS_sendmmsg, s[1], KERNEL, 3, 0));
	CALL(sendmmsg(0, list, 3, 0));
	CALL(sendmmsg(s[0], list, 0, 0));
	clean();
	return 0;
}
