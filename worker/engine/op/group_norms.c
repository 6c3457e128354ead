/* group_norms.c - norm sum_j sqrt(n_j) sqrt(||a_j - b_j||^2 + 1e-8), a group being several slices
 * of several matrices: R_align on the tape (docs/internals/method.md 5). da = norm sqrt(n_j) (a -
 * b) / root_j, db = -da. */
#include "engine/op/support.h"

#include <math.h>

/* One slice as a rectangle, with the group it belongs to. */
struct rectangle {
    struct tensor *a, *b;
    int64_t at, stride, rows, cols;
    int group;
};

struct norms_node {
    struct node node;
    struct tensor *loss;
    real *root;
    const struct rectangle *slice; /* n of them, in the step's host memory */
    int n;
    const double *k; /* norm sqrt(n_j) */
};

static void backward(struct ctx *cx, struct node *node)
{
    struct norms_node *n = (struct norms_node *)node;
    for (int i = 0; i < n->n; i++) {
        const struct rectangle *r = &n->slice[i];
        real *da = r->a->grad, *db = r->b ? r->b->grad : NULL;
        if (da || db)
            ctx_backend(cx)->slice_pull(da ? da + r->at : NULL, db ? db + r->at : NULL,
                                        n->loss->grad, n->root + r->group, r->a->data + r->at,
                                        r->b ? r->b->data + r->at : NULL, r->stride, r->rows,
                                        r->cols, n->k[r->group]);
    }
}

static bool rectangle(struct ctx *cx, const struct group_slice *s, int group, struct rectangle *ret)
{
    struct group_dims d;
    int64_t groups;
    if (!OP_READY(cx, "group_norms", s->a) ||
        !op_groups(cx, "group_norms", s->a, s->layout, &d, &groups))
        return false;
    if (s->group < 0 || s->group >= groups || (s->b && !op_same_shape(s->a, s->b))) {
        ctx_fail(cx, ST_INTERNAL, "group_norms: group %d of %s and %s", s->group,
                 op_text("a", s->a).s, s->b ? op_text("b", s->b).s : "nothing");
        return false;
    }
    bool by_rows = d.axis == 0;
    *ret = (struct rectangle){.a = s->a,
                              .b = s->b,
                              .at = s->group * d.width * (by_rows ? d.cols : 1),
                              .stride = d.cols,
                              .rows = by_rows ? d.width : d.rows,
                              .cols = by_rows ? d.cols : d.width,
                              .group = group};
    return true;
}

/* Fills the n rectangles and k_j = norm sqrt(n_j); ret_wants: whether any gradient flows. */
static bool collect(struct ctx *cx, const struct group_slice *slices, const int *first, int ngroups,
                    double norm, struct rectangle *rect, double *k, bool *ret_wants)
{
    *ret_wants = false;
    for (int j = 0; j < ngroups; j++) {
        int64_t elements = 0;
        for (int i = first[j]; i < first[j + 1]; i++) {
            struct rectangle *r = &rect[i - first[0]];
            if (!rectangle(cx, &slices[i], j, r))
                return false;
            elements += r->rows * r->cols;
            *ret_wants = *ret_wants || op_wants(r->a) || op_wants(r->b);
        }
        k[j] = norm * sqrt((double)elements);
    }
    return true;
}

static void forward(struct ctx *cx, real *loss, real *root, const struct rectangle *rect, int n,
                    const double *k, int ngroups)
{
    real *square = op_reals(cx, ngroups), *weight = ctx_host(cx, (size_t)ngroups * sizeof *weight);
    for (int j = 0; weight && j < ngroups; j++)
        weight[j] = (real)k[j];
    const real *own_weight =
        weight ? ctx_upload(cx, weight, (size_t)ngroups * sizeof *weight) : NULL;
    if (!ctx_ok(cx))
        return;
    ctx_backend(cx)->memory->zero(square, (size_t)ngroups * sizeof *square);
    for (int i = 0; i < n; i++) {
        const struct rectangle *r = &rect[i];
        ctx_backend(cx)->slice_square(square + r->group, r->a->data + r->at,
                                      r->b ? r->b->data + r->at : NULL, r->stride, r->rows,
                                      r->cols);
    }
    ctx_backend(cx)->group_norms_fwd(loss, root, square, own_weight, ngroups, 1);
}

static struct norms_node *record(struct ctx *cx, struct tensor *loss, const struct rectangle *rect,
                                 int n)
{
    struct tensor **in = ctx_host(cx, 2 * (size_t)n * sizeof *in);
    for (int i = 0; in && i < n; i++) {
        in[2 * i] = rect[i].a;
        in[2 * i + 1] = rect[i].b;
    }
    return in ? ctx_record(cx, sizeof(struct norms_node), backward, loss, 2 * n, in) : NULL;
}

struct tensor *op_group_norms(struct ctx *cx, const struct group_slice *slices, const int *first,
                              int ngroups, double norm)
{
    if (!ctx_ok(cx))
        return NULL;
    int n = first[ngroups] - first[0];
    struct rectangle *rect = ctx_host(cx, (size_t)n * sizeof *rect);
    double *k = ctx_host(cx, (size_t)ngroups * sizeof *k);
    bool wants;
    if (!rect || !k || !collect(cx, slices, first, ngroups, norm, rect, k, &wants))
        return NULL;
    struct tensor *loss = op_scalar(cx, wants);
    real *root = op_reals(cx, ngroups);
    struct norms_node *node = loss ? record(cx, loss, rect, n) : NULL;
    if (!loss || !ctx_ok(cx))
        return NULL;
    if (node) {
        node->loss = loss, node->root = root;
        node->slice = rect, node->n = n, node->k = k;
    }
    forward(cx, loss->data, root, rect, n, k, ngroups);
    return ctx_ok(cx) ? loss : NULL;
}
