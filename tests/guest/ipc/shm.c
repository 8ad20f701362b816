/* Shared memory of System V: segments, attachments across fork, exec and exit, permissions, limits. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/shm.h>

static struct shmid_ds ds;

static long attached(int id)
{
	return shmctl(id, IPC_STAT, &ds) ? -1 : (long)ds.shm_nattch;
}

static int child_status(pid_t pid)
{
	int status;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Counts the lines of our maps that are of the segment, and shows how they look. */
static void maps(int id)
{
	char line[512];
	FILE *file = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, file)) {
		unsigned long start, end, offset;
		unsigned major, minor;
		long inode;
		char perms[8], path[256] = "";
		sscanf(line, "%lx-%lx %7s %lx %x:%x %ld %255[^\n]", &start, &end, perms, &offset, &major, &minor, &inode, path);
		if (strstr(path, "SYSV"))
			printf("map %lu %s %lx %s %s\n", (end - start) / 4096, perms, offset, inode == id ? "ours" : "other",
			       strchr(path, '/'));
	}
	fclose(file);
}

/* Shows what /proc/sysvipc/shm says of the segment. */
static void proc_line(int id)
{
	char line[512];
	FILE *file = fopen("/proc/sysvipc/shm", "r");
	fgets(line, sizeof line, file);
	printf("%s", line);
	while (fgets(line, sizeof line, file)) {
		int key, shmid, perms, cpid, lpid, uid, gid, cuid, cgid;
		unsigned long size, nattch, rss, swap;
		unsigned long long atime, dtime, ctime;
		int n = sscanf(line, "%d %d %o %lu %u %u %lu %u %u %u %u %llu %llu %llu %lu %lu", &key, &shmid, &perms, &size, &cpid,
			       &lpid, &nattch, &uid, &gid, &cuid, &cgid, &atime, &dtime, &ctime, &rss, &swap);
		if (shmid == id)
			printf("%d %zu: %d %o %lu %d %d %lu %d %d %d %d %d %d %d %lu %lu\n", n, strlen(line), key == 0, perms, size,
			       cpid == getpid(), lpid == getpid(), nattch, uid, gid, cuid, cgid, atime > 0, dtime > 0, ctime > 0, rss,
			       swap);
	}
	fclose(file);
}

static void permissions(void)
{
	int key = 0x48000000 | getpid();
	int id = shmget(key, 4096, IPC_CREAT | 0640);
	pid_t pid = fork();
	if (pid == 0) {
		setresgid(7, 7, 7);
		setresuid(7, 7, 7);
		CALL(shmget(key, 4096, 0) == id);
		CALL(shmget(key, 4096, 0400));
		CALL(shmget(key, 8192, 0400));
		CALL(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0400));
		MAP(shmat(id, NULL, 0));
		MAP(shmat(id, NULL, SHM_RDONLY));
		CALL(shmctl(id, IPC_STAT, &ds));
		CALL(shmctl(id, IPC_RMID, NULL));
		CALL(shmctl(id, IPC_SET, &ds));
		CALL(shmctl(id, IPC_SET, NULL));
		CALL(shmctl(id, SHM_LOCK, NULL));
		CALL(shmctl(id, SHM_STAT, &ds));
		CALL(shmctl(id & 0x7fff, SHM_STAT_ANY, &ds) == id);
		exit(0);
	}
	child_status(pid);
	shmctl(id, IPC_STAT, &ds);
	ds.shm_perm.uid = 7;
	ds.shm_perm.mode = 0421;
	CALL(shmctl(id, IPC_SET, &ds));
	pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };
		setresgid(7, 7, 7);
		setresuid(7, 7, 7);
		MAP(shmat(id, NULL, 0));
		void *at = MAP(shmat(id, NULL, SHM_RDONLY));
		CALL(mprotect(at, 4096, PROT_READ | PROT_WRITE));
		CALL(shmctl(id, IPC_STAT, &ds));
		printf("%o %d %d %d %d\n", ds.shm_perm.mode, ds.shm_perm.uid, ds.shm_perm.gid, ds.shm_perm.cuid, ds.shm_perm.cgid);
		CALL(shmctl(id, SHM_LOCK, NULL));
		CALL(shmctl(id, SHM_UNLOCK, NULL));
		setrlimit(RLIMIT_MEMLOCK, &none);
		CALL(shmctl(id, SHM_LOCK, NULL));
		CALL(shmctl(id, SHM_UNLOCK, NULL));
		CALL(shmctl(id, IPC_RMID, NULL));
		exit(0);
	}
	child_status(pid);
	CALL(shmctl(id, IPC_STAT, &ds));
	CALL(shmget(key, 0, 0));
}

static void errors(void)
{
	int id = shmget(IPC_PRIVATE, 5000, 0600);
	struct shminfo limits;
	struct shm_info use;
	CALL(shmget(IPC_PRIVATE, 0, 0600));
	CALL(shmget(IPC_PRIVATE, -1, 0600));
	CALL(shmget(IPC_PRIVATE, 1L << 62, 0600));
	CALL(shmget(0x48f00000 | getpid(), 0, 0));
	CALL(shmat(-1, NULL, 0));
	CALL(shmat(0x7fffffff, NULL, 0));
	CALL(shmat(id, (void *)0x10000001, 0));
	CALL(shmat(id, NULL, SHM_REMAP));
	CALL(shmat(id, (void *)0x10, SHM_RND | SHM_REMAP));
	CALL(shmat(id, (void *)0xfffffffffffff000, 0));
	CALL(shmat(id, (void *)0x7ffffffff000, 0));
	CALL(shmat(id, KERNEL, 0));
	CALL(shmdt((void *)0x10000000));
	CALL(shmdt((void *)0x10000001));
	CALL(shmdt(NULL));
	CALL(shmctl(-1, IPC_STAT, &ds));
	CALL(shmctl(id, -1, &ds));
	CALL(shmctl(id, 99, &ds));
	CALL(shmctl(0x7fffffff, IPC_RMID, &ds));
	CALL(shmctl(id, IPC_STAT, KERNEL));
	CALL(shmctl(id, IPC_SET, KERNEL));
	CALL(shmctl(0x7fffffff, IPC_SET, KERNEL));
	CALL(shmctl(0, IPC_INFO, KERNEL));
	shmctl(id, IPC_STAT, &ds);
	ds.shm_perm.uid = -1;
	CALL(shmctl(id, IPC_SET, &ds));
	OK(shmctl(0, IPC_INFO, (void *)&limits));
	printf("%lx %lu %lu %lu %lx\n", limits.shmmax, limits.shmmin, limits.shmmni, limits.shmseg, limits.shmall);
	OK(shmctl(0, SHM_INFO, (void *)&use));
	printf("%d %d %lu\n", use.used_ids > 0, use.shm_tot >= 2, use.shm_swp);
	CALL(shmctl(id, IPC_RMID, NULL));
	CALL(shmctl(id, IPC_RMID, NULL));
	CALL(shmget(IPC_PRIVATE, 4096, SHM_HUGETLB | 0600));
}

static void attachments(void)
{
	int id = shmget(IPC_PRIVATE, 3 * 4096 + 1, 0600);
	SHOW(attached(id));
	char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
	SHOW(attached(id));
	SHOW(ds.shm_segsz);
	TRUE(ds.shm_atime > 0 && ds.shm_dtime == 0 && ds.shm_ctime > 0 && ds.shm_cpid == getpid() && ds.shm_lpid == getpid());
	strcpy(a + 4096, "text");
	puts(b + 4096);
	maps(id);
	proc_line(id);
	CALL(mprotect(a + 4096, 4096, PROT_READ));
	SHOW(attached(id));
	maps(id);
	CALL(mprotect(a + 4096, 4096, PROT_READ | PROT_WRITE));
	SHOW(attached(id));
	CALL(munmap(a, 4096));
	SHOW(attached(id));
	CALL(shmdt(b + 4096));
	CALL(shmdt(a));
	SHOW(attached(id));
	maps(id);
	CALL(shmdt(a));
	TRUE(ds.shm_dtime > 0);

	/* The child has what the parent had, and loses it at its end or when it executes another program. */
	pid_t pid = fork();
	if (pid == 0) {
		SHOW(attached(id));
		exit(shmdt(b));
	}
	CALL(child_status(pid));
	SHOW(attached(id));
	TRUE(ds.shm_lpid == pid);
	pid = fork();
	if (pid == 0)
		_exit(0);
	child_status(pid);
	SHOW(attached(id));
	TRUE(ds.shm_lpid == pid);
	pid = vfork();
	if (pid == 0) {
		execl("/proc/self/exe", "shm", "end", NULL);
		_exit(1);
	}
	CALL(child_status(pid));
	SHOW(attached(id));
	int ready[2];
	pipe(ready);
	pid = fork();
	if (pid == 0) {
		char byte;
		dup2(ready[0], 0);
		close(ready[1]);
		execl("/proc/self/exe", "shm", "wait", NULL);
		_exit(1);
	}
	close(ready[0]);
	for (int i = 0; i < 3000 && attached(id) != 1; i++)
		usleep(1000);
	SHOW(attached(id));
	close(ready[1]);
	CALL(child_status(pid));

	/* Writes are shared. */
	a = shmat(id, NULL, 0);
	pid = fork();
	if (pid == 0) {
		strcpy(a + 2 * 4096, "from the child");
		exit(0);
	}
	child_status(pid);
	puts(b + 2 * 4096);
	pid = fork();
	if (pid == 0) {
		b[0] = 1;
		exit(0);
	}
	CALL(child_status(pid));

	/* Removed but attached: it can still be found by its number. */
	CALL(shmctl(id, IPC_RMID, NULL));
	SHOW(attached(id));
	printf("%o %d\n", ds.shm_perm.mode, ds.shm_perm.__key);
	OK(shmctl(id, IPC_RMID, NULL));
	char *c = shmat(id, NULL, 0);
	puts(c + 2 * 4096);
	CALL(shmdt(a));
	CALL(shmdt(b));
	SHOW(attached(id));
	CALL(shmdt(c));
	CALL(shmctl(id, IPC_STAT, &ds));
}

static void places(void)
{
	int id = shmget(IPC_PRIVATE, 2 * 4096, 0600);
	char *room = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(room + 4096, 4 * 4096);
	CALL(shmat(id, room, 0));
	CALL(shmat(id, room + 4 * 4096, 0));
	CALL((char *)shmat(id, room + 4096 + 5, SHM_RND) - room);
	CALL((char *)shmat(id, room + 2 * 4096, SHM_REMAP) - room);
	SHOW(attached(id));
	room[4096] = 'x';
	SHOW(room[2 * 4096]);
	CALL(shmdt(room + 4096));
	SHOW(attached(id));
	SHOW(room[2 * 4096]);

	/* mremap makes it longer, but the segment stays as it is. */
	char *moved = mremap(room + 2 * 4096, 2 * 4096, 4 * 4096, MREMAP_MAYMOVE);
	SHOW(moved != MAP_FAILED);
	SHOW(attached(id));
	pid_t pid = fork();
	if (pid == 0) {
		moved[3 * 4096] = 1;
		exit(0);
	}
	CALL(child_status(pid));
	CALL(shmdt(moved));
	SHOW(attached(id));

	/* Executable on request. */
	unsigned char *code = shmat(id, NULL, SHM_EXEC);
	memcpy(code, "\xb8\x2a\0\0\0\xc3", 6);
	SHOW(((int (*)(void))code)());
	CALL(shmdt(code));
	CALL(shmctl(id, SHM_LOCK, NULL));
	shmctl(id, IPC_STAT, &ds);
	printf("%o\n", ds.shm_perm.mode);
	CALL(shmctl(id, SHM_UNLOCK, NULL));
	shmctl(id, IPC_STAT, &ds);
	printf("%o\n", ds.shm_perm.mode);
	CALL(shmctl(id, IPC_RMID, NULL));
}

int main(int argc, char **argv)
{
	char byte;
	/* The other program. */
	if (argc > 1)
		return !strcmp(argv[1], "wait") && read(0, &byte, 1);
	errors();
	permissions();
	attachments();
	places();
	return 0;
}
