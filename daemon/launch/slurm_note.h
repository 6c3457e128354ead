/* slurm_note.h - slurm.json in an attempt's folder: what the daemon knows of the attempt's Slurm job.
 *
 * Laid down, fsynced, before sbatch is run (id 0: it may or may not have been taken), again with the id, and whenever
 * Slurm's word about it changes. A restarted daemon finds its jobs by it; people see it in `espalier show`.
 */
#ifndef LAUNCH_SLURM_NOTE_H
#define LAUNCH_SLURM_NOTE_H

#include "base/err.h"
#include "launch/slurm_parse.h"

#include <stdint.h>

struct slurm_note {
    struct slurm_row row; /* id 0 = not known */
    int64_t submitted_ms; /* 0 = never */
    int priority;         /* of ours, which Slurm's job has by --nice */
    char excluded[256];   /* nodes it is kept off because earlier attempts were lost there */
    char lost[256];       /* nodes of this attempt that failed; both with commas, "" = none */
};

enum status slurm_note_write(const char *attempt_dir, const struct slurm_note *note,
                             struct err *err);
/* ST_NOT_FOUND: it was never submitted. */
enum status slurm_note_read(const char *attempt_dir, struct slurm_note *ret_note, struct err *err);

#endif
