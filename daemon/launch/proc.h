/* proc.h - processes of this host, told apart by more than their number (/proc).
 *
 * A pid alone names nobody: it is reused. A process is (boot id, pid, start time in clock ticks
 * since boot, field 22 of /proc/PID/stat). Zombies count as gone.
 */
#ifndef LAUNCH_PROC_H
#define LAUNCH_PROC_H

#include "base/boot.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ST_NOT_FOUND: there is no such process, or it is a zombie. Anything else: /proc could not be read now (too
 * many open files), so that nothing is known; never take that for an end. */
enum status proc_look(pid_t pid, uint64_t *ret_start_time);
/* The same for those who may be wrong: 0 = it was not seen to live. */
uint64_t proc_start_time(pid_t pid);
bool proc_is_alive(pid_t pid, uint64_t start_time);

/* Processes of a session that live, apart from `except`; -1 = not all could be looked at. A session id is not given to another
 * process while any member lives, so a leader that is gone may still be asked for. */
int proc_session_count(pid_t session, pid_t except);
int proc_session_kill(pid_t session, pid_t except,
                      int signal); /* the same; of those it signalled */

#endif
