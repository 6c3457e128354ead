/* comm.h - the ranks of a job as one object: sums and copies over all of them.
 *
 * Every call is collective: all ranks make the same calls in the same order. The order of a sum is
 * fixed for a given number of ranks, so runs repeat bit for bit. Errors of the transport end the
 * job (Open MPI 4 cannot go on without a rank); they are not returned.
 */
#ifndef COMM_COMM_H
#define COMM_COMM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sum under way, owned by the caller; zero but for x, n and rounded before sum_start(). Until sum_wait() returns,
 * x and rounded belong to it. */
struct comm_sum {
    float *x;
    int64_t n; /* below 2^31 */
    /* NULL: floats travel. Else n of these do: x rounded to bf16 by every rank, and each addition of the sum once more, to
     * nearest even. Half the bytes, and a relative error of about 2^-9 times the root of (1 + log2 ranks). */
    uint16_t *rounded;
    unsigned char request[16]; /* the transport's */
};

struct comm {
    const char *name; /* "mpi" | "self" */
    int rank, size;
    int here; /* ranks on this machine */
    /* In place; result equal on all ranks. */
    void (*sum_float)(struct comm *c, float *x, int64_t n);
    void (*sum_double)(struct comm *c, double *x, int64_t n);
    /* The same without waiting. Other collective calls may come in between, in the same order on all ranks. The transport
     * works only while it is called: sum_done() asks whether the sum is there and lets it, and all others, go on. */
    void (*sum_start)(struct comm *c, struct comm_sum *s);
    bool (*sum_done)(struct comm *c, struct comm_sum *s);
    void (*sum_wait)(struct comm *c, struct comm_sum *s);
    void (*broadcast)(struct comm *c, void *data, size_t bytes, int root);
    /* Every rank has its part of x (comm_part()); afterwards all have all of it. n below 2^31. */
    void (*share_float)(struct comm *c, float *x, int64_t n);
    void (*barrier)(struct comm *c);
    void (*close)(struct comm *c);
};

/* [*ret_begin, *ret_end): the rank's part of n elements, as even as it goes, in the order of ranks. */
static inline void comm_part(int64_t n, int rank, int size, int64_t *ret_begin, int64_t *ret_end)
{
    *ret_begin = n * rank / size;
    *ret_end = n * (rank + 1) / size;
}

/* One process. Static; close() does nothing. */
struct comm *comm_self(void);

/* MPI_COMM_WORLD. Call once, first thing in main: it also sets malloc thresholds without which
 * large reductions are ten times slower (temporary buffers would be mapped anew at every call). */
enum status comm_mpi_open(struct comm **ret_comm, int *argc, char ***argv, struct err *err);

/* Ends all ranks at once with this exit code; for failures on one rank that the others cannot know.
 */
void comm_abort(struct comm *c, int exit_code);

#endif
