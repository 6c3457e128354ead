/* losses.c - soft-token cross entropy, box L1 and GIoU, contrastive alignment, on every decoder
 * layer. */
#include "engine/model/losses.h"

#include "engine/op/op.h"

#include <math.h>

enum { CE, BBOX, GIOU, ALIGN, TERMS };
static const double weight_of[TERMS] = {[CE] = 1, [BBOX] = 5, [GIOU] = 2, [ALIGN] = 1};
static const double no_object_weight = 0.1;
static const double temperature = 0.07;

/* What one layer's matching says the answers should be. Host memory. */
struct targets {
    real *soft, *weight; /* [B*Q,S], [B*Q]: cross entropy */
    real *box;           /* [n,4] */
    uint8_t *positive;   /* [B,Q,L] */
};

static bool targets_get(struct ctx *cx, struct scratch *s, const struct batch *batch, int64_t Q,
                        int64_t S, int n, struct targets *t)
{
    size_t rows = (size_t)(batch->B * Q);
    t->soft = scratch_get(s, cx, rows * (size_t)S, sizeof *t->soft);
    t->weight = scratch_get(s, cx, rows, sizeof *t->weight);
    t->box = scratch_get(s, cx, (size_t)n * 4, sizeof *t->box);
    t->positive = scratch_get(s, cx, rows * (size_t)batch->L, 1);
    return ctx_ok(cx);
}

static void targets_unmatched(struct targets *t, int64_t rows, int64_t S)
{
    for (int64_t r = 0; r < rows; r++) {
        t->soft[r * S + S - 1] = 1;
        t->weight[r] = (real)no_object_weight;
    }
}

static void targets_matched(struct targets *t, const struct batch *batch, const struct match *m,
                            int64_t S)
{
    int64_t L = batch->L;
    for (int i = 0; i < m->n; i++) {
        int64_t row = m->row[i], box = m->box[i];
        t->weight[row] = 1;
        t->soft[row * S + S - 1] = 0;
        for (int64_t l = 0; l < L; l++) {
            uint8_t in = batch->positive[box * L + l] != 0;
            t->positive[row * L + l] = in;
            if (in && l < S - 1) /* a token beyond the last slot cannot be pointed at */
                t->soft[row * S + l] = 1;
        }
        for (int k = 0; k < 4; k++)
            t->box[i * 4 + k] = batch->box[box * 4 + k];
    }
}

static struct tensor *align_term(struct ctx *cx, const struct layer_answer *a, struct tensor *text,
                                 const uint8_t *positive, double norm)
{
    struct tensor *z = op_matmul_nt(cx, a->align, text, 1 / temperature);
    return op_align_loss(cx, z, positive, norm);
}

static void layer_terms(struct ctx *cx, struct scratch *s, const struct layer_answer *a,
                        struct tensor *text, const struct batch *batch, struct tensor **term)
{
    struct match m;
    struct targets t;
    losses_match(cx, s, a, batch, &m);
    if (!ctx_ok(cx))
        return;
    int64_t Q = a->logits->dim[1], S = a->logits->dim[2], rows = batch->B * Q;
    if (!targets_get(cx, s, batch, Q, S, m.n, &t))
        return;
    targets_unmatched(&t, rows, S);
    targets_matched(&t, batch, &m, S);
    double norm = 1 / batch->norm_boxes;
    int64_t flat_logits[2] = {rows, S}, flat_box[2] = {rows, 4};
    struct tensor *logits = ctx_view(cx, a->logits, 2, flat_logits);
    struct tensor *box = ctx_view(cx, a->box, 2, flat_box);
    term[CE] = op_soft_ce(cx, logits, t.soft, t.weight, norm);
    term[BBOX] = op_l1_rows(cx, box, m.row, t.box, m.n, norm);
    term[GIOU] = op_giou_rows(cx, box, m.row, t.box, m.n, norm);
    term[ALIGN] = align_term(cx, a, text, t.positive, norm);
}

static void report(struct ctx *cx, struct scratch *s, const struct tensor *hs,
                   struct tensor *const *term, const struct tensor *total, struct model_losses *ret)
{
    if (!hs)
        return;
    int64_t d = tensor_last(hs);
    const real *rows = scratch_download(s, cx, hs);
    double *work = scratch_get(s, cx, (size_t)d, sizeof *work);
    struct model_losses values = {
        .total = scratch_scalar(s, cx, total),
        .ce = scratch_scalar(s, cx, term[CE]),
        .bbox = scratch_scalar(s, cx, term[BBOX]),
        .giou = scratch_scalar(s, cx, term[GIOU]),
        .contrast = scratch_scalar(s, cx, term[ALIGN]),
    };
    if (!ctx_ok(cx))
        return;
    values.query_cosine = losses_query_cosine(rows, hs->dim[0], hs->dim[1], d, work);
    *ret = values;
}

struct tensor *losses_grounding(struct ctx *cx, struct scratch *s, const struct answers *a,
                                const struct batch *batch, struct model_losses *ret)
{
    int n = a->layers * TERMS;
    struct tensor **term = scratch_get(s, cx, (size_t)n, sizeof(struct tensor *));
    double *weight = scratch_get(s, cx, (size_t)n, sizeof *weight);
    if (!ctx_ok(cx))
        return NULL;
    for (int l = 0; l < a->layers; l++)
        layer_terms(cx, s, &a->layer[l], a->align_text, batch, term + l * TERMS);
    for (int i = 0; i < n; i++)
        weight[i] = weight_of[i % TERMS];
    struct tensor *total = op_weighted_sum(cx, term, weight, n);
    report(cx, s, a->layer[a->layers - 1].hs, term + n - TERMS, total, ret);
    return total;
}

/* Sum over all ordered pairs i != j of cos(x_i, x_j) = |sum of unit rows|^2 - sum of |unit row|^2. */
static double pair_cosines(const real *x, int64_t Q, int64_t d, double *sum)
{
    double own = 0, all = 0;
    for (int64_t c = 0; c < d; c++)
        sum[c] = 0;
    for (int64_t q = 0; q < Q; q++, x += d) {
        double length = 0;
        for (int64_t c = 0; c < d; c++)
            length += (double)x[c] * (double)x[c];
        if (length > 0)
            own += 1;
        for (int64_t c = 0; c < d && length > 0; c++)
            sum[c] += (double)x[c] / sqrt(length);
    }
    for (int64_t c = 0; c < d; c++)
        all += sum[c] * sum[c];
    return all - own;
}

double losses_query_cosine(const real *hs, int64_t B, int64_t Q, int64_t d, double *work)
{
    double sum = 0;
    if (B < 1 || Q < 2)
        return 0;
    for (int64_t b = 0; b < B; b++)
        sum += pair_cosines(hs + b * Q * d, Q, d, work);
    return sum / ((double)B * (double)Q * (double)(Q - 1));
}
