/* sweep.h - folders of removed jobs, deleted on a thread of their own.
 *
 * A job's checkpoints may be many gigabytes, and the loop must not wait for a disk. The rows go first, in one
 * transaction that leaves the job's id in `removals`; then its folder is renamed into HOME/trash, which is the thread's
 * list of what to do. A kill at any moment leaves one of the two, and the next start goes on.
 */
#ifndef JOB_SWEEP_H
#define JOB_SWEEP_H

#include "base/err.h"

struct daemon;

/* Starts the thread; what earlier runs left is swept first. */
enum status sweep_create(struct daemon *d, struct err *err);
void sweep_destroy(struct daemon *d);

/* Moves the folders of removed jobs out of the way and wakes the thread. On the loop's thread, after the commit. */
void sweep_folders(struct daemon *d);

#endif
