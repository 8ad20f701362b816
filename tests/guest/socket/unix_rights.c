#include "sock.h"
#include <grp.h>

#define PASS(fd, on) setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){ on }, sizeof(int))

static long send_credentials(int to, pid_t pid, uid_t uid, gid_t gid)
{
	union { char bytes[CMSG_SPACE(sizeof(struct ucred))]; struct cmsghdr align; } control = { { 0 } };
	struct ucred who = { pid, uid, gid };
	struct iovec iov = { "c", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_CREDENTIALS;
	head->cmsg_len = CMSG_LEN(sizeof who);
	memcpy(CMSG_DATA(head), &who, sizeof who);
	return sendmsg(to, &msg, 0);
}

static long send_control(int to, int level, int type, size_t len, size_t room)
{
	union { char bytes[64]; struct cmsghdr align; } control = { { 0 } };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = room };
	control.align.cmsg_level = level;
	control.align.cmsg_type = type;
	control.align.cmsg_len = len;
	return sendmsg(to, &msg, 0);
}

int main(void)
{
	int s[2], d[2], p[2], q[2], fds[8], n;
	char buf[256];
	signal(SIGPIPE, SIG_IGN);
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(pipe(p));
	/* A file travels. */
	CALL(send_fds(s[0], "f", 1, &p[1], 1));
	CALL(RECEIVE(s[1], 10, 200, 0, fds));
	CALL(write(fds[0], "through", 7));
	CALL(read(p[0], buf, 10));
	close(fds[0]);
	CALL(send_fds(s[0], "f", 1, &p[1], 1));
	RECEIVE(s[1], 10, 200, MSG_PEEK, NULL);
	RECEIVE(s[1], 10, 200, MSG_CMSG_CLOEXEC, NULL);
	RECEIVE(s[1], 10, 200, MSG_DONTWAIT, NULL);
	/* Bytes before files go with them; bytes behind do not. */
	CALL(send(s[0], "before", 6, 0));
	CALL(send_fds(s[0], "with", 4, p, 2));
	CALL(send(s[0], "behind", 6, 0));
	RECEIVE(s[1], 100, 200, 0, NULL);
	RECEIVE(s[1], 100, 200, 0, NULL);
	CALL(send_fds(s[0], "first", 5, p, 1));
	CALL(send_fds(s[0], "second", 6, p, 1));
	RECEIVE(s[1], 2, 200, 0, NULL);
	RECEIVE(s[1], 100, 200, 0, NULL);
	RECEIVE(s[1], 100, 200, MSG_DONTWAIT, NULL);
	/* No room. */
	CALL(send_fds(s[0], "cut", 3, p, 2));
	RECEIVE(s[1], 10, CMSG_LEN(sizeof(int)), 0, NULL);
	CALL(send_fds(s[0], "cut", 3, p, 2));
	RECEIVE(s[1], 10, CMSG_LEN(0), 0, NULL);
	CALL(send_fds(s[0], "cut", 3, p, 2));
	RECEIVE(s[1], 10, 0, 0, NULL);
	CALL(send_fds(s[0], "read", 4, p, 2));
	CALL(read(s[1], buf, 10));
	/* What is refused. */
	CALL(send_fds(s[0], "x", 1, (int[]){ p[0], 99 }, 2));
	CALL(send_fds(s[0], "x", 1, (int[]){ -1 }, 1));
	memset(fds, 0, sizeof fds);
	static int many[300];
	CALL(send_fds(s[0], "x", 1, many, 254));
	CALL(send_fds(s[0], "x", 1, many, 253));
	CALL(read(s[1], buf, 10));
	CALL(send_fds(s[0], "x", 1, many, 0));
	RECEIVE(s[1], 10, 100, MSG_DONTWAIT, NULL);
	CALL(send_fds(s[0], "", 0, p, 1));
	RECEIVE(s[1], 10, 100, MSG_DONTWAIT, NULL);
	CALL(send_control(s[0], SOL_SOCKET, 99, CMSG_LEN(4), 24));
	CALL(send_control(s[0], IPPROTO_IP, 99, CMSG_LEN(4), 24));
	CALL(send_control(s[0], SOL_SOCKET, SCM_RIGHTS, 8, 24));
	CALL(send_control(s[0], SOL_SOCKET, SCM_RIGHTS, 48, 24));
	CALL(send_control(s[0], SOL_SOCKET, SCM_RIGHTS, CMSG_LEN(4), 8));
	CALL(send_control(s[0], SOL_SOCKET, SCM_CREDENTIALS, CMSG_LEN(4), 24));
	CALL(read(s[1], buf, 10));
	/* Credentials. */
	CALL(send(s[0], "old", 3, 0));
	CALL(PASS(s[1], 1));
	CALL(send(s[0], "new", 3, 0));
	RECEIVE(s[1], 10, 200, 0, NULL);
	RECEIVE(s[1], 10, 200, 0, NULL);
	CALL(send(s[0], "cut", 3, 0));
	RECEIVE(s[1], 10, CMSG_LEN(4), 0, NULL);
	CALL(send(s[0], "none", 4, 0));
	RECEIVE(s[1], 10, 0, 0, NULL);
	CALL(send_credentials(s[0], getpid(), getuid(), getgid()));
	RECEIVE(s[1], 10, 200, 0, NULL);
	CALL(send_credentials(s[0], 0x3fffff, getuid(), getgid()));
	if (fork() == 0) {
		/* No superuser. */
		setgroups(0, NULL);
		setresgid(1000, 1000, 1000);
		setresuid(1000, 1000, 1000);
		CALL(send_credentials(s[0], getppid(), 1000, 1000));
		CALL(send_credentials(s[0], getpid(), 0, 1000));
		CALL(send_credentials(s[0], getpid(), 1000, 0));
		CALL(send_credentials(s[0], getpid(), 1000, 1000));
		CALL(send(s[0], "child", 5, 0));
		struct rlimit limit = { 12, 12 };
		setrlimit(RLIMIT_NOFILE, &limit);
		CALL(send_fds(s[0], "many", 4, many, 13));
		CALL(send_fds(s[0], "more", 4, many, 1));
		exit(0);
	}
	wait(NULL);
	CALL(send(s[0], "parent", 6, 0));
	RECEIVE(s[1], 100, 200, 0, NULL);
	RECEIVE(s[1], 100, 200, 0, NULL);
	RECEIVE(s[1], 100, 200, MSG_DONTWAIT, NULL);
	/* Datagrams keep theirs. */
	CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, d));
	CALL(PASS(d[1], 1));
	CALL(send_fds(d[0], "one", 3, p, 1));
	CALL(send_fds(d[0], "", 0, p, 2));
	RECEIVE(d[1], 10, 200, MSG_PEEK, NULL);
	RECEIVE(d[1], 10, 200, 0, NULL);
	RECEIVE(d[1], 10, 200, 0, NULL);
	/* What is under way is open; what is lost is closed. */
	CALL(pipe(q));
	CALL(send_fds(s[0], "q", 1, &q[1], 1));
	CALL(close(q[1]));
	CALL(fcntl(q[0], F_SETFL, O_NONBLOCK));
	CALL(read(q[0], buf, 1));
	CALL(close(s[1]));
	CALL(read(q[0], buf, 1));
	close(s[0]);
	/* Two sockets that hold each other. */
	CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	CALL(pipe(q));
	CALL(send_fds(s[0], "a", 1, s, 2));
	CALL(send_fds(s[1], "b", 1, (int[]){ s[0], q[1] }, 2));
	close(q[1]);
	close(s[0]);
	close(s[1]);
	/* The close of another socket looks for them; Linux does it in the background. */
	CALL(close(d[0]));
	CALL(close(d[1]));
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(send_fds(s[0], "x", 1, s, 1));
	CALL(RECEIVE(s[1], 10, 200, 0, NULL));
	close(s[0]);
	close(s[1]);
	struct pollfd end = { q[0], POLLIN, 0 };
	CALL(poll(&end, 1, 5000));
	CALL(read(q[0], buf, 1));
	/* A number table that is full. */
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(send_fds(s[0], "three", 5, (int[]){ p[0], p[1], p[0] }, 3));
	n = dup(0);
	close(n);
	struct rlimit limit = { n + 2, n + 2 };
	CALL(setrlimit(RLIMIT_NOFILE, &limit));
	RECEIVE(s[1], 10, 200, 0, NULL);
	return 0;
}
