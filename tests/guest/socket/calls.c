#include "sock.h"

int main(void)
{
	char buf[64];
	struct iovec iov = { buf, sizeof buf };
	struct msghdr msg;
	int s[2], n, p[2];
	scratch();
	signal(SIGPIPE, SIG_IGN);
	pipe(p);
	/* Making them. */
	CALL(socket(AF_UNIX, SOCK_STREAM, 1));
	CALL(socket(AF_UNIX, SOCK_STREAM, 2));
	CALL(socket(AF_UNIX, 0, 0));
	CALL(socket(AF_UNIX, SOCK_RDM, 0));
	CALL(socket(AF_UNIX, 7, 0));
	CALL(socket(AF_UNIX, SOCK_PACKET, 0));
	CALL(socket(AF_UNIX, 11, 0));
	CALL(socket(AF_UNIX, SOCK_STREAM | 0x100, 0));
	CALL(socket(AF_UNIX, -1, 0));
	CALL(socket(-1, SOCK_STREAM, 0));
	CALL(socket(AF_MAX, SOCK_STREAM, 0));
	CALL(socket(AF_MAX, 11, 0));
	CALL(socket(0, SOCK_STREAM, 0));
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 3, s));
	CALL(socketpair(AF_UNIX, 7, 0, s));
	CALL(socketpair(AF_UNIX, SOCK_STREAM | 0x100, 0, s));
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, KERNEL));
	CALL(socketpair(AF_MAX, SOCK_STREAM, 0, KERNEL));
	CALL(socketpair(AF_INET, SOCK_STREAM, 0, s));
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	/* Every call on what is no socket, and on what is nothing. */
	for (int i = 0; i < 2; i++) {
		int fd = i ? p[0] : -1;
		CALL(bind(fd, KERNEL, 10));
		CALL(listen(fd, -1));
		CALL(accept(fd, KERNEL, KERNEL));
		CALL(accept4(fd, NULL, NULL, 1));
		CALL(connect(fd, KERNEL, -1));
		CALL(sendto(fd, buf, 1, 0, KERNEL, 10));
		CALL(recvfrom(fd, buf, 1, 0, KERNEL, KERNEL));
		CALL(sendmsg(fd, KERNEL, 0));
		CALL(recvmsg(fd, KERNEL, 0));
		CALL(shutdown(fd, 9));
		CALL(getsockname(fd, KERNEL, KERNEL));
		CALL(getpeername(fd, KERNEL, KERNEL));
		CALL(setsockopt(fd, SOL_SOCKET, SO_TYPE, KERNEL, -1));
		CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, KERNEL, KERNEL));
		CALL(sendmmsg(fd, KERNEL, 1, 0));
		CALL(recvmmsg(fd, KERNEL, 1, 0, NULL));
	}
	int path = open(".", O_PATH);
	CALL(listen(path, 1));
	CALL(accept(path, NULL, NULL));
	/* Messages: header, name, buffers, ancillary data. */
	CALL(sendmsg(s[0], KERNEL, 0));
	CALL(recvmsg(s[0], KERNEL, 0));
	memset(&msg, 0, sizeof msg);
	CALL(sendmsg(s[0], &msg, 0));
	msg.msg_namelen = -1;
	msg.msg_name = buf;
	CALL(sendmsg(s[0], &msg, 0));
	CALL(recvmsg(s[0], &msg, MSG_DONTWAIT));
	msg.msg_namelen = 10;
	msg.msg_name = KERNEL;
	msg.msg_iovlen = 1025;
	CALL(sendmsg(s[0], &msg, 0));
	msg.msg_name = NULL;
	CALL(sendmsg(s[0], &msg, 0));
	CALL(recvmsg(s[0], &msg, MSG_DONTWAIT));
	msg.msg_iovlen = 1;
	msg.msg_iov = KERNEL;
	CALL(sendmsg(s[0], &msg, 0));
	iov.iov_len = -1;
	msg.msg_iov = &iov;
	CALL(sendmsg(s[0], &msg, 0));
	iov = (struct iovec){ KERNEL, 8 };
	CALL(sendmsg(s[0], &msg, 0));
	iov = (struct iovec){ UNMAPPED, 8 };
	CALL(sendmsg(s[0], &msg, 0));
	iov = (struct iovec){ buf, 4 };
	msg.msg_control = KERNEL;
	msg.msg_controllen = 1 << 20;
	CALL(sendmsg(s[0], &msg, 0));
	msg.msg_controllen = 24;
	CALL(sendmsg(s[0], &msg, 0));
	CALL(syscall(SYS_sendmsg, s[0], &msg, 0x80000000));
	CALL(syscall(SYS_recvmsg, s[0], &msg, 0x80000000));
	msg.msg_controllen = 0;
	msg.msg_control = NULL;
	CALL(sendmsg(s[0], &msg, 0));
	CALL(recvmsg(s[1], &msg, 0));
	CALL(write(s[0], "abcd", 4));
	CALL(recvfrom(s[1], buf, 2, 0, KERNEL, KERNEL));
	CALL(recvfrom(s[1], buf, 2, 0, NULL, KERNEL));
	/* Vectors. */
	struct iovec many[20];
	for (int i = 0; i < 20; i++)
		many[i] = (struct iovec){ "0123456789abcdefghij" + i, 1 };
	CALL(writev(s[0], many, 20));
	char out[20];
	for (int i = 0; i < 20; i++)
		many[i] = (struct iovec){ &out[19 - i], 1 };
	CALL(readv(s[1], many, 20));
	TEXT(out, 20);
	CALL(writev(s[0], many, 0));
	/* Signals of a broken connection. */
	CALL(close(s[1]));
	signal(SIGPIPE, SIG_DFL);
	for (int how = 0; how < 4; how++) {
		pid_t child = fork();
		if (child == 0) {
			if (how == 0)
				write(s[0], "x", 1);
			else if (how == 1)
				send(s[0], "x", 1, MSG_NOSIGNAL);
			else if (how == 2)
				send(s[0], "x", 1, 0);
			else
				writev(s[0], &(struct iovec){ "x", 1 }, 1);
			exit(0);
		}
		int status;
		waitpid(child, &status, 0);
		printf("how %d: signal %d\n", how, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	/* Rights and numbers. */
	struct rlimit old, few = { 3, 3 };
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	CALL(setrlimit(RLIMIT_NOFILE, &few));
	CALL(socket(AF_UNIX, SOCK_STREAM, 0));
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(setrlimit(RLIMIT_NOFILE, &old));
	/* Into and out of pipes and files. */
	signal(SIGPIPE, SIG_IGN);
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	put("file", "contents of a file");
	int file = open("file", O_RDWR);
	CALL(sendfile(s[0], file, NULL, 100));
	CALL(read(s[1], buf, sizeof buf));
	CALL(sendfile(file, s[1], NULL, 100));
	CALL(write(s[0], "spliced", 7));
	CALL(splice(s[1], NULL, p[1], NULL, 100, 0));
	CALL(read(p[0], buf, sizeof buf));
	CALL(write(p[1], "back", 4));
	CALL(splice(p[0], NULL, s[1], NULL, 100, 0));
	CALL(read(s[0], buf, sizeof buf));
	CALL(splice(s[1], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
	CALL(splice(s[1], &(off_t){ 0 }, p[1], NULL, 100, 0));
	/* After fork both have it; the end comes when both have closed it. */
	if (fork() == 0) {
		close(s[0]);
		usleep(150000);
		write(s[1], "child", 5);
		exit(0);
	}
	close(s[1]);
	CALL(read(s[0], buf, sizeof buf));
	CALL(read(s[0], buf, sizeof buf));
	wait(NULL);
	/* Requests. */
	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CALL(ioctl(s[0], FIONBIO, &(int){ 1 }));
	CALL(read(s[0], buf, 1));
	CALL(ioctl(s[0], FIONBIO, &(int){ 0 }));
	CALL(ioctl(s[0], FIONREAD, KERNEL));
	CALL(ioctl(s[0], FIOSETOWN, &(int){ getpid() }));
	CALL(ioctl(s[0], FIOGETOWN, &n));
	TRUE(n == getpid() && fcntl(s[0], F_GETOWN) == n);
	CALL(ioctl(s[0], SIOCSPGRP, &(int){ 0x3fffffff }));
	CALL(ioctl(s[0], SIOCSPGRP, &(int){ 0 }));
	CALL(ioctl(s[0], 0x5401, buf));
	CALL(ioctl(s[0], SIOCATMARK, &n));
	SHOW(n);
	/* A signal when something comes. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CALL(fcntl(s[0], F_SETOWN, getpid()));
	CALL(fcntl(s[0], F_SETFL, O_ASYNC));
	CALL(write(s[1], "x", 1));
	struct timespec wait_time = { 2, 0 };
	TRUE(sigtimedwait(&set, NULL, &wait_time) == SIGIO);
	/* And one when something urgent comes. */
	sigaddset(&set, SIGURG);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CALL(fcntl(s[0], F_SETFL, 0));
	CALL(send(s[1], "u", 1, MSG_OOB));
	sigdelset(&set, SIGIO);
	TRUE(sigtimedwait(&set, NULL, &wait_time) == SIGURG);
	clean();
	return 0;
}
