#include "check.h"
#include <sys/inotify.h>

static int fd;
static uint32_t cookie;

static void events(void)
{
	char buf[4096] __attribute__((aligned(8)));
	long got = read(fd, buf, sizeof buf);
	if (got < 0)
		printf("read: %s\n", errno_name(errno));
	for (long at = 0; at < got;) {
		struct inotify_event *event = (void *)(buf + at);
		printf("wd %d mask %x name '%s'%s\n", event->wd, event->mask, event->len ? event->name : "",
		       event->cookie && event->cookie == cookie ? " same cookie" : event->cookie ? " cookie" : "");
		cookie = event->cookie;
		at += sizeof *event + event->len;
	}
}

int main(void)
{
	scratch();
	fd = CALL(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	CALL(inotify_init1(1));
	mkdir("d", 0755);
	put("f", "x");
	CALL(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
	CALL(inotify_add_watch(fd, "f", IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_ATTRIB));
	CALL(inotify_add_watch(fd, "none", IN_ALL_EVENTS));
	CALL(inotify_add_watch(fd, "f", 0));
	CALL(inotify_add_watch(fd, "f", IN_ONLYDIR | IN_MODIFY));
	CALL(inotify_add_watch(99, "f", IN_MODIFY));
	CALL(inotify_add_watch(0, "f", IN_MODIFY) == -2);
	events();
	put("d/new", "hello");
	events();
	CALL(rename("d/new", "d/other"));
	events();
	CALL(mkdir("d/sub", 0755));
	CALL(rmdir("d/sub"));
	CALL(unlink("d/other"));
	events();
	int w = open("f", O_WRONLY);
	write(w, "1", 1);
	write(w, "2", 1);
	close(w);
	events();
	CALL(chmod("f", 0600));
	events();
	CALL(inotify_add_watch(fd, "f", IN_OPEN | IN_MASK_ADD));
	close(open("f", O_RDONLY));
	events();
	CALL(inotify_add_watch(fd, "f", IN_MODIFY | IN_MASK_CREATE));
	CALL(unlink("f"));
	events();
	CALL(inotify_rm_watch(fd, 1));
	events();
	CALL(inotify_rm_watch(fd, 1));
	CALL(inotify_rm_watch(fd, 77));
	struct pollfd pfd = { fd, POLLIN };
	CALL(poll(&pfd, 1, 0));
	CALL(inotify_add_watch(fd, "d", IN_CREATE | IN_ONESHOT));
	put("d/a", "");
	put("d/b", "");
	CALL(poll(&pfd, 1, 0));
	char small[4];
	CALL(read(fd, small, 4));
	events();
	clean();
	return 0;
}
