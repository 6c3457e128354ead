/* slurm_reason.h - why Slurm lets a job wait, or has refused it, in words, and the commands that would help. Pure. */
#ifndef JOB_SLURM_REASON_H
#define JOB_SLURM_REASON_H

#include <stdbool.h>

/* In look and change "%s" stands for the job's id in Slurm, and %% for a percent sign. */
struct slurm_reason {
    char code[64]; /* as squeue prints it: "Resources"; the nearest one for a sentence of sbatch */
    char words[160]; /* what it means */
    /* Shows more, or is all that can be done; no id in it where sbatch may refuse a job for this. */
    char look[160];
    char change[200]; /* helps one that waits; "" = nothing does */
};

/* The first code, or sentence of sbatch, that the text holds. Codes of limits are read by their parts, so that none is
 * unknown: QOSMaxCpuPerUserLimit. False: there is none, and ret_reason is untouched. */
bool slurm_reason_find(const char *text, struct slurm_reason *ret_reason);

#endif
