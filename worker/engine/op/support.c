/* support.c - see support.h. */
#include "engine/op/support.h"

#include <stdio.h>
#include <string.h>

bool op_ready(struct ctx *cx, const char *op, int n, struct tensor *const *in)
{
    for (int i = 0; i < n && ctx_ok(cx); i++)
        if (!in[i])
            ctx_fail(cx, ST_INTERNAL, "%s: input %d is missing", op, i);
        else if (!(in[i]->base ? in[i]->base : in[i])->data)
            ctx_fail(cx, ST_INTERNAL, "%s: input %d was made inside a block that is over", op, i);
    return ctx_ok(cx);
}

void op_own(struct ctx *cx, struct node *node, void *p, size_t bytes)
{
    if (!node) {
        ctx_free(cx, p, bytes);
        return;
    }
    node->own = p;
    node->own_bytes = bytes;
}

bool op_same_shape(const struct tensor *a, const struct tensor *b)
{
    return a->dims == b->dims && memcmp(a->dim, b->dim, (size_t)a->dims * sizeof a->dim[0]) == 0;
}

struct op_text op_role(const char *role, const struct tensor *t)
{
    struct op_text text;
    if (t->name)
        snprintf(text.s, sizeof text.s, "%s '%.100s'", role, t->name);
    else
        snprintf(text.s, sizeof text.s, "%s", role);
    return text;
}

struct op_text op_text(const char *role, const struct tensor *t)
{
    struct op_text text = op_role(role, t);
    size_t at = strlen(text.s);
    at += (size_t)snprintf(text.s + at, sizeof text.s - at, " [");
    for (int i = 0; i < t->dims && at < sizeof text.s; i++)
        at += (size_t)snprintf(text.s + at, sizeof text.s - at, "%s%lld", i ? "," : "",
                               (long long)t->dim[i]);
    if (at < sizeof text.s)
        snprintf(text.s + at, sizeof text.s - at, "]");
    return text;
}

struct tensor *op_like_rows(struct ctx *cx, const struct tensor *x, int64_t last, bool with_grad)
{
    int64_t dim[TENSOR_DIMS];
    memcpy(dim, x->dim, sizeof dim);
    dim[x->dims - 1] = last;
    return ctx_tensor(cx, with_grad, x->dims, dim);
}

struct tensor *op_like(struct ctx *cx, const struct tensor *x, bool with_grad)
{
    return ctx_tensor(cx, with_grad, x->dims, x->dim);
}

struct tensor *op_scalar(struct ctx *cx, bool with_grad)
{
    return ctx_tensor(cx, with_grad, 0, NULL);
}

bool op_groups(struct ctx *cx, const char *op, const struct tensor *w, struct group_layout g,
               struct group_dims *ret_dims, int64_t *ret_groups)
{
    if (w->dims < 1 || w->dims > 2 || (g.axis == 1 && w->dims != 2) || g.axis < 0 || g.axis > 1) {
        ctx_fail(cx, ST_INTERNAL, "%s: %s has no groups along axis %d", op, op_text("w", w).s,
                 g.axis);
        return false;
    }
    int64_t along = w->dim[g.axis];
    if (g.width < 1 || along % g.width) {
        ctx_fail(cx, ST_INTERNAL, "%s: %s does not divide into groups of %d along axis %d", op,
                 op_text("w", w).s, g.width, g.axis);
        return false;
    }
    *ret_dims = (struct group_dims){
        .rows = w->dim[0], .cols = w->dims == 2 ? w->dim[1] : 1, .width = g.width, .axis = g.axis};
    *ret_groups = along / g.width;
    return true;
}
