/* advice.h - what would help against the reasons of a job's ends; those of Slurm: slurm_reason.h. Pure. */
#ifndef JOB_ADVICE_H
#define JOB_ADVICE_H

#include "job/state.h"

/* What a person can do about a job that ended (or ends again and again) for this reason, in Slurm or not; "%s" stands
 * for its id, in every place. "" = nothing. Never NULL. */
const char *reason_advice(enum job_reason reason, bool in_slurm);

#endif
