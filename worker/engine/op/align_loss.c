/* align_loss.c - contrastive alignment of queries and tokens (docs/spec/model-mdetr.md 5): over z
 * [B,Q,L], for every row and every column with a positive, -(sum_pos z)/(npos + 1e-6) + logsumexp
 * z; times norm/2. */
#include "engine/op/support.h"

struct align_node {
    struct node node;
    struct tensor *loss, *z;
    real *row_lse, *col_lse;
    const uint8_t *pos;
    double norm;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct align_node *n = (struct align_node *)node;
    ctx_backend(cx)->align_loss_bwd(n->z->grad, n->loss->grad, n->row_lse, n->col_lse, n->z->data,
                                    n->pos, n->z->dim[0], n->z->dim[1], n->z->dim[2], n->norm);
}

struct tensor *op_align_loss(struct ctx *cx, struct tensor *z, const uint8_t *pos, double norm)
{
    if (!OP_READY(cx, "align_loss", z))
        return NULL;
    if (z->dims != 3) {
        ctx_fail(cx, ST_INTERNAL, "align_loss: %s is not [B,Q,L]", op_text("z", z).s);
        return NULL;
    }
    int64_t B = z->dim[0], Q = z->dim[1], L = z->dim[2];
    struct tensor *loss = op_scalar(cx, op_wants(z));
    real *row_lse = op_reals(cx, B * Q), *col_lse = op_reals(cx, B * L);
    const uint8_t *own_pos = ctx_upload(cx, pos, (size_t)(B * Q * L));
    struct align_node *n = OP_RECORD(cx, align_node, backward, loss, z);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->loss = loss, n->z = z;
        n->row_lse = row_lse, n->col_lse = col_lse;
        n->pos = own_pos, n->norm = norm;
    }
    ctx_backend(cx)->align_loss_fwd(loss->data, row_lse, col_lse, z->data, own_pos, B, Q, L, norm);
    return loss;
}
