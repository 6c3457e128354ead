/* match.c - the matching cost of boxes and queries, on host values (docs/spec/model-mdetr.md 4). */
#include "engine/model/losses.h"
#include "engine/model/matcher.h"

#include <math.h>

/* GIoU = IoU - (hull - union) / hull (Rezatofighi et al. 2019); boxes cx cy w h. */
static double giou(const real *a, const real *b)
{
    double inter = 1, hull = 1, area_a = 1, area_b = 1;
    for (int k = 0; k < 2; k++) {
        double a0 = (double)a[k] - (double)a[k + 2] / 2, a1 = a0 + (double)a[k + 2];
        double b0 = (double)b[k] - (double)b[k + 2] / 2, b1 = b0 + (double)b[k + 2];
        inter *= fmax(0, fmin(a1, b1) - fmax(a0, b0));
        hull *= fmax(a1, b1) - fmin(a0, b0);
        area_a *= a1 - a0;
        area_b *= b1 - b0;
    }
    double both = area_a + area_b - inter;
    return both > 0 && hull > 0 ? inter / both - (hull - both) / hull : -1;
}

static double l1(const real *a, const real *b)
{
    double sum = 0;
    for (int k = 0; k < 4; k++)
        sum += fabs((double)a[k] - (double)b[k]);
    return sum;
}

static void softmax(double *to, const real *x, int64_t n)
{
    double max = (double)x[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        max = fmax(max, (double)x[i]);
    for (int64_t i = 0; i < n; i++)
        sum += to[i] = exp((double)x[i] - max);
    for (int64_t i = 0; i < n; i++)
        to[i] /= sum;
}

/* Probability that query says the tokens of the box. */
static double token_prob(const double *prob, int64_t S, const uint8_t *positive, int64_t L)
{
    double sum = 0;
    for (int64_t l = 0; l < L && l < S - 1; l++)
        if (positive[l])
            sum += prob[l];
    return sum;
}

struct match_work {
    double *cost, *prob; /* [boxes of an image, Q], [S] */
    int32_t *query_of;   /* [boxes of an image] */
    void *assign;
};

static bool work_get(struct ctx *cx, struct scratch *s, const struct batch *batch, int64_t Q,
                     int64_t S, struct match_work *w)
{
    int most = 0;
    for (int64_t b = 0; b < batch->B; b++) {
        int n = batch->first_box[b + 1] - batch->first_box[b];
        most = n > most ? n : most;
    }
    w->cost = scratch_get(s, cx, (size_t)most * (size_t)Q, sizeof *w->cost);
    w->prob = scratch_get(s, cx, (size_t)S, sizeof *w->prob);
    w->query_of = scratch_get(s, cx, (size_t)most, sizeof *w->query_of);
    w->assign = scratch_get(s, cx, 1, matcher_work(most, (int)Q));
    return ctx_ok(cx);
}

static void image_costs(double *cost, double *prob, const real *logits, const real *box,
                        const struct batch *batch, int first, int n, int64_t Q, int64_t S)
{
    for (int64_t q = 0; q < Q; q++) {
        softmax(prob, logits + q * S, S);
        for (int g = 0; g < n; g++) {
            const real *truth = batch->box + (int64_t)(first + g) * 4;
            const uint8_t *positive = batch->positive + (int64_t)(first + g) * batch->L;
            cost[g * Q + q] = 5 * l1(box + q * 4, truth) - token_prob(prob, S, positive, batch->L) -
                              2 * giou(box + q * 4, truth);
        }
    }
}

void losses_match(struct ctx *cx, struct scratch *s, const struct layer_answer *a,
                  const struct batch *batch, struct match *m)
{
    struct match_work w;
    *m = (struct match){0};
    const real *logits = scratch_download(s, cx, a->logits);
    const real *box = scratch_download(s, cx, a->box);
    if (!ctx_ok(cx))
        return;
    int64_t Q = a->logits->dim[1], S = a->logits->dim[2];
    size_t boxes = (size_t)(batch->first_box[batch->B] - batch->first_box[0]);
    m->row = scratch_get(s, cx, boxes, sizeof *m->row);
    m->box = scratch_get(s, cx, boxes, sizeof *m->box);
    if (!work_get(cx, s, batch, Q, S, &w))
        return;
    for (int64_t b = 0; b < batch->B; b++) {
        int first = batch->first_box[b], n = batch->first_box[b + 1] - first;
        image_costs(w.cost, w.prob, logits + b * Q * S, box + b * Q * 4, batch, first, n, Q, S);
        matcher_assign(w.query_of, w.cost, n, (int)Q, w.assign);
        for (int g = 0; g < n; g++) {
            if (w.query_of[g] < 0)
                continue;
            m->row[m->n] = (int32_t)(b * Q + w.query_of[g]);
            m->box[m->n++] = first + g;
        }
    }
}
