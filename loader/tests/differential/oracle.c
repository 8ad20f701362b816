/* Asks Linux what execve says to each file named on standard input, one a line; prints one line for each:
 * "ok" if the new program is in place (it does not run a single instruction), "errno N" if execve returned,
 * "late" if the process died in execve, after the point of no return. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    char path[4096];
    /* Whether an entry point far outside the program is in user space depends on the base. */
    if (personality(ADDR_NO_RANDOMIZE) < 0)
        return 1;
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = 0;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            char *argv[] = { path, NULL }, *envp[] = { NULL };
            if (ptrace(PTRACE_TRACEME, 0, 0, 0))
                _exit(255);
            execve(path, argv, envp);
            _exit(errno);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) < 0)
            return 1;
        if (WIFSTOPPED(status)) {
            printf(WSTOPSIG(status) == SIGTRAP ? "ok\n" : "late\n");
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
        } else if (WIFEXITED(status) && WEXITSTATUS(status) != 255) {
            printf("errno %d\n", WEXITSTATUS(status));
        } else if (WIFSIGNALED(status)) {
            printf("late\n");
        } else {
            return 1;
        }
    }
    return 0;
}
