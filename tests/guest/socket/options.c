#include "sock.h"
#include <grp.h>

#define GET(fd, name) ({ int v_[4] = { -7, -7, -7, -7 }; socklen_t l_ = sizeof v_; errno = 0; \
	int r_ = getsockopt(fd, SOL_SOCKET, name, v_, &l_); \
	if (r_) printf("get %s: %s\n", #name, errno_name(errno)); else printf("get %s: %d len %u\n", #name, v_[0], l_); })
#define SET(fd, name, value) ({ int v_ = value; errno = 0; \
	int r_ = setsockopt(fd, SOL_SOCKET, name, &v_, sizeof v_); \
	printf("set %s to %s: %s\n", #name, #value, r_ ? errno_name(errno) : "ok"); if (!r_) GET(fd, name); })

int main(void)
{
	int s[2], fd = socket(AF_UNIX, SOCK_STREAM, 0), n;
	socklen_t len;
	char buf[64];
	CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	GET(fd, SO_TYPE);
	GET(fd, SO_DOMAIN);
	GET(fd, SO_PROTOCOL);
	GET(fd, SO_ERROR);
	GET(fd, SO_ACCEPTCONN);
	GET(fd, SO_SNDBUF);
	GET(fd, SO_RCVBUF);
	GET(fd, SO_SNDLOWAT);
	GET(fd, SO_RCVLOWAT);
	GET(fd, SO_PRIORITY);
	GET(fd, SO_LINGER);
	GET(fd, SO_BSDCOMPAT);
	GET(fd, SO_RCVTIMEO);
	GET(fd, SO_PEEK_OFF);
	SET(fd, SO_REUSEADDR, 5);
	SET(fd, SO_REUSEADDR, 0);
	SET(fd, SO_KEEPALIVE, 1);
	SET(fd, SO_BROADCAST, 1);
	SET(fd, SO_OOBINLINE, 1);
	SET(fd, SO_DONTROUTE, 1);
	SET(fd, SO_DEBUG, 1);
	SET(fd, SO_PASSCRED, 1);
	SET(fd, SO_NO_CHECK, 1);
	SET(fd, SO_REUSEPORT, 1);
	SET(fd, SO_REUSEPORT, 0);
	SET(fd, SO_SNDBUF, 0);
	SET(fd, SO_SNDBUF, 10000);
	SET(fd, SO_RCVBUF, 0);
	SET(fd, SO_RCVBUF, 10001);
	SET(fd, SO_PRIORITY, 6);
	SET(fd, SO_RCVLOWAT, 0);
	SET(fd, SO_RCVLOWAT, -1);
	SET(fd, SO_RCVLOWAT, 12);
	SET(fd, SO_SNDLOWAT, 1);
	SET(fd, SO_TYPE, 1);
	SET(fd, SO_ERROR, 1);
	SET(fd, SO_DOMAIN, 1);
	SET(fd, SO_PROTOCOL, 1);
	SET(fd, SO_ACCEPTCONN, 1);
	SET(fd, SO_BSDCOMPAT, 1);
	SET(fd, SO_TIMESTAMP, 1);
	SET(fd, SO_TIMESTAMPNS, 1);
	GET(fd, SO_TIMESTAMP);
	SET(fd, SO_TIMESTAMP, 0);
	SET(fd, SO_RXQ_OVFL, 1);
	SET(fd, SO_PEEK_OFF, 3);
	SET(fd, SO_BUSY_POLL, -1);
	SET(fd, SO_BUF_LOCK, 4);
	SET(fd, SO_BUF_LOCK, 3);
	SET(fd, 9999, 1);
	GET(fd, 9999);
	GET(fd, SO_PEERSEC);
	/* Lengths. */
	CALL(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &n, 3));
	CALL(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &n, -1));
	CALL(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, KERNEL, 4));
	CALL(setsockopt(fd, SOL_SOCKET, 9999, KERNEL, 4));
	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, buf, 4));
	len = 2;
	memset(buf, 0x55, sizeof buf);
	CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, &len));
	SHOW(len);
	SHOW(buf[0]);
	SHOW(buf[2]);
	len = -1;
	CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, &len));
	len = 4;
	CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, KERNEL, &len));
	CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, KERNEL));
	len = 0;
	CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, &len));
	CALL(getsockopt(fd, IPPROTO_TCP, 1, buf, &(socklen_t){ 4 }));
	CALL(setsockopt(fd, IPPROTO_TCP, 1, &n, 4));
	CALL(setsockopt(fd, 12345, 1, &n, 4));
	/* Linger and timeouts. */
	struct linger linger = { 1, 7 };
	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
	memset(&linger, 0, sizeof linger);
	len = sizeof linger;
	CALL(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
	SHOW(linger.l_onoff);
	SHOW(linger.l_linger);
	struct timeval tv = { 3, 1000000 };
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	tv.tv_usec = -1;
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	tv.tv_usec = 40000;
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, 8));
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	memset(&tv, 0, sizeof tv);
	len = sizeof tv;
	CALL(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	SHOW(tv.tv_sec);
	SHOW(tv.tv_usec);
	tv = (struct timeval){ -1, 0 };
	CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	CALL(recv(s[0], buf, 1, 0));
	/* Peers. */
	struct ucred who = { 1, 1, 1 };
	len = sizeof who;
	CALL(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len));
	printf("%d %d %d %u\n", who.pid, (int)who.uid, (int)who.gid, len);
	len = sizeof who;
	CALL(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &who, &len));
	TRUE(who.pid == getpid() && who.uid == geteuid() && who.gid == getegid());
	len = 4;
	CALL(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &who, &len));
	SHOW(len);
	gid_t groups[3] = { 5, 6, 7 };
	CALL(setgroups(3, groups));
	close(s[0]);
	close(s[1]);
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	memset(groups, 0, sizeof groups);
	len = 4;
	CALL(getsockopt(s[0], SOL_SOCKET, 59, groups, &len));
	SHOW(len);
	CALL(getsockopt(s[0], SOL_SOCKET, 59, groups, &len));
	printf("%d %d %d %u\n", groups[0], groups[1], groups[2], len);
	CALL(getsockopt(fd, SOL_SOCKET, 59, groups, &len));
	len = 8;
	OK(getsockopt(fd, SOL_SOCKET, 57, buf, &len));
	len = 4;
	CALL(getsockopt(fd, SOL_SOCKET, 57, buf, &len));
	/* Peeking on. */
	CALL(setsockopt(s[0], SOL_SOCKET, SO_PEEK_OFF, &(int){ 0 }, 4));
	CALL(write(s[1], "abcdefgh", 8));
	CALL(recv(s[0], buf, 2, MSG_PEEK));
	TEXT(buf, 2);
	CALL(recv(s[0], buf, 2, MSG_PEEK));
	TEXT(buf, 2);
	GET(s[0], SO_PEEK_OFF);
	CALL(recv(s[0], buf, 3, 0));
	GET(s[0], SO_PEEK_OFF);
	CALL(recv(s[0], buf, 2, MSG_PEEK));
	TEXT(buf, 2);
	if (fork() == 0) {
		setgroups(0, NULL);
		if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
			exit(1);
		SET(fd, SO_DEBUG, 1);
		SET(fd, SO_PRIORITY, 7);
		SET(fd, SO_PRIORITY, 3);
		SET(fd, SO_MARK, 1);
		SET(fd, SO_SNDBUFFORCE, 1);
		exit(0);
	}
	wait(NULL);
	SET(fd, SO_MARK, 9);
	CALL(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ 1000000 }, 4));
	GET(fd, SO_SNDBUF);
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ -5 }, 4));
	GET(fd, SO_RCVBUF);
	return 0;
}
