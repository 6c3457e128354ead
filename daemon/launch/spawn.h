/* spawn.h - starts a child process, without a shell.
 *
 * It has /dev/null as stdin, no descriptor beside 0, 1 and 2, and no signal blocked or ignored, whatever the daemon does with
 * its own. Any thread may call this.
 */
#ifndef LAUNCH_SPAWN_H
#define LAUNCH_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
    const char *const *argv;  /* argv[0] is a path, or is looked for in PATH */
    char *const *environment; /* all of it; NULL = this process's */
    const char *dir;          /* where it starts; NULL = here */
    int out, err;             /* its stdout and stderr */
    bool group; /* a process group of its own, so that what it starts can be killed with it */
};

/* 0, or an errno; the caller waits for *ret_pid. */
int child_spawn(const struct child *c, pid_t *ret_pid);

#endif
