/* block.c - blocks: parts of a model whose inner tensors are given back, see ctx_block().
 *
 * A block ends by counting, for every tensor that it made, the nodes of its tape whose backward will read it: nobody outside
 * may, so that is all of them. What has no reader, or can be made again, goes at once. The tape (tape.c) takes the rest when the last
 * reader is done. A block that will be recomputed runs hidden, leaves one node, and runs again when backward comes to it.
 */
#include "engine/core/ctx_self.h"

#include <string.h>

struct block_node {
    struct node node;
    struct tensor *(*run)(struct ctx *cx, const void *arg);
    const void *arg;
    uint32_t keys; /* random operators before it */
};

/* What a block covers up while it runs. */
struct outside {
    struct tensor *made;
    struct node *last;
};

static struct outside enter(struct ctx *cx)
{
    struct outside o = {cx->made, cx->last};
    cx->made = NULL;
    cx->depth++;
    return o;
}

static void count_reads(struct node *node)
{
    for (int i = 0; i < node->n && i < 63; i++) {
        struct tensor *t = node->in[i] ? tensor_root(node->in[i]) : NULL;
        if (t && t->inner && node->reads & NODE_READS(i))
            t->reads++;
    }
    if (node->reads & NODE_READS_OUT)
        tensor_root(node->out)->reads++;
    node->counted = true;
}

static void give_back(struct ctx *cx, struct tensor *t)
{
    if (t->reads > 0 && !(t->maker && t->maker->remake))
        return;
    ctx_free(cx, t->data, (size_t)tensor_size(t) * sizeof(real));
    t->data = NULL;
}

/* Ends the block; y, if it was made here, goes to the level outside. True when it was. */
static bool leave(struct ctx *cx, struct outside o, struct tensor *y)
{
    struct tensor *out = y ? tensor_root(y) : NULL;
    bool found = false;
    for (struct node *node = cx->last; node && node != o.last; node = node->before)
        if (!node->counted) /* by a block within this one */
            count_reads(node);
    for (struct tensor *t = cx->made, *next; t; t = next) {
        next = t->made_before;
        if (t != out)
            give_back(cx, t);
        found = found || t == out;
    }
    cx->made = o.made;
    cx->depth--;
    if (found) {
        out->inner = cx->depth > 0;
        out->made_before = cx->depth > 0 ? cx->made : NULL;
        cx->made = cx->depth > 0 ? out : NULL;
    }
    return found;
}

void block_note_inputs(struct ctx *cx, int n, struct tensor *const *in)
{
    struct hidden_params *p = cx->params;
    for (int i = 0; i < n; i++) {
        struct tensor *t = in[i] ? tensor_root(in[i]) : NULL;
        if (!t || !t->name || !t->grad)
            continue;
        int at = 0;
        while (at < p->n && p->param[at] != t)
            at++;
        if (at < p->n)
            continue;
        if (p->n == HIDDEN_PARAMS) {
            ctx_fail(cx, ST_LIMIT, "a block uses more than %d parameters", HIDDEN_PARAMS);
            return;
        }
        p->param[p->n++] = t;
    }
}

/* Runs the block once more, recorded, and backward through it. What is left of its tape's memory goes node by node. */
static void backward(struct ctx *cx, struct node *node)
{
    struct block_node *n = (struct block_node *)node;
    struct tensor *out = tensor_root(node->out);
    struct node *last = cx->last;
    uint32_t keys = cx->keys;
    cx->last = NULL;
    cx->keys = n->keys;
    struct outside o = enter(cx);
    struct tensor *y = n->run(cx, n->arg);
    leave(cx, o, NULL);
    if (ctx_ok(cx)) {
        struct tensor *again = tensor_root(y);
        if ((size_t)tensor_size(out) * sizeof(real) >= CTX_KEPT_GRAD) {
            again->grad = y->grad = node->out->grad;
            out->grad = node->out->grad = NULL;
        } else {
            cx->be->axpy(again->grad, node->out->grad, 1, tensor_size(out));
        }
        tape_run(cx, cx->last, NULL);
    }
    cx->last = last;
    cx->keys = keys;
}

static struct block_node *record(struct ctx *cx, struct tensor *y, const void *arg, size_t bytes,
                                 int n, struct tensor *const *in)
{
    const struct hidden_params *p = cx->params;
    struct tensor **all = ctx_host(cx, (size_t)(n + p->n) * sizeof *all);
    void *copy = ctx_host(cx, bytes);
    if (!all || !copy)
        return NULL;
    memcpy(copy, arg, bytes);
    memcpy(all, in, (size_t)n * sizeof *all);
    memcpy(all + n, p->param, (size_t)p->n * sizeof *all);
    struct block_node *node = ctx_record(cx, sizeof *node, backward, y, n + p->n, all);
    if (node) {
        node->arg = copy;
        node->node.reads = ((uint64_t)1 << n) - 1;
    }
    return node;
}

static struct tensor *run_hidden(struct ctx *cx, struct tensor *(*run)(struct ctx *, const void *),
                                 const void *arg, size_t bytes, int n, struct tensor *const *in)
{
    struct hidden_params params = {0};
    uint32_t keys = cx->keys;
    struct outside o = enter(cx);
    cx->hidden = true;
    cx->params = &params;
    struct tensor *y = run(cx, arg);
    cx->hidden = false;
    bool made = leave(cx, o, y);
    struct block_node *node = NULL;
    if (y && made && y->grad) {
        y->grad = NULL;
        tape_want_grad(cx, tensor_root(y));
        y->grad = tensor_root(y)->grad;
        node = record(cx, y, arg, bytes, n, in);
    }
    if (node)
        node->run = run, node->keys = keys;
    cx->params = NULL;
    return ctx_ok(cx) ? y : NULL;
}

struct tensor *ctx_block(struct ctx *cx, struct tensor *(*run)(struct ctx *cx, const void *arg),
                         const void *arg, size_t bytes, int n, struct tensor *const *in)
{
    if (!ctx_ok(cx))
        return NULL;
    if (cx->cfg.recompute && ctx_keeps(cx))
        return run_hidden(cx, run, arg, bytes, n, in);
    struct outside o = enter(cx);
    struct tensor *y = run(cx, arg);
    leave(cx, o, y);
    return ctx_ok(cx) ? y : NULL;
}
