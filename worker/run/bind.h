/* bind.h - a rank on the cores and GPUs that the coordinator gave it (attempt.json; docs/spec/worker-environment.md).
 *
 * Done first of all, before MPI and CUDA look around. Core k of the placement is the k-th CPU that this process may use
 * at its start, so a container's or a batch system's own limits hold; GPU k is the k-th entry of
 * CUDA_VISIBLE_DEVICES where that is set already.
 */
#ifndef RUN_BIND_H
#define RUN_BIND_H

#include "base/err.h"

#include <sched.h>
#include <stdbool.h>

struct binding {
    int rank;          /* as the launcher counts; -1: it does not say */
    bool placed;       /* attempt.json has a placement for it */
    bool pinned;       /* all threads are bound to `cores` */
    char cores[128];   /* "0-3,8"; of this machine */
    char gpus[128];    /* what CUDA_VISIBLE_DEVICES was set to; "" = none */
    char unbound[160]; /* not pinned: why */
    char lowered[320]; /* fewer threads than asked for: why; "" = as many */
};

/* A folder without a placement, or a rank without a number, is left as it is: ST_OK. Sets CUDA_VISIBLE_DEVICES, and
 * where ranks share cores OMPI_MCA_mpi_yield_when_idle. Call while the process has one thread of its own;
 * those of libraries are bound too. */
enum status rank_bind(const char *job_dir, struct binding *ret_binding, struct err *err);
/* All threads of the process to these CPUs; fills pinned and cores. */
enum status bind_to_cpus(const cpu_set_t *set, struct binding *b, struct err *err);

#endif
