/* comm_mpi.c - ranks over Open MPI. */
#include "comm/comm.h"

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

static void broadcast(struct comm *c, void *data, size_t bytes, int root)
{
    (void)c;
    char *p = data;
    for (size_t at = 0; at < bytes; at += (size_t)CHUNK) {
        size_t n = bytes - at < (size_t)CHUNK ? bytes - at : (size_t)CHUNK;
        MPI_Bcast(p + at, (int)n, MPI_BYTE, root, MPI_COMM_WORLD);
    }
}

static void barrier(struct comm *c)
{
    (void)c;
    MPI_Barrier(MPI_COMM_WORLD);
}

static void comm_mpi_close(struct comm *c)
{
    (void)c;
    MPI_Finalize();
}

enum status comm_mpi_open(struct comm **ret_comm, int *argc, char ***argv, struct err *err)
{
    static struct comm mpi = {"mpi",      0,         1,       sum_float,
                              sum_double, broadcast, barrier, comm_mpi_close};
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 2000000000);
    int granted;
    int rc = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &granted);
    if (rc != MPI_SUCCESS)
        return err_set(err, ST_UNAVAILABLE, "MPI_Init_thread failed with code %d", rc);
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &mpi.size);
    *ret_comm = &mpi;
    return ST_OK;
}

void comm_abort(struct comm *c, int exit_code)
{
    if (strcmp(c->name, "mpi") == 0)
        MPI_Abort(MPI_COMM_WORLD, exit_code);
    exit(exit_code);
}
