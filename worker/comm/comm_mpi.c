/* comm_mpi.c - ranks over Open MPI. */
#include "comm/comm.h"

#include "base/bf16.h"

#include <malloc.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

/* A reduction's temporary buffer stays below this, whatever the gradient's size. */
#define CHUNK ((int64_t)1 << 20)

static void sum_float(struct comm *c, float *x, int64_t n)
{
    (void)c;
    for (int64_t i = 0; i < n; i += CHUNK)
        MPI_Allreduce(MPI_IN_PLACE, x + i, (int)(n - i < CHUNK ? n - i : CHUNK), MPI_FLOAT, MPI_SUM,
                      MPI_COMM_WORLD);
}

static void sum_double(struct comm *c, double *x, int64_t n)
{
    (void)c;
    for (int64_t i = 0; i < n; i += CHUNK)
        MPI_Allreduce(MPI_IN_PLACE, x + i, (int)(n - i < CHUNK ? n - i : CHUNK), MPI_DOUBLE,
                      MPI_SUM, MPI_COMM_WORLD);
}

/* ---- bf16 ------------------------------------------------------------------------------------ */

static MPI_Op sum_bf16;

static void add_bf16(void *in, void *inout, int *n, MPI_Datatype *type)
{
    const uint16_t *a = in;
    uint16_t *b = inout;
    (void)type;
    for (int i = 0; i < *n; i++)
        b[i] = bf16_of(bf16_to_float(a[i]) + bf16_to_float(b[i]));
}

/* ---- sums under way -------------------------------------------------------------------------- */

_Static_assert(sizeof(MPI_Request) <= sizeof((struct comm_sum){0}.request), "a request must fit");

/* Between the calls a request waits in its sum, out of sight of clang's checker: NOLINTs. */
static void sum_start(struct comm *c, struct comm_sum *s)
{
    MPI_Request request;
    (void)c;
    for (int64_t i = 0; s->rounded && i < s->n; i++)
        s->rounded[i] = bf16_of(s->x[i]);
    if (s->rounded)
        MPI_Iallreduce(MPI_IN_PLACE, s->rounded, (int)s->n, MPI_UINT16_T, sum_bf16, MPI_COMM_WORLD,
                       &request);
    else
        MPI_Iallreduce(MPI_IN_PLACE, s->x, (int)s->n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &request);
    memcpy(s->request, &request, sizeof request);
} /* NOLINT(clang-analyzer-optin.mpi.MPI-Checker) */

static bool sum_done(struct comm *c, struct comm_sum *s)
{
    MPI_Request request;
    int done;
    (void)c;
    memcpy(&request, s->request, sizeof request);
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    memcpy(s->request, &request, sizeof request);
    return done;
}

static void sum_wait(struct comm *c, struct comm_sum *s)
{
    MPI_Request request;
    (void)c;
    memcpy(&request, s->request, sizeof request);
    MPI_Wait(&request, MPI_STATUS_IGNORE); /* NOLINT(clang-analyzer-optin.mpi.MPI-Checker) */
    for (int64_t i = 0; s->rounded && i < s->n; i++)
        s->x[i] = bf16_to_float(s->rounded[i]);
}

static void broadcast(struct comm *c, void *data, size_t bytes, int root)
{
    (void)c;
    char *p = data;
    for (size_t at = 0; at < bytes; at += (size_t)CHUNK) {
        size_t n = bytes - at < (size_t)CHUNK ? bytes - at : (size_t)CHUNK;
        MPI_Bcast(p + at, (int)n, MPI_BYTE, root, MPI_COMM_WORLD);
    }
}

/* Piece by piece of all parts, so that the transport's buffers stay small. */
static void share_float(struct comm *c, float *x, int64_t n)
{
    int *count = malloc(2 * (size_t)c->size * sizeof *count);
    if (!count) {
        MPI_Abort(MPI_COMM_WORLD, status_exit_code(ST_NOMEM));
        return;
    }
    int *at = count + c->size;
    for (int64_t piece = 0; piece * CHUNK * c->size < n + c->size; piece++) {
        for (int i = 0; i < c->size; i++) {
            int64_t begin, end;
            comm_part(n, i, c->size, &begin, &end);
            begin += piece * CHUNK;
            int64_t left = end > begin ? end - begin : 0;
            count[i] = (int)(left < CHUNK ? left : CHUNK);
            at[i] = (int)(left ? begin : 0);
        }
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x, count, at, MPI_FLOAT, MPI_COMM_WORLD);
    }
    free(count);
}

static void barrier(struct comm *c)
{
    (void)c;
    MPI_Barrier(MPI_COMM_WORLD);
}

static void comm_mpi_close(struct comm *c)
{
    (void)c;
    MPI_Op_free(&sum_bf16);
    MPI_Finalize();
}

static int ranks_here(void)
{
    MPI_Comm here;
    int n;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    MPI_Comm_size(here, &n);
    MPI_Comm_free(&here);
    return n;
}

enum status comm_mpi_open(struct comm **ret_comm, int *argc, char ***argv, struct err *err)
{
    static struct comm mpi = {
        .name = "mpi",
        .size = 1,
        .sum_float = sum_float,
        .sum_double = sum_double,
        .sum_start = sum_start,
        .sum_done = sum_done,
        .sum_wait = sum_wait,
        .broadcast = broadcast,
        .share_float = share_float,
        .barrier = barrier,
        .close = comm_mpi_close,
    };
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 2000000000);
    int granted;
    int rc = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &granted);
    if (rc != MPI_SUCCESS)
        return err_set(err, ST_UNAVAILABLE, "MPI_Init_thread failed with code %d", rc);
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &mpi.size);
    mpi.here = ranks_here();
    MPI_Op_create(add_bf16, 1, &sum_bf16);
    *ret_comm = &mpi;
    return ST_OK;
}

void comm_abort(struct comm *c, int exit_code)
{
    if (strcmp(c->name, "mpi") == 0)
        MPI_Abort(MPI_COMM_WORLD, exit_code);
    exit(exit_code);
}
