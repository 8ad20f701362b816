/* What the programs about sockets have in common. */
#include "../check.h"
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/sockios.h>

#define EVENTS (POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND)

/* Shows what poll says of a descriptor now. */
#define POLL(fd) ({ struct pollfd p_ = { fd, EVENTS, 0 }; poll(&p_, 1, 0); printf("poll(%s): %#x\n", #fd, p_.revents); })

__attribute__((unused)) static socklen_t name_of(struct sockaddr_un *un, const char *text)
{
	memset(un, 0, sizeof *un);
	un->sun_family = AF_UNIX;
	size_t len = strlen(text);
	memcpy(un->sun_path, text, len);
	if (text[0] == '@') {
		un->sun_path[0] = 0;
		return offsetof(struct sockaddr_un, sun_path) + len;
	}
	return offsetof(struct sockaddr_un, sun_path) + len + 1;
}

__attribute__((unused)) static int bind_to(int fd, const char *text)
{
	struct sockaddr_un un;
	socklen_t len = name_of(&un, text);
	return bind(fd, (struct sockaddr *)&un, len);
}

__attribute__((unused)) static int connect_to(int fd, const char *text)
{
	struct sockaddr_un un;
	socklen_t len = name_of(&un, text);
	return connect(fd, (struct sockaddr *)&un, len);
}

__attribute__((unused)) static long send_to(int fd, const void *data, size_t size, int flags, const char *text)
{
	struct sockaddr_un un;
	socklen_t len = name_of(&un, text);
	return sendto(fd, data, size, flags, (struct sockaddr *)&un, len);
}

/* Shows a UNIX address. */
__attribute__((unused)) static void show_name(const char *what, const struct sockaddr_un *un, socklen_t len)
{
	printf("%s: len %u", what, len);
	if (len >= 2)
		printf(" family %d '", un->sun_family);
	for (unsigned i = 2; i < len && i < sizeof *un; i++) {
		unsigned char c = ((const unsigned char *)un)[i];
		if (c >= ' ' && c < 127)
			putchar(c);
		else
			printf("\\%d", c);
	}
	printf("'\n");
}

#define NAME(call, fd) ({ \
	struct sockaddr_un un_; socklen_t len_ = sizeof un_; memset(&un_, 0, sizeof un_); \
	if (CALL(call(fd, (struct sockaddr *)&un_, &len_)) == 0) show_name(#call "(" #fd ")", &un_, len_); })

/* Sends bytes with descriptors beside them. */
__attribute__((unused)) static long send_fds(int to, const void *data, size_t size, const int *fds, int count)
{
	char control[CMSG_SPACE(300 * sizeof(int))];
	memset(control, 0, sizeof control);
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(head), fds, count * sizeof(int));
	return sendmsg(to, &msg, 0);
}

/* Receives and shows bytes, flags, and what came beside them. Descriptors go to `fds`. */
__attribute__((unused)) static long receive(const char *what, int from, size_t room, size_t control_room, int flags, int *fds)
{
	char data[4096], control[2048];
	memset(control, 0, sizeof control);
	struct iovec iov = { data, room };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control_room ? control : NULL,
			      .msg_controllen = control_room };
	long got = recvmsg(from, &msg, flags);
	if (got < 0) {
		printf("%s: %s\n", what, errno_name(errno));
		return got;
	}
	printf("%s: %ld '%.*s' flags %#x control %zu", what, got, got > 40 ? 40 : (int)got, data, msg.msg_flags,
	       (size_t)msg.msg_controllen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		printf(" [level %d type %d len %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			printf(" files %d", count);
			for (int i = 0; i < count; i++) {
				int fd;
				memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
				printf(" cloexec %d", fcntl(fd, F_GETFD));
				if (fds)
					*fds++ = fd;
				else
					close(fd);
			}
		}
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
			struct ucred who;
			memcpy(&who, CMSG_DATA(c), sizeof who);
			printf(" own pid %d uid %d gid %d", who.pid == getpid(), who.uid, who.gid);
		}
		printf("]");
	}
	printf("\n");
	return got;
}
#define RECEIVE(from, room, control, flags, fds) receive("receive(" #from ", " #room ", " #control ", " #flags ")", from, room, control, flags, fds)
