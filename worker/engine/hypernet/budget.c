/* budget.c - R, how far the drawn structure's size is from the target (method.md 5), as an operator:
 *
 *     R = |log(P / (p P_total))|      dR/dm = sign dP/dm / P, dR/ds likewise
 *
 * P and its gradient are structure_params()'s. At P = p P_total, where R has a corner, the gradient is 0.
 */
#include "engine/backend/backend.h"
#include "engine/hypernet/hypernet_net.h"
#include "engine/op/op.h"

#include <math.h>

struct budget_node {
    struct node node;
    struct tensor *r, *m, *s;
    const real *dm, *ds; /* dR/dm, dR/ds in the backend's memory */
};

static void backward(struct ctx *cx, struct node *node)
{
    struct budget_node *n = (struct budget_node *)node;
    real dr;
    ctx_backend(cx)->memory->sync();
    ctx_backend(cx)->memory->download(&dr, n->r->grad, sizeof dr);
    if (n->m->grad)
        ctx_backend(cx)->axpy(n->m->grad, n->dm, dr, tensor_size(n->m));
    if (n->s->grad)
        ctx_backend(cx)->axpy(n->s->grad, n->ds, dr, tensor_size(n->s));
}

static double *to_doubles(struct ctx *cx, const struct tensor *x)
{
    int64_t n = tensor_size(x);
    real *v = ctx_host(cx, (size_t)n * sizeof *v);
    double *d = ctx_host(cx, (size_t)n * sizeof *d);
    if (!ctx_ok(cx))
        return NULL;
    ctx_backend(cx)->memory->sync();
    ctx_backend(cx)->memory->download(v, x->data, (size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++)
        d[i] = v[i];
    return d;
}

static const real *scaled(struct ctx *cx, const double *x, double k, int64_t n)
{
    real *v = ctx_host(cx, (size_t)n * sizeof *v);
    for (int64_t i = 0; v && i < n; i++)
        v[i] = (real)(k * x[i]);
    return v ? ctx_upload(cx, v, (size_t)n * sizeof *v) : NULL;
}

struct tensor *hypernet_budget(struct ctx *cx, struct hypernet *hn,
                               const struct hypernet_sample *sample, double target,
                               double *ret_params)
{
    if (!ctx_ok(cx))
        return NULL;
    const struct frame *f = hn->frame;
    size_t bytes = (size_t)f->ngroups * sizeof(double);
    double *m = to_doubles(cx, sample->m_hard), *s = to_doubles(cx, sample->s_hard);
    double *dm = ctx_host(cx, bytes), *ds = ctx_host(cx, bytes);
    bool wants = sample->m_hard->grad || sample->s_hard->grad;
    struct tensor *r = ctx_tensor(cx, wants, 0, NULL);
    if (!ctx_ok(cx))
        return NULL;
    double goal = target * (double)f->total;
    double P = fmax(structure_params(f, m, s, dm, ds), 1); /* a frame may be nothing but sites */
    double sign = P > goal ? 1 : P < goal ? -1 : 0;
    real value = (real)fabs(log(P / goal));
    ctx_backend(cx)->memory->upload(r->data, &value, sizeof value);
    struct tensor *in[2] = {sample->m_hard, sample->s_hard};
    struct budget_node *n = ctx_record(cx, sizeof *n, backward, r, 2, in);
    if (n) {
        n->r = r, n->m = sample->m_hard, n->s = sample->s_hard;
        n->dm = scaled(cx, dm, sign / P, f->ngroups);
        n->ds = scaled(cx, ds, sign / P, f->ngroups);
    }
    *ret_params = P;
    return ctx_ok(cx) ? r : NULL;
}
