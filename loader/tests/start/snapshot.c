/* Starts a program without randomisation, stops it before its first instruction, and prints what Linux made:
 * /proc/PID/stat, an empty line, /proc/PID/maps, an empty line, the stack pointer, and the stack's bytes from there on in
 * hexadecimal. Arguments: program, its argv. The environment is passed on. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void copy(pid_t child, const char *name, char *to, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", child, name);
    int fd = open(path, O_RDONLY);
    size_t done = 0;
    ssize_t count;
    while (done < size - 1 && (count = read(fd, to + done, size - 1 - done)) > 0)
        done += count;
    to[done] = 0;
    close(fd);
}

int main(int argc, char **argv)
{
    static char text[65536];
    struct user_regs_struct regs;
    int status;
    if (argc < 2 || personality(ADDR_NO_RANDOMIZE) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(argv[1], argv + 2);
        _exit(127);
    }
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, child, NULL, &regs))
        return 1;
    copy(child, "stat", text, sizeof text);
    printf("%s\n", text);
    copy(child, "maps", text, sizeof text);
    printf("%s\n", text);
    char *line = strstr(text, "[stack]");
    while (line > text && line[-1] != '\n')
        line--;
    uint64_t top = strtoull(strchr(line, '-') + 1, NULL, 16);
    printf("%llx\n", regs.rsp);
    for (uint64_t at = regs.rsp; at < top; at += 8) {
        uint64_t word = ptrace(PTRACE_PEEKDATA, child, at, NULL);
        for (int i = 0; i < 8; i++, word >>= 8)
            printf("%02x", (unsigned)(word & 255));
    }
    printf("\n");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return 0;
}
