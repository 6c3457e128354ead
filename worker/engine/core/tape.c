/* tape.c - recording, and the way back.
 *
 * A large gradient is needed from the first node of backward that adds to it until the node that made its tensor has
 * read it. Until then its pointer is a mark, afterwards NULL. So a step holds a handful of them instead of one for every
 * activation, and they stay in the cache. The data of a block's inner tensors (block.c) goes after its last reader.
 */
#include "engine/core/ctx_self.h"

#include <math.h>
#include <string.h>

static real mark; /* stands for "wanted, not in memory yet"; never read */
#define PENDING (&mark)

static size_t grad_bytes(const struct tensor *t)
{
    return (size_t)tensor_size(t) * sizeof(real);
}

static real *take_grad(struct ctx *cx, size_t bytes, bool fresh)
{
    real *at = ctx_alloc(cx, bytes);
    if (at && !fresh)
        cx->be->memory->zero(at, bytes);
    return at;
}

static void give_grad(struct ctx *cx, struct tensor *t)
{
    ctx_free(cx, t->grad, grad_bytes(t));
    t->grad = NULL;
}

void tape_want_grad(struct ctx *cx, struct tensor *t)
{
    bool large = grad_bytes(t) >= CTX_KEPT_GRAD;
    t->grad = large || cx->hidden ? PENDING : take_grad(cx, grad_bytes(t), false);
}

void *ctx_record(struct ctx *cx, size_t bytes, void (*backward)(struct ctx *, struct node *),
                 struct tensor *out, int n, struct tensor *const *in)
{
    if (cx->hidden)
        block_note_inputs(cx, n, in);
    if (!ctx_keeps(cx) || !ctx_ok(cx) || !out->grad)
        return NULL;
    struct node *node = ctx_host(cx, bytes);
    struct tensor **inputs = ctx_host(cx, (size_t)n * sizeof *inputs);
    if (!node || !inputs)
        return NULL;
    memset(node, 0, bytes);
    memcpy(inputs, in, (size_t)n * sizeof *inputs);
    *node = (struct node){.backward = backward,
                          .before = cx->last,
                          .out = out,
                          .in = inputs,
                          .n = n,
                          .reads = ~(uint64_t)0};
    tensor_root(out)->maker = node;
    cx->last = node;
    return node;
}

/* Inputs of the node that show t's memory. */
static int uses_of(const struct node *node, struct tensor *t)
{
    int uses = 0;
    for (int i = 0; i < node->n; i++)
        uses += node->in[i] && tensor_root(node->in[i]) == tensor_root(t);
    return uses;
}

/* Puts input i's gradient into memory; a view shares that of its base. */
static void bring(struct ctx *cx, struct node *node, int i)
{
    struct tensor *t = node->in[i];
    if (!t || t->grad != PENDING)
        return;
    if (tensor_root(t)->grad == PENDING) {
        bool fresh = i < 63 && node->overwrites & NODE_OVERWRITES(i) && uses_of(node, t) == 1;
        tensor_root(t)->grad = take_grad(cx, grad_bytes(t), fresh);
        node->fresh |= fresh ? NODE_OVERWRITES(i) : 0;
    }
    t->grad = tensor_root(t)->grad;
}

/* True when the heir took out's memory over. Not where it is a second input too: backward would read dy while it
 * adds to it. */
static bool inherit(struct node *node)
{
    struct tensor *heir = node->heir;
    if (!heir || heir->grad != PENDING || tensor_root(heir)->grad != PENDING)
        return false;
    if (uses_of(node, heir) > 1)
        return false;
    heir->grad = tensor_root(heir)->grad = node->out->grad;
    return true;
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Puts data that a block gave back into memory again; a view shows that of its base. */
static void need_data(struct ctx *cx, struct tensor *t)
{
    struct tensor *base = tensor_root(t);
    struct node *maker = base->maker;
    if (!base->data && ctx_ok(cx)) {
        for (int i = 0; i < maker->n && i < 63; i++)
            if (maker->in[i] && maker->reads & NODE_READS(i))
                need_data(cx, maker->in[i]);
        base->data = ctx_alloc(cx, grad_bytes(base));
        if (base->data)
            maker->remake(cx, maker);
    }
    t->data = base->data;
}

static void drop_data(struct ctx *cx, struct tensor *t)
{
    ctx_free(cx, t->data, grad_bytes(t));
    t->data = NULL;
}

static void need_all(struct ctx *cx, struct node *node)
{
    for (int i = 0; i < node->n && i < 63; i++)
        if (node->in[i] && node->reads & NODE_READS(i))
            need_data(cx, node->in[i]);
    if (node->reads & NODE_READS_OUT)
        need_data(cx, node->out);
}

/* After its backward nobody reads what the node made, and of what it read it was one reader. */
static void done_with(struct ctx *cx, struct node *node)
{
    for (int i = 0; i < node->n && i < 63; i++) {
        struct tensor *t = node->in[i] ? tensor_root(node->in[i]) : NULL;
        if (t && t->inner && node->reads & NODE_READS(i) && --t->reads == 0)
            drop_data(cx, t);
    }
    if (tensor_root(node->out)->inner)
        drop_data(cx, tensor_root(node->out));
    ctx_free(cx, node->own, node->own_bytes);
    node->own = NULL;
}

static void run_node(struct ctx *cx, struct node *node)
{
    struct tensor *out = node->out;
    bool large = grad_bytes(out) >= CTX_KEPT_GRAD;
    if (out->grad == PENDING) { /* nothing that led to the loss used it */
        done_with(cx, node);
        return;
    }
    bool inherited = large && inherit(node);
    for (int i = 0; i < node->n; i++)
        bring(cx, node, i);
    need_all(cx, node);
    if (!ctx_ok(cx))
        return;
    node->backward(cx, node);
    if (inherited)
        out->grad = NULL;
    else if (large && out->grad)
        give_grad(cx, out);
    done_with(cx, node);
}

/* ---- the watch ------------------------------------------------------------------------------- */

/* The parameter behind input i; NULL where there is none or it wants no gradient. */
static struct tensor *watched(const struct node *node, int i)
{
    struct tensor *t = node->in[i] ? tensor_root(node->in[i]) : NULL;
    return t && t->name && t->grad ? t : NULL;
}

/* Marks every parameter with the node that is the last of backward to add to its gradient: the first that was recorded. */
static void announce(struct ctx *cx, const struct ctx_watch *watch)
{
    for (const struct node *node = cx->last; node; node = node->before)
        for (int i = 0; i < node->n; i++)
            if (watched(node, i))
                watched(node, i)->last_adds = NULL;
    for (const struct node *node = cx->last; node; node = node->before)
        for (int i = 0; i < node->n; i++) {
            struct tensor *t = watched(node, i);
            if (t && !t->last_adds)
                watch->will(watch->arg, t);
            if (t)
                t->last_adds = node;
        }
}

static void tell(const struct ctx_watch *watch, const struct node *node)
{
    for (int i = 0; i < node->n; i++) {
        struct tensor *t = watched(node, i);
        if (!t || t->last_adds != node)
            continue;
        t->last_adds = NULL;
        watch->final(watch->arg, t);
    }
    watch->node(watch->arg);
}

/* Refuses a loss that is not a finite number, and starts from 1. False when there is nothing to do. */
static bool start(struct ctx *cx, struct tensor *loss)
{
    const real one = 1;
    real value;
    if (!loss || tensor_size(loss) != 1) {
        ctx_fail(cx, ST_INTERNAL, "backward starts from a scalar, got %lld elements",
                 loss ? (long long)tensor_size(loss) : 0);
        return false;
    }
    cx->be->memory->sync();
    cx->be->memory->download(&value, loss->data, sizeof value);
    if (!isfinite(value)) {
        ctx_fail(cx, ST_NUMERIC, "the loss is %s in step %llu: no parameter was changed",
                 isnan(value) ? "NaN" : "infinite", (unsigned long long)cx->cfg.step);
        return false;
    }
    if (!loss->grad)
        return false; /* nothing in it depends on a parameter */
    cx->be->memory->upload(loss->grad, &one, sizeof one);
    return true;
}

void tape_run(struct ctx *cx, struct node *last, const struct ctx_watch *watch)
{
    for (struct node *node = last; node && ctx_ok(cx); node = node->before) {
        run_node(cx, node);
        if (watch && ctx_ok(cx))
            tell(watch, node);
    }
}

void ctx_backward(struct ctx *cx, struct tensor *loss)
{
    if (!ctx_ok(cx) || !start(cx, loss))
        return;
    const struct ctx_watch *watch = cx->cfg.watch;
    if (watch)
        announce(cx, watch);
    tape_run(cx, cx->last, watch);
}
