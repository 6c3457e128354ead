/* cores.h - the cores of a machine shared out among the ranks on it, where no coordinator did.
 *
 * A rank that its launcher has bound alone (mpirun's own binding, a Slurm that binds, taskset) keeps what it has. Ranks that were left on
 * the same cores take an even part each, in the order of packages and cores, so that siblings of one core go to one
 * rank. Ranks x threads never exceed the cores that the launcher left them: where a rank has fewer than threads, all run
 * with fewer threads and say so. Under a Slurm that does not bind, that is the node's cores, not the job's; where the kernel does not
 * list them, what was asked for.
 */
#ifndef RUN_CORES_H
#define RUN_CORES_H

#include "base/boot.h"
#include "comm/comm.h"
#include "run/bind.h"

#include <sched.h>

struct rank_cores {
    char host[64], boot[BOOT_ID_MAX]; /* equal in both: one machine */
    cpu_set_t may; /* what the rank may use at its start; empty: nobody can tell */
};

/* How a rank's cores lie to those of the others. */
struct cores_met {
    int alike,
        before;  /* ranks with the same ones, itself included; those of them that come first */
    int crossed; /* ranks that have part of them */
};
void cores_meet(struct cores_met *m, const struct rank_cores *own, int me,
                const struct rank_cores *other, int rank);

struct cores_share {
    cpu_set_t use;
    int threads; /* <= what was asked for; as asked for where `may` is empty */
    bool alone;  /* no other rank uses a core of `use` */
};
/* After all ranks were met. order[0..cpus) lists the machine's CPUs, neighbours first. Pure. */
void cores_share(const struct rank_cores *own, const struct cores_met *m, const int *order,
                 int cpus, int threads, struct cores_share *ret_share);

/* Collective, after rank_bind() and the start of MPI, before the engine has threads. Binds all threads of the process unless
 * the coordinator placed the rank or Slurm owns cores that it does not bind to. *threads: wanted; lowered where cores are
 * missing, on all ranks alike. b then tells the whole story. */
void cores_settle(struct comm *comm, int64_t *threads, struct binding *b);

#endif
