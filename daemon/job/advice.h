/* advice.h - reasons in words, and what would help: for a job's own reasons and for Slurm's. Pure. */
#ifndef JOB_ADVICE_H
#define JOB_ADVICE_H

#include "job/state.h"

/* What a person can do about a job that ended (or ends again and again) for this reason, in Slurm or not; "%s" stands
 * for its id, in every place. "" = nothing. Never NULL. */
const char *reason_advice(enum job_reason reason, bool in_slurm);

struct slurm_reason {
    const char *code;   /* as squeue prints it: "Resources" */
    const char *words;  /* what it means */
    const char *remedy; /* "%s": the id of the job in Slurm */
};

/* The first code that the text names as a word of its own; NULL if it names none that is known. */
const struct slurm_reason *slurm_reason_find(const char *text);

#endif
