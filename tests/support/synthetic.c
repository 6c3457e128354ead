/* synthetic.c - random batches. */
#include "synthetic.h"

#include "base/rng.h"
#include "engine/data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model_shape synthetic_shape(void)
{
    return (struct model_shape){.image = 32,
                                .patch = 8,
                                .width = 16,
                                .heads = 2,
                                .ffn = 24,
                                .vision_layers = 2,
                                .text_layers = 2,
                                .fusion_width = 16,
                                .fusion_heads = 2,
                                .fusion_ffn = 24,
                                .encoder_layers = 1,
                                .decoder_layers = 2,
                                .queries = 5,
                                .slots = 12,
                                .max_tokens = 12,
                                .contrast = 8,
                                .stem = STEM_CONV,
                                .vocabulary = 20};
}

bool synthetic_named(struct model_shape *ret_shape, const char *name)
{
    static const struct model_shape tiny = {.image = 64,
                                            .patch = 8,
                                            .width = 96,
                                            .heads = 4,
                                            .ffn = 384,
                                            .vision_layers = 4,
                                            .text_layers = 4,
                                            .fusion_width = 64,
                                            .fusion_heads = 4,
                                            .fusion_ffn = 256,
                                            .encoder_layers = 2,
                                            .decoder_layers = 2,
                                            .queries = 8,
                                            .slots = 48,
                                            .max_tokens = 48,
                                            .contrast = 64,
                                            .stem = STEM_CONV,
                                            .vocabulary = 64};
    static const struct model_shape small = {.image = 224,
                                             .patch = 16,
                                             .width = 384,
                                             .heads = 6,
                                             .ffn = 1536,
                                             .vision_layers = 12,
                                             .text_layers = 6,
                                             .fusion_width = 256,
                                             .fusion_heads = 8,
                                             .fusion_ffn = 1024,
                                             .encoder_layers = 3,
                                             .decoder_layers = 3,
                                             .queries = 16,
                                             .slots = 64,
                                             .max_tokens = 64,
                                             .contrast = 64,
                                             .stem = STEM_CONV,
                                             .vocabulary = 1000};
    static const struct model_shape large = {.image = 384,
                                             .patch = 16,
                                             .width = 768,
                                             .heads = 12,
                                             .ffn = 3072,
                                             .vision_layers = 12,
                                             .text_layers = 12,
                                             .fusion_width = 256,
                                             .fusion_heads = 8,
                                             .fusion_ffn = 2048,
                                             .encoder_layers = 6,
                                             .decoder_layers = 6,
                                             .queries = 100,
                                             .slots = 256,
                                             .max_tokens = 255,
                                             .contrast = 64,
                                             .stem = STEM_PATCH,
                                             .vocabulary = 1000};
    if (strcmp(name, "micro") == 0)
        *ret_shape = synthetic_shape();
    else if (strcmp(name, "tiny") == 0)
        *ret_shape = tiny;
    else if (strcmp(name, "small") == 0)
        *ret_shape = small;
    else if (strcmp(name, "large") == 0)
        *ret_shape = large;
    else
        return false;
    return true;
}

static void *get(int64_t count, size_t size)
{
    void *p = calloc((size_t)count + 1, size);
    if (!p) {
        fprintf(stderr, "no memory for a synthetic batch\n");
        abort();
    }
    return p;
}

static double between(struct rng *r, double low, double high)
{
    return low + (high - low) * rng_next_uniform(r);
}

static void draw_noise(struct batch *b, int64_t sample, struct rng *r)
{
    int32_t height = b->valid[2 * sample], width = b->valid[2 * sample + 1];
    real *image = b->image + sample * b->height * b->width * 3;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width * 3; x++)
            image[y * b->width * 3 + x] = (real)(0.3 * rng_next_normal(r));
}

static void draw_box(struct batch *b, int64_t sample, const real *box, struct rng *r)
{
    double h = b->valid[2 * sample], w = b->valid[2 * sample + 1];
    int64_t y0 = (int64_t)((box[1] - box[3] / 2) * h), y1 = (int64_t)((box[1] + box[3] / 2) * h);
    int64_t x0 = (int64_t)((box[0] - box[2] / 2) * w), x1 = (int64_t)((box[0] + box[2] / 2) * w);
    real colour[3];
    for (int c = 0; c < 3; c++)
        colour[c] = (real)between(r, -2, 2);
    for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++)
            memcpy(b->image + ((sample * b->height + y) * b->width + x) * 3, colour, sizeof colour);
}

static void write_caption(struct batch *b, int64_t sample, int64_t words, struct rng *r)
{
    int32_t *token = b->token + sample * b->L;
    for (int64_t l = 0; l < b->L; l++) {
        int32_t word =
            TOKEN_SPECIALS + (int32_t)rng_next_below(r, (uint32_t)(b->V - TOKEN_SPECIALS));
        token[l] = l == 0 ? TOKEN_BOS : l == words - 1 ? TOKEN_EOS : l < words ? word : TOKEN_PAD;
        b->token_mask[sample * b->L + l] = l < words;
    }
}

static void add_box(struct batch *b, int64_t sample, int64_t at, int64_t words, struct rng *r)
{
    real *box = b->box + at * 4;
    for (int k = 0; k < 2; k++) {
        box[2 + k] = (real)between(r, 0.25, 0.55);
        box[k] = (real)between(r, 0.3, 0.7);
    }
    int64_t first = 1 + rng_next_below(r, (uint32_t)(words - 3));
    b->positive[at * b->L + first] = 1;
    b->positive[at * b->L + first + 1] = 1;
    draw_box(b, sample, box, r);
}

static void add_sample(struct batch *b, const struct model_shape *shape, int64_t sample,
                       const struct synthetic *how)
{
    struct rng r = {.key = {how->seed, (uint64_t)sample, RNG_TEST, 0}};
    int64_t words = how->L, patch = shape->patch, side = shape->image / patch;
    b->valid[2 * sample] = b->valid[2 * sample + 1] = (int32_t)shape->image;
    if (how->padded && sample % 2) {
        words = 5 + rng_next_below(&r, (uint32_t)(how->L - 4));
        for (int k = 0; k < 2; k++)
            b->valid[2 * sample + k] =
                (int32_t)(patch * (1 + rng_next_below(&r, (uint32_t)side - 1)) + patch / 2);
    }
    draw_noise(b, sample, &r);
    write_caption(b, sample, words, &r);
    for (int64_t i = 0; i < how->boxes; i++)
        add_box(b, sample, sample * how->boxes + i, words, &r);
    b->first_box[sample + 1] = (int32_t)((sample + 1) * how->boxes);
}

void synthetic_make(struct batch *ret_batch, const struct model_shape *shape,
                    const struct synthetic *how)
{
    int64_t B = how->B, side = shape->image;
    struct batch b = {.B = B, .height = side, .width = side, .L = how->L, .V = shape->vocabulary};
    b.image = get(B * side * side * 3, sizeof(real));
    b.valid = get(2 * B, sizeof(int32_t));
    b.token = get(B * b.L, sizeof(int32_t));
    b.token_mask = get(B * b.L, 1);
    b.first_box = get(B + 1, sizeof(int32_t));
    b.box = get(B * how->boxes * 4, sizeof(real));
    b.positive = get(B * how->boxes * b.L, 1);
    b.record = get(B, sizeof(int64_t));
    for (int64_t i = 0; i < B; i++)
        add_sample(&b, shape, i, how);
    b.norm_boxes = how->boxes ? (double)(B * how->boxes) : 1;
    b.norm_samples = (double)B;
    *ret_batch = b;
}

void synthetic_free(struct batch *b)
{
    free(b->image);
    free(b->valid);
    free(b->token);
    free(b->token_mask);
    free(b->first_box);
    free(b->box);
    free(b->positive);
    free(b->record);
    *b = (struct batch){0};
}

void synthetic_part(struct batch *ret_part, const struct batch *b, int64_t from, int64_t count)
{
    int32_t first = b->first_box[from];
    *ret_part = *b;
    ret_part->B = count;
    ret_part->sample0 = b->sample0 + from;
    ret_part->image += from * b->height * b->width * 3;
    ret_part->valid += 2 * from;
    ret_part->token += from * b->L;
    ret_part->token_mask += from * b->L;
    ret_part->record += from;
    ret_part->box += (int64_t)first * 4;
    ret_part->positive += first * b->L;
    ret_part->first_box = get(count + 1, sizeof(int32_t));
    for (int64_t i = 0; i <= count; i++)
        ret_part->first_box[i] = b->first_box[from + i] - first;
}

void synthetic_part_free(struct batch *part)
{
    free(part->first_box);
    *part = (struct batch){0};
}
