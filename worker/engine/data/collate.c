/* collate.c - see collate.h. Normalisation: docs/spec/model-mdetr.md 1. */
#include "engine/data/collate.h"

#include <stdlib.h>
#include <string.h>

static const double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};

struct collate {
    const struct tokenizer *tokenizer;
    int side;
    real byte_value[3][256]; /* normalised value of a byte, a channel */
    struct batch batch;
    struct tokens *tokens; /* [sample_room] */
    struct image passing;  /* the last picture that the cache did not keep */
    int64_t sample_room, token_room, box_room, positive_room, pixel_room;
};

enum status collate_create(struct collate **ret_collate, const struct tokenizer *tokenizer,
                           int side, struct err *err)
{
    struct collate *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(err, ST_NOMEM, "out of memory for a loader");
    c->tokenizer = tokenizer;
    c->side = side;
    for (int k = 0; k < 3; k++)
        for (int v = 0; v < 256; v++)
            c->byte_value[k][v] = (real)((v / 255.0 - mean[k]) / deviation[k]);
    *ret_collate = c;
    return ST_OK;
}

void collate_destroy(struct collate *c)
{
    if (!c)
        return;
    free(c->batch.image);
    free(c->batch.valid);
    free(c->batch.token);
    free(c->batch.token_mask);
    free(c->batch.first_box);
    free(c->batch.box);
    free(c->batch.positive);
    free(c->batch.record);
    free(c->tokens);
    image_fini(&c->passing);
    free(c);
}

/* Grows an array to n items, all zero; contents are not kept. */
static bool grow(void *array, int64_t n, size_t item)
{
    void **p = array;
    free(*p);
    *p = calloc(n > 0 ? (size_t)n : 1, item);
    return *p != NULL;
}

static enum status no_memory(int64_t n, struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a batch of %lld samples", (long long)n);
}

static enum status room_for_samples(struct collate *c, int64_t n, struct err *err)
{
    struct batch *b = &c->batch;
    if (n <= c->sample_room && b->first_box)
        return ST_OK;
    if (!grow(&b->valid, 2 * n, sizeof *b->valid) ||
        !grow(&b->first_box, n + 1, sizeof *b->first_box) ||
        !grow(&b->record, n, sizeof *b->record) || !grow(&c->tokens, n, sizeof *c->tokens))
        return no_memory(n, err);
    c->sample_room = n;
    return ST_OK;
}

static enum status room_for_contents(struct collate *c, struct err *err)
{
    struct batch *b = &c->batch;
    int64_t boxes = b->first_box[b->B], tokens = b->B * b->L, positive = boxes * b->L;
    int64_t pixels = b->B * b->height * b->width * 3;
    if (tokens > c->token_room || !b->token) {
        if (!grow(&b->token, tokens, sizeof *b->token) ||
            !grow(&b->token_mask, tokens, sizeof *b->token_mask))
            return no_memory(b->B, err);
        c->token_room = tokens;
    }
    if (boxes > c->box_room || !b->box) {
        if (!grow(&b->box, boxes * 4, sizeof *b->box))
            return no_memory(b->B, err);
        c->box_room = boxes;
    }
    if (positive > c->positive_room || !b->positive) {
        if (!grow(&b->positive, positive, sizeof *b->positive))
            return no_memory(b->B, err);
        c->positive_room = positive;
    }
    if (pixels > c->pixel_room || !b->image) {
        if (!grow(&b->image, pixels, sizeof *b->image))
            return no_memory(b->B, err);
        c->pixel_room = pixels;
    }
    return ST_OK;
}

static void put_boxes(struct collate *c, const struct record *r, int64_t i)
{
    struct batch *b = &c->batch;
    for (int32_t k = 0; k < r->boxes; k++) {
        const struct record_box *in = &r->box[k];
        int64_t at = b->first_box[i] + k;
        real *out = b->box + at * 4;
        out[0] = (real)((in->x0 + in->x1) / 2.0 / r->width);
        out[1] = (real)((in->y0 + in->y1) / 2.0 / r->height);
        out[2] = (real)(((double)in->x1 - in->x0) / r->width);
        out[3] = (real)(((double)in->y1 - in->y0) / r->height);
        uint8_t *row = b->positive + at * b->L;
        memset(row, 0, (size_t)b->L);
        tokens_positive(&c->tokens[i], in->span, in->spans, row);
    }
}

static void put_tokens(struct collate *c, int64_t i)
{
    struct batch *b = &c->batch;
    const struct tokens *t = &c->tokens[i];
    for (int64_t k = 0; k < b->L; k++) {
        b->token[i * b->L + k] = k < t->n ? t->id[k] : TOKEN_PAD;
        b->token_mask[i * b->L + k] = k < t->n;
    }
}

static void put_image(struct collate *c, const struct image *image, int64_t i)
{
    struct batch *b = &c->batch;
    size_t row = (size_t)b->width * 3, used = (size_t)image->width * 3;
    real *out = b->image + (size_t)i * (size_t)b->height * row;
    memset(out, 0, (size_t)b->height * row * sizeof *out);
    for (int y = 0; y < image->height; y++) {
        const uint8_t *in = image->rgb + (size_t)y * used;
        for (size_t x = 0; x < used; x++)
            out[(size_t)y * row + x] = c->byte_value[x % 3][in[x]];
    }
    b->valid[2 * i] = image->height;
    b->valid[2 * i + 1] = image->width;
}

/* Captions, boxes, and the padded picture: the square or the largest. */
static enum status measure(struct collate *c, const struct loader_source *source,
                           const int64_t *record, struct err *err)
{
    struct batch *b = &c->batch;
    b->height = b->width = c->side;
    b->first_box[0] = 0;
    for (int64_t i = 0; i < b->B; i++) {
        struct record r;
        dataset_get(source->set, record[i], &r);
        TRY(tokenizer_encode(c->tokenizer, &c->tokens[i], r.caption, err));
        b->record[i] = record[i];
        b->first_box[i + 1] = b->first_box[i] + r.boxes;
        if (!c->side && r.height > b->height)
            b->height = r.height;
        if (!c->side && r.width > b->width)
            b->width = r.width;
    }
    return ST_OK;
}

enum status collate_batch(struct collate *c, const struct loader_source *source,
                          const int64_t *record, int64_t n, const struct collate_global *global,
                          const struct batch **ret_batch, struct err *err)
{
    struct batch *b = &c->batch;
    TRY(room_for_samples(c, n, err));
    b->B = n;
    b->V = tokenizer_size(c->tokenizer);
    b->L = global->L;
    b->sample0 = global->sample0;
    b->norm_boxes = global->boxes > 1 ? (double)global->boxes : 1;
    b->norm_samples = (double)global->samples;
    TRY(measure(c, source, record, err));
    TRY(room_for_contents(c, err));
    for (int64_t i = 0; i < n; i++) {
        struct record r;
        const struct image *image;
        dataset_get(source->set, record[i], &r);
        TRY(image_cache_get(source->images, &r, &c->passing, &image, err));
        if (image->height > b->height || image->width > b->width)
            return err_set(err, ST_INVALID,
                           "a picture of %dx%d pixels does not fit into a batch of %lldx%lld: the "
                           "image cache was made for another side",
                           image->width, image->height, (long long)b->width, (long long)b->height);
        put_image(c, image, i);
        put_tokens(c, i);
        put_boxes(c, &r, i);
    }
    *ret_batch = b;
    return ST_OK;
}
