/* warmup.c - the per-patch word targets that stand in for an image classifier's pre-training
 * (docs/spec/model-mdetr.md 6). */
#include "engine/data/tokenizer.h"
#include "engine/model/losses.h"
#include "engine/op/op.h"

#include <math.h>

/* With 1 the boxes are learned long before the colours are. */
static const double word_weight = 4;

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

static void set_words(real *word, const struct batch *batch, int64_t b, int box)
{
    if (box < 0) {
        word[TOKEN_PAD] = 1; /* no phrase holds it */
        return;
    }
    real mass = (real)(1.0 / words_of(batch, box));
    for (int64_t l = 0; l < batch->L; l++)
        if (batch->positive[box * batch->L + l])
            word[batch->token[b * batch->L + l]] += mass;
}

/* Host memory. */
struct patch_targets {
    real *word, *weight; /* [B*N,V], [B*N] */
    int32_t *row;        /* [n] patches that show an object */
    real *box;           /* [n,4] */
    int n;
};

static void set_box(struct patch_targets *t, const struct batch *batch, int64_t row, int box)
{
    if (box < 0)
        return;
    for (int k = 0; k < 4; k++)
        t->box[t->n * 4 + k] = batch->box[(int64_t)box * 4 + k];
    t->row[t->n++] = (int32_t)row;
}

int patch_box(const struct batch *batch, int64_t patch, int64_t row)
{
    int64_t cols = batch->width / patch, N = batch->height / patch * cols;
    int64_t b = row / N, height = batch->valid[2 * b], width = batch->valid[2 * b + 1];
    int64_t top = row % N / cols * patch, left = row % cols * patch;
    if (top >= height || left >= width)
        return -2;
    double y = ((double)top + (double)patch / 2) / (double)height;
    double x = ((double)left + (double)patch / 2) / (double)width;
    return box_at(batch, b, x, y);
}

static void set_targets(struct patch_targets *t, const struct batch *batch, int64_t patch,
                        int64_t rows, int64_t V)
{
    for (int64_t row = 0; row < rows; row++) {
        int box = patch_box(batch, patch, row);
        if (box < -1)
            continue;
        set_words(t->word + row * V, batch, row / (rows / batch->B), box);
        set_box(t, batch, row, box);
        t->weight[row] = 1;
    }
}

static bool targets_get(struct ctx *cx, struct scratch *s, int64_t rows, int64_t V,
                        struct patch_targets *t)
{
    *t = (struct patch_targets){0};
    t->word = scratch_get(s, cx, (size_t)(rows * V), sizeof *t->word);
    t->weight = scratch_get(s, cx, (size_t)rows, sizeof *t->weight);
    t->row = scratch_get(s, cx, (size_t)rows, sizeof *t->row);
    t->box = scratch_get(s, cx, (size_t)rows * 4, sizeof *t->box);
    return ctx_ok(cx);
}

struct tensor *losses_warmup(struct ctx *cx, struct scratch *s, struct tensor *words,
                             struct tensor *box, const struct batch *batch, int64_t patch,
                             struct model_losses *ret)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t rows = tensor_rows(words), V = tensor_last(words);
    int64_t flat_word[2] = {rows, V}, flat_box[2] = {rows, 4};
    struct patch_targets t;
    if (!targets_get(cx, s, rows, V, &t))
        return NULL;
    set_targets(&t, batch, patch, rows, V);
    double mean = (double)batch->B / (batch->norm_samples * (double)rows);
    box = ctx_view(cx, box, 2, flat_box);
    struct tensor *term[3] = {
        op_soft_ce(cx, ctx_view(cx, words, 2, flat_word), t.word, t.weight, mean),
        op_l1_rows(cx, box, t.row, t.box, t.n, mean),
        op_giou_rows(cx, box, t.row, t.box, t.n, mean),
    };
    struct tensor *loss = op_weighted_sum(cx, term, (const double[]){word_weight, 5, 2}, 3);
    struct model_losses values = {
        .total = scratch_scalar(s, cx, loss),
        .ce = scratch_scalar(s, cx, term[0]),
        .bbox = scratch_scalar(s, cx, term[1]),
        .giou = scratch_scalar(s, cx, term[2]),
    };
    if (ctx_ok(cx))
        *ret = values;
    return loss;
}
