/* Runs a program with another vDSO than the host's: stops it behind its execve, maps the image with its data page into
 * it, and changes AT_SYSINFO_EHDR on its stack. All clocks stand still at 1234567890.000000042 s.
 * Arguments: image, program. */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) \
    do { if (!(condition)) { printf("line %d: %s\n", __LINE__, #condition); exit(1); } } while (0)

static const uint64_t room = 0x10000000;

static uint64_t peek(pid_t child, uint64_t at)
{
    return ptrace(PTRACE_PEEKDATA, child, at, NULL);
}

static void poke(pid_t child, uint64_t at, uint64_t word)
{
    CHECK(ptrace(PTRACE_POKEDATA, child, at, word) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execl(argv[2], argv[2], NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));

    /* One mmap by the child: its first instruction becomes a system call for a moment. */
    struct user_regs_struct saved, regs;
    CHECK(ptrace(PTRACE_GETREGS, child, NULL, &saved) == 0);
    uint64_t code = peek(child, saved.rip);
    poke(child, saved.rip, (code & ~0xffffull) | 0x050f);
    regs = saved;
    regs.rax = SYS_mmap;
    regs.orig_rax = -1;
    regs.rdi = room;
    regs.rsi = 8192;
    regs.rdx = PROT_READ | PROT_WRITE | PROT_EXEC;
    regs.r10 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    regs.r8 = -1;
    regs.r9 = 0;
    CHECK(ptrace(PTRACE_SETREGS, child, NULL, &regs) == 0);
    CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0 && waitpid(child, &status, 0) == child);
    CHECK(ptrace(PTRACE_GETREGS, child, NULL, &regs) == 0 && regs.rax == room);
    poke(child, saved.rip, code);
    CHECK(ptrace(PTRACE_SETREGS, child, NULL, &saved) == 0);

    uint64_t words[512] = { 0 };
    int fd = open(argv[1], O_RDONLY);
    CHECK(fd >= 0 && read(fd, words, sizeof words) > 64);
    for (int i = 0; i < 512; i++)
        poke(child, room + 4096 + 8 * i, words[i]);
    /* abi/src/vdso.rs: mode 1, FLAG_COARSE, a rate of 0, base_ns. */
    poke(child, room, 1ull << 32);
    poke(child, room + 32, 4);
    for (int clock = 0; clock < 12; clock++)
        poke(child, room + 48 + 8 * clock, 1234567890000000042);

    uint64_t at = saved.rsp + 8;
    for (int nulls = 0; nulls < 2; at += 8)
        nulls += peek(child, at) == 0;
    while (peek(child, at) != AT_SYSINFO_EHDR) {
        CHECK(peek(child, at) != AT_NULL);
        at += 16;
    }
    poke(child, at + 8, room + 4096);
    CHECK(ptrace(PTRACE_DETACH, child, NULL, NULL) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}
