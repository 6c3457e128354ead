/* comm.h - the ranks of a job as one object: sums and copies over all of them.
 *
 * Every call is collective: all ranks make the same calls in the same order. The order of a sum is
 * fixed for a given number of ranks, so runs repeat bit for bit. Errors of the transport end the
 * job (Open MPI 4 cannot go on without a rank); they are not returned.
 */
#ifndef COMM_COMM_H
#define COMM_COMM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct comm {
    const char *name; /* "mpi" | "self" */
    int rank, size;
    /* In place; result equal on all ranks. */
    void (*sum_float)(struct comm *c, float *x, int64_t n);
    void (*sum_double)(struct comm *c, double *x, int64_t n);
    void (*broadcast)(struct comm *c, void *data, size_t bytes, int root);
    void (*barrier)(struct comm *c);
    void (*close)(struct comm *c);
};

/* One process. Static; close() does nothing. */
struct comm *comm_self(void);

/* MPI_COMM_WORLD. Call once, first thing in main: it also sets malloc thresholds without which
 * large reductions are ten times slower (temporary buffers would be mapped anew at every call). */
enum status comm_mpi_open(struct comm **ret_comm, int *argc, char ***argv, struct err *err);

/* Ends all ranks at once with this exit code; for failures on one rank that the others cannot know.
 */
void comm_abort(struct comm *c, int exit_code);

#endif
