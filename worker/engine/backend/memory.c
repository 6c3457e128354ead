/* memory.c - see memory.h. */
#include "engine/backend/memory.h"

#include <stdlib.h>
#include <string.h>

static void *host_alloc(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void host_zero(void *p, size_t bytes)
{
    memset(p, 0, bytes);
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
    .alloc = host_alloc,
    .release = free,
    .zero = host_zero,
    .upload = host_copy,
    .download = host_copy,
    .sync = host_sync,
};
