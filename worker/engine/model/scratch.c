/* scratch.c - bump allocation over blocks that double. */
#include "engine/model/scratch.h"

#include "engine/backend/backend.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK ((size_t)1 << 18)

void scratch_reset(struct scratch *s)
{
    for (int i = 0; i < s->blocks; i++)
        s->block[i].used = 0;
}

void scratch_fini(struct scratch *s)
{
    for (int i = 0; i < s->blocks; i++)
        free(s->block[i].data);
    s->blocks = 0;
}

static struct scratch_block *grow(struct scratch *s, struct ctx *cx, size_t bytes)
{
    if (s->blocks == SCRATCH_BLOCKS) {
        ctx_fail(cx, ST_LIMIT,
                 "the model's host memory of a step passed its %d blocks; use a "
                 "smaller batch",
                 SCRATCH_BLOCKS);
        return NULL;
    }
    size_t size = FIRST_BLOCK << s->blocks;
    if (size < bytes)
        size = bytes;
    char *data = malloc(size);
    if (!data) {
        ctx_fail(cx, ST_NOMEM, "no memory for %zu bytes of masks and targets", size);
        return NULL;
    }
    s->block[s->blocks] = (struct scratch_block){.data = data, .size = size};
    return &s->block[s->blocks++];
}

void *scratch_get(struct scratch *s, struct ctx *cx, size_t count, size_t size)
{
    if (!ctx_ok(cx))
        return NULL;
    if (count > ((size_t)1 << 40) / (size ? size : 1)) {
        ctx_fail(cx, ST_LIMIT, "%zu values of %zu bytes do not fit into a step", count, size);
        return NULL;
    }
    size_t bytes = (count * size + 63) / 64 * 64;
    struct scratch_block *b = NULL;
    for (int i = 0; i < s->blocks && !b; i++)
        if (s->block[i].size - s->block[i].used >= bytes)
            b = &s->block[i];
    if (!b && !(b = grow(s, cx, bytes)))
        return NULL;
    void *p = b->data + b->used;
    b->used += bytes;
    return memset(p, 0, bytes);
}

const real *scratch_download(struct scratch *s, struct ctx *cx, const struct tensor *t)
{
    if (!ctx_ok(cx) || !t)
        return NULL;
    size_t n = (size_t)tensor_size(t);
    real *to = scratch_get(s, cx, n, sizeof *to);
    if (to)
        ctx_backend(cx)->memory->download(to, t->data, n * sizeof *to);
    return to;
}

double scratch_scalar(struct scratch *s, struct ctx *cx, const struct tensor *scalar)
{
    const real *v = scratch_download(s, cx, scalar);
    return v ? (double)*v : 0;
}
