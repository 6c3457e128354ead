/* record.h - the files of an attempt's folder, shared by the daemon and the launcher process.
 *
 * command.json  what is run; written by the daemon before the launcher process is started
 * lock          a POSIX lock on it is held by the launcher process while it lives: one start an
 * attempt launcher.json who runs it: written by the launcher process, again once mpirun's pid is
 * known exit.json     how it ended: written and fsynced by the launcher process
 */
#ifndef LAUNCH_RECORD_H
#define LAUNCH_RECORD_H

#include "base/err.h"
#include "job/place.h"
#include "launch/proc.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* argv and env ("KEY=VALUE", added to the environment) are NULL-terminated. */
enum status record_write_command(const char *attempt_dir, const char *const *argv,
                                 const char *const *env, struct err *err);
/* One allocation for each list; the caller frees it by record_free_list(). */
enum status record_read_command(const char *attempt_dir, char ***ret_argv, char ***ret_env,
                                struct err *err);
void record_free_list(char **list); /* NULL allowed */

struct launcher_record {
    pid_t pid, child; /* child 0 = not started yet */
    uint64_t start_time, child_start_time;
    int64_t slurm_id; /* of the Slurm job that it runs in; 0 = none */
    char boot_id[BOOT_ID_MAX];
};
enum status record_write_launcher(const char *attempt_dir, const struct launcher_record *r,
                                  struct err *err);
/* ST_NOT_FOUND: not there yet. */
enum status record_read_launcher(const char *attempt_dir, struct launcher_record *ret_r,
                                 struct err *err);

/* Takes back what record_write_launcher() wrote: nothing was started. False: it is still there. */
bool record_remove_launcher(const char *attempt_dir);

/* Exit code of a launcher process that ran nothing for want of something that comes back: another one may be started. */
#define LAUNCHER_TRY_AGAIN 75

/* What a launcher in a Slurm job was told before the end. */
#define ASKED_STOP "stop" /* SIGUSR1: the daemon */
#define ASKED_TIME "time" /* SIGUSR2: Slurm, some time before the job's time is over */
#define ASKED_TERM "term" /* SIGTERM: Slurm ends the job, whatever for */

struct exit_record {
    int exit_code, signal;
    int64_t ended_ms;
    char asked[8];            /* one of the above, the newest; "" = nothing */
    char lost[NODE_HOST_MAX]; /* a node that did not answer after a bad end; "" = none */
    char refused[256];        /* not empty: it could not be started, and why */
};
enum status record_write_exit(const char *attempt_dir, const struct exit_record *r,
                              struct err *err);
enum status record_read_exit(const char *attempt_dir, struct exit_record *ret_r, struct err *err);
/* Nothing runs yet, perhaps a launcher is on its way: an exit record laid down under the lock turns it away. Does
 * nothing when one has begun. */
void record_forbid_start(const char *attempt_dir);

/* Takes the lock until *ret_fd is closed or this process ends; *ret_fd -1: another process holds it. */
enum status record_lock(const char *attempt_dir, int *ret_fd, struct err *err);
bool record_is_locked(const char *attempt_dir); /* by another process */

#endif
