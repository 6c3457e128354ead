/* matmul_nt.c - y[B,M,N] = k a[B,M,C] b[B,N,C]^T. da = k dy b, db = k dy^T a. */
#include "engine/op/support.h"

struct matmul_node {
    struct node node;
    struct tensor *y, *a, *b;
    double k;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct matmul_node *n = (struct matmul_node *)node;
    ctx_backend(cx)->matmul_nt_bwd(n->a->grad, n->b->grad, n->y->grad, n->a->data, n->b->data,
                                   n->y->dim[0], n->y->dim[1], n->y->dim[2], n->a->dim[2], n->k);
}

struct tensor *op_matmul_nt(struct ctx *cx, struct tensor *a, struct tensor *b, double k)
{
    if (!OP_READY(cx, "matmul_nt", a, b))
        return NULL;
    if (a->dims != 3 || b->dims != 3 || a->dim[0] != b->dim[0] || a->dim[2] != b->dim[2]) {
        ctx_fail(cx, ST_INTERNAL, "matmul_nt: %s does not fit %s", op_text("a", a).s,
                 op_text("b", b).s);
        return NULL;
    }
    struct tensor *y =
        ctx_tensor(cx, op_wants(a) || op_wants(b), 3, (int64_t[]){a->dim[0], a->dim[1], b->dim[1]});
    struct matmul_node *n = OP_RECORD(cx, matmul_node, backward, y, a, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->a = a, n->b = b, n->k = k;
    ctx_backend(cx)->matmul_nt_fwd(y->data, a->data, b->data, y->dim[0], y->dim[1], y->dim[2],
                                   a->dim[2], k);
    return y;
}
