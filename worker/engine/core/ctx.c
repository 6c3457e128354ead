/* ctx.c - see ctx.h. Numbers live in the backend's memory (`data`), tensor headers and the tape in
 * host memory. */
#include "engine/core/ctx_self.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX ((size_t)256 << 20) /* headers and tape of one step: about a million operators */

static void *host_block(size_t bytes)
{
    return aligned_alloc(64, bytes);
}

enum status ctx_create(struct ctx **ret_cx, const struct backend *be, size_t arena_max,
                       struct err *err)
{
    if (!be)
        return err_set(err, ST_NOT_FOUND, "no such backend");
    struct ctx *cx = calloc(1, sizeof *cx);
    if (!cx)
        return err_set(err, ST_NOMEM, "no memory for a step's context");
    cx->be = be;
    arena_init(&cx->data, be->memory->alloc, be->memory->release, arena_max);
    arena_init(&cx->host, host_block, free, HOST_MAX);
    *ret_cx = cx;
    return ST_OK;
}

void ctx_destroy(struct ctx *cx)
{
    if (!cx)
        return;
    arena_fini(&cx->data);
    arena_fini(&cx->host);
    free(cx);
}

void ctx_begin(struct ctx *cx, const struct ctx_config *cfg)
{
    arena_reset(&cx->data);
    arena_reset(&cx->host);
    cx->cfg = *cfg;
    cx->last = NULL;
    cx->made = NULL;
    cx->depth = 0;
    cx->hidden = false;
    cx->params = NULL;
    cx->keys = 0;
    cx->serial++;
    cx->failure = (struct err){.code = ST_OK};
}

uint64_t ctx_serial(const struct ctx *cx)
{
    return cx->serial;
}

const struct backend *ctx_backend(const struct ctx *cx)
{
    return cx->be;
}

bool ctx_train(const struct ctx *cx)
{
    return cx->cfg.train;
}

bool ctx_keeps(const struct ctx *cx)
{
    return cx->cfg.record && !cx->hidden;
}

bool ctx_ok(const struct ctx *cx)
{
    return cx->failure.code == ST_OK;
}

void ctx_fail(struct ctx *cx, enum status st, const char *fmt, ...)
{
    if (!ctx_ok(cx))
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(cx->failure.text, sizeof cx->failure.text, fmt, args);
    va_end(args);
    cx->failure.code = st;
}

/* Says which of the two it was: the limit that the caller set, or the machine. */
static void fail_full(struct ctx *cx, const struct arena *a, size_t bytes)
{
    if (a->reserved + bytes > a->max)
        ctx_fail(
            cx, ST_LIMIT,
            "a step needs more than its limit of %zu MiB (%zu MiB in use, %zu bytes more wanted): "
            "lower the micro-batch or raise the limit",
            a->max >> 20, a->used >> 20, bytes);
    else
        ctx_fail(cx, ST_NOMEM, "out of memory: %zu MiB in use by this step, %zu bytes more wanted",
                 a->used >> 20, bytes);
}

static void *take(struct ctx *cx, struct arena *a, size_t bytes)
{
    if (!ctx_ok(cx))
        return NULL;
    void *p = arena_alloc(a, bytes);
    if (!p)
        fail_full(cx, a, bytes);
    return p;
}

void *ctx_alloc(struct ctx *cx, size_t bytes)
{
    return take(cx, &cx->data, bytes);
}

void ctx_free(struct ctx *cx, void *p, size_t bytes)
{
    arena_free(&cx->data, p, bytes);
}

void *ctx_host(struct ctx *cx, size_t bytes)
{
    return take(cx, &cx->host, bytes);
}

const void *ctx_upload(struct ctx *cx, const void *from_host, size_t bytes)
{
    void *p = ctx_alloc(cx, bytes);
    if (p)
        cx->be->memory->upload(p, from_host, bytes);
    return p;
}

static struct tensor *header(struct ctx *cx, int dims, const int64_t *dim)
{
    struct tensor *t = take(cx, &cx->host, sizeof *t);
    if (!t)
        return NULL;
    *t = (struct tensor){.dims = dims};
    for (int i = 0; i < dims; i++)
        t->dim[i] = dim[i];
    return t;
}

struct tensor *ctx_tensor(struct ctx *cx, bool with_grad, int dims, const int64_t *dim)
{
    struct tensor *t = header(cx, dims, dim);
    if (!t)
        return NULL;
    size_t bytes = (size_t)tensor_size(t) * sizeof(real);
    t->data = ctx_alloc(cx, bytes);
    if (cx->depth > 0) {
        t->inner = true;
        t->made_before = cx->made;
        cx->made = t;
    }
    if (with_grad && cx->cfg.record)
        tape_want_grad(cx, t);
    return ctx_ok(cx) ? t : NULL;
}

struct tensor *ctx_constant(struct ctx *cx, const real *data, int dims, const int64_t *dim)
{
    struct tensor *t = ctx_tensor(cx, false, dims, dim);
    if (t)
        cx->be->memory->upload(t->data, data, (size_t)tensor_size(t) * sizeof(real));
    return t;
}

struct tensor *ctx_view(struct ctx *cx, struct tensor *t, int dims, const int64_t *dim)
{
    struct tensor *view = t ? header(cx, dims, dim) : NULL;
    if (!view)
        return NULL;
    if (tensor_size(view) != tensor_size(t)) {
        ctx_fail(cx, ST_INTERNAL, "view: %lld elements seen as %lld", (long long)tensor_size(t),
                 (long long)tensor_size(view));
        return NULL;
    }
    view->data = t->data;
    view->grad = t->grad;
    view->name = t->name;
    view->base = t->base ? t->base : t;
    return view;
}

struct rng_key ctx_key(struct ctx *cx, enum rng_purpose purpose)
{
    return (struct rng_key){.seed = cx->cfg.seed,
                            .step = cx->cfg.step,
                            .purpose = (uint32_t)purpose,
                            .stream = cx->keys++};
}

int64_t ctx_sample0(const struct ctx *cx)
{
    return cx->cfg.sample0;
}

enum status ctx_finish(struct ctx *cx, struct err *err)
{
    cx->be->memory->sync();
    if (ctx_ok(cx))
        return ST_OK;
    return err_set(err, cx->failure.code, "%s", cx->failure.text);
}

size_t ctx_arena_peak(const struct ctx *cx)
{
    return cx->data.peak + cx->host.peak;
}
