/* box_loss.c - L1 distance and 1 - GIoU of chosen rows of x [R,4] to targets y [n,4], boxes cx cy w
 * h. */
#include "engine/op/support.h"

struct box_node {
    struct node node;
    struct tensor *loss, *x;
    const int32_t *row;
    const real *y;
    int64_t n;
    double norm;
};

static void l1_backward(struct ctx *cx, struct node *node)
{
    struct box_node *n = (struct box_node *)node;
    ctx_backend(cx)->l1_rows_bwd(n->x->grad, n->loss->grad, n->x->data, n->row, n->y, n->n,
                                 n->norm);
}

static void giou_backward(struct ctx *cx, struct node *node)
{
    struct box_node *n = (struct box_node *)node;
    ctx_backend(cx)->giou_rows_bwd(n->x->grad, n->loss->grad, n->x->data, n->row, n->y, n->n,
                                   n->norm);
}

static bool check(struct ctx *cx, const char *op, const struct tensor *x, const int32_t *row, int n)
{
    if (tensor_last(x) != 4)
        ctx_fail(cx, ST_INTERNAL, "%s: %s is not a list of boxes", op, op_text("x", x).s);
    for (int i = 0; i < n && ctx_ok(cx); i++)
        if (row[i] < 0 || row[i] >= tensor_rows(x))
            ctx_fail(cx, ST_INTERNAL, "%s: no row %d in %s", op, (int)row[i], op_text("x", x).s);
    return ctx_ok(cx);
}

/* Everything but the kernel. `ret` is the node, or a filled one outside the tape when nothing is
 * recorded. */
static bool prepare(struct ctx *cx, const char *op, struct tensor *x, const int32_t *row,
                    const real *y, int n, double norm,
                    void (*backward)(struct ctx *, struct node *), struct box_node *ret)
{
    if (!OP_READY(cx, op, x) || !check(cx, op, x, row, n))
        return false;
    struct tensor *loss = op_scalar(cx, op_wants(x));
    ret->row = ctx_upload(cx, row, (size_t)n * sizeof *row);
    ret->y = ctx_upload(cx, y, (size_t)n * 4 * sizeof *y);
    struct box_node *node = OP_RECORD(cx, box_node, backward, loss, x);
    if (!ctx_ok(cx))
        return false;
    ret->loss = loss, ret->x = x;
    ret->n = n, ret->norm = norm;
    if (node) {
        ret->node = node->node;
        *node = *ret;
    }
    return true;
}

struct tensor *op_l1_rows(struct ctx *cx, struct tensor *x, const int32_t *row, const real *y,
                          int n, double norm)
{
    struct box_node b;
    if (!prepare(cx, "l1_rows", x, row, y, n, norm, l1_backward, &b))
        return NULL;
    ctx_backend(cx)->l1_rows_fwd(b.loss->data, x->data, b.row, b.y, n, norm);
    return b.loss;
}

struct tensor *op_giou_rows(struct ctx *cx, struct tensor *x, const int32_t *row, const real *y,
                            int n, double norm)
{
    struct box_node b;
    if (!prepare(cx, "giou_rows", x, row, y, n, norm, giou_backward, &b))
        return NULL;
    ctx_backend(cx)->giou_rows_fwd(b.loss->data, x->data, b.row, b.y, n, norm);
    return b.loss;
}
