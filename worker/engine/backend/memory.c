/* memory.c - see memory.h. */
#include "engine/backend/memory.h"

#include "engine/backend/cpu/pool.h"
#include "engine/backend/pages.h"

#include <stdlib.h>
#include <string.h>

#define ZERO_UNIT ((int64_t)64 << 10)
#define ZERO_GRAIN 16

struct zero_job {
    char *at;
    int64_t bytes;
};

static void zero_units(void *arg, int64_t from, int64_t to, int worker)
{
    const struct zero_job *j = arg;
    int64_t first = from * ZERO_UNIT, end = to * ZERO_UNIT < j->bytes ? to * ZERO_UNIT : j->bytes;
    (void)worker;
    memset(j->at + first, 0, (size_t)(end - first));
}

static void host_zero(void *p, size_t bytes)
{
    struct zero_job job = {p, (int64_t)bytes};
    pool_run((job.bytes + ZERO_UNIT - 1) / ZERO_UNIT, ZERO_GRAIN, zero_units, &job);
}

static void host_copy(void *to, const void *from, size_t bytes)
{
    if (bytes)
        memcpy(to, from, bytes);
}

static void host_sync(void)
{
}

const struct backend_memory memory_host = {
    .alloc = pages_alloc,
    .release = free,
    .zero = host_zero,
    .upload = host_copy,
    .download = host_copy,
    .sync = host_sync,
};
