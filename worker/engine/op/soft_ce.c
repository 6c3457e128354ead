/* soft_ce.c - cross entropy against a row of weights: norm sum_r w_r sum_s -y_rs log
 * softmax(x_r)_s. The softmax is kept; dx_rs = norm w_r (p_rs sum_t y_rt - y_rs). */
#include "engine/op/support.h"

struct soft_ce_node {
    struct node node;
    struct tensor *loss, *x;
    real *p;
    const real *y, *w;
    double norm;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct soft_ce_node *n = (struct soft_ce_node *)node;
    ctx_backend(cx)->soft_ce_bwd(n->x->grad, n->loss->grad, n->p, n->y, n->w, tensor_rows(n->x),
                                 tensor_last(n->x), n->norm);
}

struct tensor *op_soft_ce(struct ctx *cx, struct tensor *x, const real *y, const real *w,
                          double norm)
{
    if (!OP_READY(cx, "soft_ce", x))
        return NULL;
    int64_t R = tensor_rows(x), S = tensor_last(x);
    struct tensor *loss = op_scalar(cx, op_wants(x));
    real *p = op_reals(cx, R * S);
    const real *own_y = ctx_upload(cx, y, (size_t)(R * S) * sizeof *y);
    const real *own_w = ctx_upload(cx, w, (size_t)R * sizeof *w);
    struct soft_ce_node *n = OP_RECORD(cx, soft_ce_node, backward, loss, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->loss = loss, n->x = x, n->p = p;
        n->y = own_y, n->w = own_w, n->norm = norm;
    }
    ctx_backend(cx)->soft_ce_fwd(loss->data, p, x->data, own_y, own_w, R, S, norm);
    return loss;
}
