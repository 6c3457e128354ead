/* gru_cell.c - one GRU step (Cho et al. 2014; PyTorch's GRUCell, gate order r,z,n): gi = w_ih x +
 * b_ih, gh = w_hh h + b_hh, r = s(gi_r + gh_r), z = s(gi_z + gh_z), c = tanh(gi_n + r gh_n), y = (1
 * - z) c + z h. */
#include "engine/op/support.h"

struct gru_node {
    struct node node;
    struct tensor *y, *x, *h, *w_ih, *w_hh, *b_ih, *b_hh;
    real *gate, *gh, *dgi, *dgh; /* [3D] each */
};

static void backward(struct ctx *cx, struct node *node)
{
    struct gru_node *n = (struct gru_node *)node;
    const struct backend *be = ctx_backend(cx);
    int64_t D = n->h->dim[0], I = n->x->dim[0];
    be->memory->zero(n->dgi, (size_t)(3 * D) * sizeof(real));
    be->memory->zero(n->dgh, (size_t)(3 * D) * sizeof(real));
    be->gru_gates_bwd(n->dgi, n->dgh, n->h->grad, n->y->grad, n->gate, n->gh, n->h->data, D);
    be->linear_bwd(n->x->grad, n->w_ih->grad, n->b_ih->grad, n->dgi, NULL, NULL, n->x->data,
                   n->w_ih->data, 1, I, 3 * D, ACT_NONE, 0);
    be->linear_bwd(n->h->grad, n->w_hh->grad, n->b_hh->grad, n->dgh, NULL, NULL, n->h->data,
                   n->w_hh->data, 1, D, 3 * D, ACT_NONE, 0);
}

static bool matrix(const struct tensor *w, int64_t rows, int64_t cols)
{
    return w->dims == 2 && w->dim[0] == rows && w->dim[1] == cols;
}

static bool vector(const struct tensor *b, int64_t n)
{
    return b->dims == 1 && b->dim[0] == n;
}

struct tensor *op_gru_cell(struct ctx *cx, struct tensor *x, struct tensor *h, struct tensor *w_ih,
                           struct tensor *w_hh, struct tensor *b_ih, struct tensor *b_hh)
{
    if (!OP_READY(cx, "gru_cell", x, h, w_ih, w_hh, b_ih, b_hh))
        return NULL;
    int64_t I = tensor_last(x), D = tensor_last(h);
    if (!vector(x, I) || !vector(h, D) || !matrix(w_ih, 3 * D, I) || !matrix(w_hh, 3 * D, D) ||
        !vector(b_ih, 3 * D) || !vector(b_hh, 3 * D)) {
        ctx_fail(cx, ST_INTERNAL, "gru_cell: %s, %s, %s and %s do not fit", op_text("x", x).s,
                 op_text("h", h).s, op_text("w_ih", w_ih).s, op_text("w_hh", w_hh).s);
        return NULL;
    }
    bool wants = op_wants(x) || op_wants(h) || op_wants(w_ih) || op_wants(w_hh) || op_wants(b_ih) ||
                 op_wants(b_hh);
    struct tensor *y = op_like(cx, h, wants);
    real *gate = op_reals(cx, 3 * D), *gi = op_reals(cx, 3 * D), *gh = op_reals(cx, 3 * D);
    real *dgh = y && y->grad ? op_reals(cx, 3 * D) : NULL;
    struct gru_node *n = OP_RECORD(cx, gru_node, backward, y, x, h, w_ih, w_hh, b_ih, b_hh);
    if (!y || !ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->x = x, n->h = h;
        n->w_ih = w_ih, n->w_hh = w_hh, n->b_ih = b_ih, n->b_hh = b_hh;
        n->gate = gate, n->gh = gh;
        n->dgi = gi, n->dgh = dgh; /* gi is not read again: its memory serves backward */
    }
    const struct backend *be = ctx_backend(cx);
    be->linear_fwd(gi, NULL, x->data, w_ih->data, b_ih->data, 1, I, 3 * D, ACT_NONE);
    be->linear_fwd(gh, NULL, h->data, w_hh->data, b_hh->data, 1, D, 3 * D, ACT_NONE);
    be->gru_gates_fwd(y->data, gate, gi, gh, h->data, D);
    return y;
}
