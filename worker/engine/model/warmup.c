/* warmup.c - the per-patch word targets that stand in for an image classifier's pre-training
 * (docs/spec/model-mdetr.md 6). */
#include "engine/data/tokenizer.h"
#include "engine/model/losses.h"
#include "engine/op/op.h"

#include <math.h>

static int words_of(const struct batch *batch, int box)
{
    int n = 0;
    for (int64_t l = 0; l < batch->L; l++)
        n += batch->positive[box * batch->L + l] != 0;
    return n;
}

/* The smallest box of sample b that holds the point and has a phrase; -1 if there is none. */
static int box_at(const struct batch *batch, int64_t b, double x, double y)
{
    int best = -1;
    double best_area = INFINITY;
    for (int i = batch->first_box[b]; i < batch->first_box[b + 1]; i++) {
        const real *box = batch->box + (int64_t)i * 4;
        double w = (double)box[2], h = (double)box[3];
        bool inside = fabs(x - (double)box[0]) <= w / 2 && fabs(y - (double)box[1]) <= h / 2;
        if (inside && w * h < best_area && words_of(batch, i) > 0) {
            best = i;
            best_area = w * h;
        }
    }
    return best;
}

static void set_words(real *target, const struct batch *batch, int64_t b, int box)
{
    if (box < 0) {
        target[TOKEN_PAD] = 1; /* no phrase holds it */
        return;
    }
    real mass = (real)(1.0 / words_of(batch, box));
    for (int64_t l = 0; l < batch->L; l++)
        if (batch->positive[box * batch->L + l])
            target[batch->token[b * batch->L + l]] += mass;
}

static void set_targets(real *target, real *weight, const struct batch *batch, int64_t patch,
                        int64_t V)
{
    int64_t rows = batch->height / patch, cols = batch->width / patch;
    for (int64_t b = 0; b < batch->B; b++) {
        int64_t height = batch->valid[2 * b], width = batch->valid[2 * b + 1];
        for (int64_t i = 0; i < rows * cols; i++, target += V, weight++) {
            int64_t top = i / cols * patch, left = i % cols * patch;
            if (top >= height || left >= width)
                continue;
            double y = ((double)top + (double)patch / 2) / (double)height;
            double x = ((double)left + (double)patch / 2) / (double)width;
            set_words(target, batch, b, box_at(batch, b, x, y));
            *weight = 1;
        }
    }
}

struct tensor *losses_warmup(struct ctx *cx, struct scratch *s, struct tensor *logits,
                             const struct batch *batch, int64_t patch, struct model_losses *ret)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t flat[2] = {tensor_rows(logits), tensor_last(logits)};
    real *target = scratch_get(s, cx, (size_t)(flat[0] * flat[1]), sizeof *target);
    real *weight = scratch_get(s, cx, (size_t)flat[0], sizeof *weight);
    if (!ctx_ok(cx))
        return NULL;
    set_targets(target, weight, batch, patch, flat[1]);
    double norm = 1 / (batch->norm_boxes * (double)logits->dim[1]);
    struct tensor *loss = op_soft_ce(cx, ctx_view(cx, logits, 2, flat), target, weight, norm);
    const real *value = scratch_download(s, cx, loss);
    if (value)
        *ret = (struct model_losses){.total = (double)*value};
    return loss;
}
