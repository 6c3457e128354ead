/* slurm_job.h - the wire form of what Slurm said about a job's newest attempt. */
#ifndef SERVICE_SLURM_JOB_H
#define SERVICE_SLURM_JOB_H

#include "base/buf.h"
#include "launch/slurm_note.h"
#include "service/service.h"

struct wire_slurm {
    V1(SlurmJob) job;
    struct slurm_note note;
    struct buf script;
    char id[24];
};

/* From the attempt's folder; NULL if there is nothing. The result points into w, which wire_slurm_fini() frees. */
V1(SlurmJob) * wire_slurm_load(const struct daemon *d, const struct job *job, struct wire_slurm *w);
void wire_slurm_fini(struct wire_slurm *w); /* all zero allowed */

#endif
