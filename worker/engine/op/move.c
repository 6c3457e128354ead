/* move.c - what only moves numbers: concatenating, slicing, repeating, stacking. Backward adds
 * every rectangle back to where it came from. */
#include "engine/op/support.h"

#include <string.h>

struct move_node {
    struct node node;
    struct tensor *y;
    int n;
    struct op_piece piece[];
};

static void backward(struct ctx *cx, struct node *node)
{
    struct move_node *m = (struct move_node *)node;
    for (int i = 0; i < m->n; i++) {
        const struct op_piece *p = &m->piece[i];
        if (p->x->grad)
            ctx_backend(cx)->copy2d_bwd(p->x->grad + p->x_at, p->x_stride, m->y->grad + p->y_at,
                                        p->y_stride, p->rows, p->cols);
    }
}

static bool record(struct ctx *cx, struct tensor *y, const struct op_piece *piece, int n)
{
    size_t bytes = (size_t)n * sizeof *piece;
    struct tensor **in = ctx_host(cx, (size_t)n * sizeof *in);
    for (int i = 0; in && i < n; i++)
        in[i] = piece[i].x;
    struct move_node *m = in ? ctx_record(cx, sizeof *m + bytes, backward, y, n, in) : NULL;
    if (!m)
        return false;
    m->y = y;
    m->n = n;
    m->node.reads = 0;
    memcpy(m->piece, piece, bytes);
    return true;
}

struct tensor *op_move(struct ctx *cx, struct tensor *y, const struct op_piece *piece, int n)
{
    if (!y)
        return NULL;
    if (y->grad && !record(cx, y, piece, n) && ctx_keeps(cx))
        return NULL;
    for (int i = 0; i < n; i++) {
        const struct op_piece *p = &piece[i];
        ctx_backend(cx)->copy2d_fwd(y->data + p->y_at, p->y_stride, p->x->data + p->x_at,
                                    p->x_stride, p->rows, p->cols);
    }
    return y;
}

/* [R,na] and [R,nb] beside each other, in an output of x's dimensions with dimension `along`
 * replaced. */
static struct tensor *concat(struct ctx *cx, struct tensor *a, struct tensor *b, int along)
{
    int64_t dim[TENSOR_DIMS], rows = 1, tail = 1;
    memcpy(dim, a->dim, sizeof dim);
    dim[along] = a->dim[along] + b->dim[along];
    for (int i = 0; i < a->dims; i++)
        *(i < along ? &rows : &tail) *= i == along ? 1 : a->dim[i];
    struct tensor *y = ctx_tensor(cx, op_wants(a) || op_wants(b), a->dims, dim);
    int64_t na = a->dim[along] * tail, nb = b->dim[along] * tail;
    struct op_piece piece[] = {
        {.x = a, .x_stride = na, .y_stride = na + nb, .rows = rows, .cols = na},
        {.x = b, .x_stride = nb, .y_at = na, .y_stride = na + nb, .rows = rows, .cols = nb},
    };
    return op_move(cx, y, piece, 2);
}

static struct tensor *slice(struct ctx *cx, struct tensor *x, int along, int64_t from,
                            int64_t count)
{
    int64_t dim[TENSOR_DIMS], rows = 1, tail = 1;
    memcpy(dim, x->dim, sizeof dim);
    dim[along] = count;
    for (int i = 0; i < x->dims; i++)
        *(i < along ? &rows : &tail) *= i == along ? 1 : x->dim[i];
    struct tensor *y = ctx_tensor(cx, op_wants(x), x->dims, dim);
    struct op_piece piece = {.x = x,
                             .x_at = from * tail,
                             .x_stride = x->dim[along] * tail,
                             .y_stride = count * tail,
                             .rows = rows,
                             .cols = count * tail};
    return op_move(cx, y, &piece, 1);
}

/* Equal in every dimension but `along`. */
static bool side_by_side(const struct tensor *a, const struct tensor *b, int along)
{
    if (a->dims != b->dims || along < 0 || along >= a->dims)
        return false;
    for (int i = 0; i < a->dims; i++)
        if (i != along && a->dim[i] != b->dim[i])
            return false;
    return true;
}

struct tensor *op_concat_time(struct ctx *cx, struct tensor *a, struct tensor *b)
{
    if (!OP_READY(cx, "concat_time", a, b))
        return NULL;
    if (a->dims != 3 || !side_by_side(a, b, 1)) {
        ctx_fail(cx, ST_INTERNAL, "concat_time: %s and %s do not fit", op_text("a", a).s,
                 op_text("b", b).s);
        return NULL;
    }
    return concat(cx, a, b, 1);
}

struct tensor *op_concat_last(struct ctx *cx, struct tensor *a, struct tensor *b)
{
    if (!OP_READY(cx, "concat_last", a, b))
        return NULL;
    if (!side_by_side(a, b, a->dims - 1)) {
        ctx_fail(cx, ST_INTERNAL, "concat_last: %s and %s do not fit", op_text("a", a).s,
                 op_text("b", b).s);
        return NULL;
    }
    return concat(cx, a, b, a->dims - 1);
}

static bool inside(struct ctx *cx, const char *op, const struct tensor *x, int along, int64_t from,
                   int64_t count)
{
    if (along < 0 || along >= x->dims || from < 0 || count < 0 || from > x->dim[along] - count)
        ctx_fail(cx, ST_INTERNAL, "%s: %lld from %lld on is not inside %s", op, (long long)count,
                 (long long)from, op_text("x", x).s);
    return ctx_ok(cx);
}

struct tensor *op_slice_time(struct ctx *cx, struct tensor *x, int64_t from, int64_t count)
{
    if (!OP_READY(cx, "slice_time", x) || !inside(cx, "slice_time", x, 1, from, count))
        return NULL;
    return slice(cx, x, 1, from, count);
}

struct tensor *op_slice_last(struct ctx *cx, struct tensor *x, int64_t from, int64_t count)
{
    if (!OP_READY(cx, "slice_last", x) || !inside(cx, "slice_last", x, x->dims - 1, from, count))
        return NULL;
    return slice(cx, x, x->dims - 1, from, count);
}

struct tensor *op_expand(struct ctx *cx, struct tensor *p, int64_t B)
{
    if (!OP_READY(cx, "expand", p))
        return NULL;
    if (p->dims != 2 || B < 0) {
        ctx_fail(cx, ST_INTERNAL, "expand: %s times %lld", op_text("p", p).s, (long long)B);
        return NULL;
    }
    struct tensor *y = ctx_tensor(cx, op_wants(p), 3, (int64_t[]){B, p->dim[0], p->dim[1]});
    int64_t n = tensor_size(p);
    return op_move(cx, y, &(struct op_piece){.x = p, .y_stride = n, .rows = B, .cols = n}, 1);
}

struct tensor *op_stack(struct ctx *cx, struct tensor *const *row, int n)
{
    if (!op_ready(cx, "stack", n, row))
        return NULL;
    bool wants = false;
    for (int i = 0; i < n; i++) {
        wants = wants || op_wants(row[i]);
        if (row[i]->dims != 1 || row[i]->dim[0] != row[0]->dim[0])
            ctx_fail(cx, ST_INTERNAL, "stack: %s and %s differ", op_text("row 0", row[0]).s,
                     op_text("a row", row[i]).s);
    }
    if (n < 1)
        ctx_fail(cx, ST_INTERNAL, "stack: no rows");
    struct op_piece *piece = ctx_host(cx, (size_t)n * sizeof *piece);
    if (!piece)
        return NULL;
    int64_t C = row[0]->dim[0];
    for (int i = 0; i < n; i++)
        piece[i] = (struct op_piece){.x = row[i], .y_at = i * C, .rows = 1, .cols = C};
    return op_move(cx, ctx_tensor(cx, wants, 2, (int64_t[]){n, C}), piece, n);
}
