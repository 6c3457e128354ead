/* comm_self.c - the ranks of a job of one. */
#include "comm/comm.h"

#include <stdlib.h>

static void sum_float(struct comm *c, float *x, int64_t n)
{
    (void)c, (void)x, (void)n;
}

static void sum_double(struct comm *c, double *x, int64_t n)
{
    (void)c, (void)x, (void)n;
}

static void sum_start(struct comm *c, struct comm_sum *s)
{
    (void)c, (void)s;
}

static bool sum_done(struct comm *c, struct comm_sum *s)
{
    (void)c, (void)s;
    return true;
}

static void broadcast(struct comm *c, void *data, size_t bytes, int root)
{
    (void)c, (void)data, (void)bytes, (void)root;
}

static void nothing(struct comm *c)
{
    (void)c;
}

struct comm *comm_self(void)
{
    static struct comm self = {
        .name = "self",
        .size = 1,
        .here = 1,
        .sum_float = sum_float,
        .sum_double = sum_double,
        .sum_start = sum_start,
        .sum_done = sum_done,
        .sum_wait = sum_start,
        .broadcast = broadcast,
        .share_float = sum_float,
        .barrier = nothing,
        .close = nothing,
    };
    return &self;
}
