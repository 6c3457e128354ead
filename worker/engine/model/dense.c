/* dense.c - dense auxiliary losses: every row of the fusion encoder answers for what it shows.
 *
 * A decoder sees a handful of matched queries a caption; the encoder's rows see every patch and token, so words bind to
 * objects far sooner (docs/spec/model-mdetr.md 5a). No parameters of their own: the rows go through the class and the
 * box head. Each phrase weighs 1 / norm_boxes, split evenly over its rows; what shows no phrase weighs as much as its
 * caption's phrases together. So the parts of ranks and micro-batches add up.
 */
#include "engine/model/losses.h"
#include "engine/op/op.h"

#include <math.h>

/* Weight of the rows that name nothing, against those that do. */
static const double text_no_object = 0.5;
static const double likeness_temperature = 0.1;

/* One soft target a row. Host memory. */
struct row_targets {
    real *soft, *weight; /* [rows,S], [rows] */
};

static bool targets_get(struct ctx *cx, struct scratch *s, int64_t rows, int64_t S,
                        struct row_targets *t)
{
    t->soft = scratch_get(s, cx, (size_t)(rows * S), sizeof *t->soft);
    t->weight = scratch_get(s, cx, (size_t)rows, sizeof *t->weight);
    return ctx_ok(cx);
}

/* Target `row` := the tokens of the box's phrase, mass 1 spread evenly. False if no slot can point at them. */
static bool point_at(real *soft, const struct batch *batch, int box, int64_t S)
{
    const uint8_t *positive = batch->positive + (int64_t)box * batch->L;
    int64_t last = batch->L < S - 1 ? batch->L : S - 1, n = 0;
    for (int64_t l = 0; l < last; l++)
        n += positive[l] != 0;
    for (int64_t l = 0; l < last; l++)
        soft[l] = positive[l] ? (real)(1.0 / (double)n) : 0;
    return n > 0;
}

/* The rows of one sample: which[i] >= 0 names a box, -1 nothing, -2 is padding. Phrases share 1 each; the nothings
 * `nothing` times the phrases. */
static void share_out(struct row_targets *t, const struct batch *batch, int64_t b, const int *which,
                      int64_t rows, int64_t S, double nothing)
{
    int64_t idle = 0, boxes = batch->first_box[b + 1] - batch->first_box[b];
    for (int64_t i = 0; i < rows; i++)
        idle += which[i] == -1;
    for (int64_t i = 0; i < rows; i++) {
        real *soft = t->soft + (b * rows + i) * S, *weight = &t->weight[b * rows + i];
        if (which[i] == -1) {
            soft[S - 1] = 1;
            *weight = (real)(nothing * (double)boxes / (double)idle);
        } else if (which[i] >= 0 && point_at(soft, batch, which[i], S)) {
            int64_t same = 0;
            for (int64_t k = 0; k < rows; k++)
                same += which[k] == which[i];
            *weight = (real)(1.0 / (double)same);
        }
    }
}

/* The first box of sample b whose phrase holds token l. */
static int token_box(const struct batch *batch, int64_t b, int64_t l)
{
    if (!batch->token_mask[b * batch->L + l])
        return -2;
    for (int box = batch->first_box[b]; box < batch->first_box[b + 1]; box++)
        if (batch->positive[(int64_t)box * batch->L + l])
            return box;
    return -1;
}

struct tensor *losses_text_rows(struct ctx *cx, struct scratch *s, struct tensor *logits,
                                const struct batch *batch)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t L = batch->L, S = tensor_last(logits), rows = batch->B * L, flat[2] = {rows, S};
    struct row_targets t;
    int *which = scratch_get(s, cx, (size_t)L, sizeof *which);
    if (!targets_get(cx, s, rows, S, &t))
        return NULL;
    for (int64_t b = 0; b < batch->B; b++) {
        for (int64_t l = 0; l < L; l++)
            which[l] = token_box(batch, b, l);
        share_out(&t, batch, b, which, L, S, text_no_object);
    }
    return op_soft_ce(cx, ctx_view(cx, logits, 2, flat), t.soft, t.weight, 1 / batch->norm_boxes);
}

struct tensor *losses_image_rows(struct ctx *cx, struct scratch *s, struct tensor *logits,
                                 const struct batch *batch, int64_t patch)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t N = logits->dim[1], S = tensor_last(logits), rows = batch->B * N, flat[2] = {rows, S};
    struct row_targets t;
    int *which = scratch_get(s, cx, (size_t)N, sizeof *which);
    if (!targets_get(cx, s, rows, S, &t))
        return NULL;
    for (int64_t b = 0; b < batch->B; b++) {
        for (int64_t i = 0; i < N; i++)
            which[i] = patch_box(batch, patch, b * N + i);
        share_out(&t, batch, b, which, N, S, 1);
    }
    return op_soft_ce(cx, ctx_view(cx, logits, 2, flat), t.soft, t.weight, 1 / batch->norm_boxes);
}

/* An object covers some sqrt(N) patches: what is summed over its patches weighs about as much as one query. */
static double patch_norm(const struct batch *batch, int64_t N)
{
    return 1 / (batch->norm_boxes * sqrt((double)N));
}

struct tensor *losses_image_boxes(struct ctx *cx, struct scratch *s, struct tensor *box,
                                  const struct batch *batch, int64_t patch)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t N = box->dim[1], rows = batch->B * N, flat[2] = {rows, 4};
    int32_t *row = scratch_get(s, cx, (size_t)rows, sizeof *row);
    real *truth = scratch_get(s, cx, (size_t)rows * 4, sizeof *truth);
    int n = 0;
    if (!ctx_ok(cx))
        return NULL;
    for (int64_t i = 0; i < rows; i++) {
        int which = patch_box(batch, patch, i);
        if (which < 0)
            continue;
        for (int k = 0; k < 4; k++)
            truth[n * 4 + k] = batch->box[(int64_t)which * 4 + k];
        row[n++] = (int32_t)i;
    }
    double norm = patch_norm(batch, N);
    box = ctx_view(cx, box, 2, flat);
    struct tensor *term[2] = {op_l1_rows(cx, box, row, truth, n, norm),
                              op_giou_rows(cx, box, row, truth, n, norm)};
    return op_weighted_sum(cx, term, (const double[]){5, 2}, 2);
}

struct tensor *losses_likeness(struct ctx *cx, struct scratch *s, struct tensor *image,
                               struct tensor *text, const struct batch *batch, int64_t patch)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t N = image->dim[1], L = batch->L;
    uint8_t *positive = scratch_get(s, cx, (size_t)(batch->B * N * L), 1);
    if (!positive)
        return NULL;
    for (int64_t i = 0; i < batch->B * N; i++) {
        int which = patch_box(batch, patch, i);
        for (int64_t l = 0; which >= 0 && l < L; l++)
            positive[i * L + l] = batch->positive[(int64_t)which * L + l] != 0;
    }
    struct tensor *z = op_matmul_nt(cx, image, text, 1 / likeness_temperature);
    return op_align_loss(cx, z, positive, patch_norm(batch, N));
}

struct tensor *losses_add(struct ctx *cx, struct scratch *s, struct tensor *total,
                          struct tensor *dense, double weight, struct model_losses *ret)
{
    struct tensor *term[2] = {total, dense};
    struct tensor *sum = op_weighted_sum(cx, term, (const double[]){1, weight}, 2);
    double all = scratch_scalar(s, cx, sum), rows = scratch_scalar(s, cx, dense);
    if (ctx_ok(cx)) {
        ret->total = all;
        ret->dense = rows;
    }
    return sum;
}
