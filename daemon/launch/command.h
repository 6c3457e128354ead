/* command.h - a program run as a child, without a shell: its output bounded, its life limited, its end noticed by epoll.
 *
 * One thread. Nothing blocks: command_pump() takes what is there. A child that passes its deadline is killed.
 */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct command {
    pid_t pid;
    int epoll;           /* borrowed */
    int pidfd, fd[2];    /* -1 = closed */
    struct buf out, err; /* stdout and stderr; what does not fit is dropped */
    int64_t deadline_ms; /* monotonic */
    bool timed_out;      /* it was killed for that */
    bool over;           /* it has ended; the fields below count */
    int exit_code;       /* 128 + signal for one that was killed */
};

/* argv[0] is a path or is looked for in PATH; environ NULL-terminated, the whole environment. stdin is /dev/null. */
enum status command_start(struct command **ret_command, int epoll, const char *const *argv,
                          char *const *environment, int64_t deadline_ms, size_t out_max,
                          struct err *err);
/* True once it is over. */
bool command_pump(struct command *c, int64_t now_ms);
/* Kills and reaps it if it still runs. NULL allowed. */
void command_destroy(struct command *c);

/* The daemon's environment without what would change what Slurm's commands do or say: no SLURM_* (but SLURM_CONF),
 * SBATCH_*, SQUEUE_* ..., nothing of an MPI job that the daemon itself runs in, no proxies; LC_ALL=C. One allocation a
 * string; environment_free(). NULL when out of memory. */
char **environment_for_slurm(char *const *from);
void environment_free(char **environment); /* NULL allowed */

#endif
