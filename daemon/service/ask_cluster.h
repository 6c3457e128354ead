/* ask_cluster.h - what Slurm would say to a job, without submitting it (sbatch --test-only). */
#ifndef SERVICE_ASK_CLUSTER_H
#define SERVICE_ASK_CLUSTER_H

#include "jobfile/jobfile.h"

#include <stddef.h>

struct daemon;

/* On the checker's thread: waits for Slurm, a second and a half at most. One sentence, a refusal as well as a start
 * time; never empty. */
void ask_cluster(const struct daemon *d, const struct jobfile *job, char *out, size_t size);

#endif
