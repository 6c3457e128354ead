/* retain.h - the checkpoints of a job's folder: which there are, in which order they serve, which go.
 *
 * While an attempt lives, its rank 0 alone removes files of checkpoints/, after each checkpoint it wrote; the daemon does it
 * only while none lives (docs/spec/checkpoint.md 4). checkpoints/pinned/ is the daemon's: what lies there is read, never
 * removed. A file goes before its sum, so that what a kill leaves is a sum without a file, which the next collection takes.
 */
#ifndef RUN_RETAIN_H
#define RUN_RETAIN_H

#include "base/hash.h"
#include "run/folder.h"

#define CHECKPOINT_PATH_MAX 128

struct checkpoint_file {
    char path[CHECKPOINT_PATH_MAX]; /* in the job's folder */
    int64_t bytes, total_step;      /* total_step -1: its head cannot be read */
    int stage, attempt;
    bool has_metric;
    double metric;              /* checkpoint.best_by */
    char sha256[HASH_HEX_SIZE]; /* of the file beside it; "" = its writing was not finished */
};

struct checkpoint_set {
    struct checkpoint_file *list; /* owned; by age, so the one to resume from is the last */
    int n;
};

/* pinned: those of checkpoints/pinned/ too, each where it lies alone. */
enum status checkpoints_find(const struct job_folder *folder, bool pinned,
                             struct checkpoint_set *ret_set, struct err *err);
void checkpoints_fini(struct checkpoint_set *set);

/* Applies the job file's rule; what cannot be removed stays and is tried again. ret_set: what is left, as above. */
enum status checkpoints_collect(const struct job_folder *folder, struct checkpoint_set *ret_set,
                                struct err *err);

#endif
