/* mdetr_sight.c - masks, positions and the check of a batch. */
#include "engine/model/mdetr_sight.h"

#include "engine/backend/backend.h"
#include "engine/nn/position.h"

#include <string.h>

static void check_sizes(struct ctx *cx, const struct model_shape *s, const struct batch *b)
{
    long long H = b->height, W = b->width, p = s->patch, image = s->image;
    if (b->B < 1)
        ctx_fail(cx, ST_INVALID, "a batch needs at least one sample, got %lld", (long long)b->B);
    else if (H < p || W < p || H > image || W > image || H % p || W % p)
        ctx_fail(cx, ST_INVALID,
                 "images of %lld x %lld: the model takes multiples of %lld up to %lld", H, W, p,
                 image);
    else if (b->L < 1 || b->L > s->max_tokens)
        ctx_fail(cx, ST_LIMIT, "a caption of %lld tokens; the model reads at most %lld",
                 (long long)b->L, (long long)s->max_tokens);
}

static void check_samples(struct ctx *cx, const struct model_shape *s, const struct batch *b)
{
    for (int64_t i = 0; i < b->B; i++) {
        int32_t h = b->valid[2 * i], w = b->valid[2 * i + 1];
        if (h < 1 || w < 1 || h > b->height || w > b->width)
            ctx_fail(cx, ST_INVALID, "sample %lld: %d x %d real pixels of %lld x %lld",
                     (long long)i, h, w, (long long)b->height, (long long)b->width);
        if (b->first_box[i + 1] < b->first_box[i])
            ctx_fail(cx, ST_INTERNAL, "sample %lld: boxes %d to %d", (long long)i, b->first_box[i],
                     b->first_box[i + 1]);
    }
    for (int64_t i = 0; i < b->B * b->L; i++)
        if (b->token[i] < 0 || b->token[i] >= s->vocabulary)
            ctx_fail(cx, ST_INVALID, "sample %lld: word %d of a vocabulary of %lld",
                     (long long)(i / b->L), b->token[i], (long long)s->vocabulary);
}

static int64_t patches(int64_t pixels, int64_t patch)
{
    return (pixels + patch - 1) / patch;
}

static bool images_padded(const struct batch *b, int64_t patch)
{
    for (int64_t i = 0; i < b->B; i++)
        if (patches(b->valid[2 * i], patch) * patch < b->height ||
            patches(b->valid[2 * i + 1], patch) * patch < b->width)
            return true;
    return false;
}

static uint8_t *image_mask(struct ctx *cx, struct scratch *s, const struct batch *b,
                           const struct sight *v)
{
    uint8_t *mask = scratch_get(s, cx, (size_t)(v->B * v->N), 1);
    for (int64_t i = 0; mask && i < v->B * v->N; i++) {
        int64_t sample = i / v->N, row = i % v->N / v->cols, col = i % v->cols;
        mask[i] = row * v->shape->patch < b->valid[2 * sample] &&
                  col * v->shape->patch < b->valid[2 * sample + 1];
    }
    return mask;
}

static uint8_t *joint_mask(struct ctx *cx, struct scratch *s, const struct sight *v)
{
    int64_t T = v->N + v->L;
    uint8_t *mask = scratch_get(s, cx, (size_t)(v->B * T), 1);
    if (!mask)
        return NULL;
    memset(mask, 1, (size_t)(v->B * T));
    for (int64_t b = 0; b < v->B; b++) {
        if (v->image_mask)
            memcpy(mask + b * T, v->image_mask + b * v->N, (size_t)v->N);
        if (v->text_mask)
            memcpy(mask + b * T + v->N, v->text_mask + b * v->L, (size_t)v->L);
    }
    return mask;
}

static void make_masks(struct ctx *cx, struct scratch *s, const struct batch *b, struct sight *v)
{
    if (images_padded(b, v->shape->patch))
        v->image_mask = image_mask(cx, s, b, v);
    if (memchr(b->token_mask, 0, (size_t)(v->B * v->L)))
        v->text_mask = b->token_mask;
    if (v->image_mask || v->text_mask)
        v->joint_mask = joint_mask(cx, s, v);
}

/* One grid a sample where images are padded, else one for all. */
static void make_positions(struct ctx *cx, struct scratch *s, const struct batch *b,
                           struct sight *v)
{
    int64_t d = v->shape->fusion_width, T = v->N + v->L, grids = v->image_mask ? v->B : 1;
    int64_t dim[3] = {grids, T, d};
    real *pos = scratch_get(s, cx, (size_t)(grids * T * d), sizeof *pos);
    real *axis = scratch_get(s, cx, (size_t)((v->rows + v->cols + 2) * (d / 2)), sizeof *axis);
    if (!ctx_ok(cx))
        return;
    for (int64_t g = 0; g < grids; g++) {
        int64_t rows = v->rows, cols = v->cols;
        if (v->image_mask) {
            rows = patches(b->valid[2 * g], v->shape->patch);
            cols = patches(b->valid[2 * g + 1], v->shape->patch);
        }
        position_sine2d(pos + g * T * d, axis, v->rows, v->cols, rows, cols, d);
    }
    v->pos = v->image_mask ? ctx_constant(cx, pos, 3, dim) : ctx_constant(cx, pos, 2, dim + 1);
}

static void make_grid(struct ctx *cx, struct scratch *s, struct sight *v)
{
    int64_t side = v->shape->image / v->shape->patch;
    if (v->rows == side && v->cols == side)
        return;
    int32_t *row = scratch_get(s, cx, (size_t)v->N, sizeof *row);
    for (int64_t i = 0; row && i < v->N; i++)
        row[i] = (int32_t)(i / v->cols * side + i % v->cols);
    v->grid_row = row;
}

void sight_make(struct ctx *cx, struct scratch *s, const struct model_shape *shape,
                const struct batch *batch, struct sight *ret)
{
    check_sizes(cx, shape, batch);
    if (!ctx_ok(cx))
        return;
    check_samples(cx, shape, batch);
    *ret = (struct sight){.shape = shape, .B = batch->B, .L = batch->L};
    ret->rows = batch->height / shape->patch;
    ret->cols = batch->width / shape->patch;
    ret->N = ret->rows * ret->cols;
    make_masks(cx, s, batch, ret);
    make_positions(cx, s, batch, ret);
    make_grid(cx, s, ret);
}

struct tensor *sight_grid_rows(struct ctx *cx, const struct sight *sight, struct tensor *pos)
{
    if (!sight->grid_row || !ctx_ok(cx))
        return pos;
    int64_t flat[2] = {sight->N, tensor_last(pos)};
    return ctx_view(cx, op_embed(cx, pos, sight->grid_row, 1, sight->N), 2, flat);
}

struct tensor *sight_zeros(struct ctx *cx, int dims, const int64_t *dim)
{
    struct tensor *t = ctx_tensor(cx, false, dims, dim);
    if (t)
        ctx_backend(cx)->memory->zero(t->data, (size_t)tensor_size(t) * sizeof(real));
    return t;
}
