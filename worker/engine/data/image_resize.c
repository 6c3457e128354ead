/* image_resize.c - antialiased bilinear scaling, the arithmetic of PIL's resize(BILINEAR).
 *
 * Output pixel i lies at centre (i + 1/2) s of the input, s = in / out. Weights are the triangle
 * max(0, 1 - |x| / max(s, 1)), sampled at input pixel centres and normalised to sum 1.
 */
#include "engine/data/image.h"

#include <math.h>
#include <stdlib.h>

/* The input pixels [first, first+n) that make up one output pixel, and their weights. */
struct taps {
    int first, n;
    float *weight; /* into one block */
};

static int taps_make(struct taps *taps, float *weight, int room, int in, int i, double scale)
{
    double support = fmax(scale, 1), centre = (i + 0.5) * scale, sum = 0;
    int first = (int)fmax(centre - support + 0.5, 0);
    int end = (int)fmin(centre + support + 0.5, in);
    *taps = (struct taps){first, 0, weight};
    for (int x = first; x < end && taps->n < room; x++) {
        double w = 1 - fabs((x + 0.5 - centre) / support);
        weight[taps->n++] = (float)fmax(w, 0);
        sum += fmax(w, 0);
    }
    for (int k = 0; k < taps->n; k++)
        weight[k] = (float)(weight[k] / sum);
    return taps->n;
}

/* taps[out] with their weights behind them in one block; NULL when out of memory. */
static struct taps *taps_create(int in, int out)
{
    double scale = (double)in / out;
    int room = 2 * (int)ceil(fmax(scale, 1)) + 1;
    struct taps *taps = calloc((size_t)out, sizeof *taps + (size_t)room * sizeof(float));
    if (!taps)
        return NULL;
    float *weight = (float *)(taps + out);
    for (int i = 0; i < out; i++)
        taps_make(&taps[i], weight + (size_t)i * (size_t)room, room, in, i, scale);
    return taps;
}

static uint8_t round_byte(float v)
{
    /* NOLINTNEXTLINE(bugprone-incorrect-roundings): v is not negative there */
    return v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)(v + 0.5f);
}

/* One pixel: the taps over source pixels `stride` bytes apart. */
static void blend(uint8_t *out, const uint8_t *source, size_t stride, const struct taps *t)
{
    float sum[3] = {0, 0, 0};
    source += (size_t)t->first * stride;
    for (int k = 0; k < t->n; k++, source += stride)
        for (int c = 0; c < 3; c++)
            sum[c] += t->weight[k] * (float)source[c];
    for (int c = 0; c < 3; c++)
        out[c] = round_byte(sum[c]);
}

static void pass_horizontal(struct image *out, const struct image *in, const struct taps *taps)
{
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++)
            blend(out->rgb + ((size_t)y * (size_t)out->width + (size_t)x) * 3,
                  in->rgb + (size_t)y * (size_t)in->width * 3, 3, &taps[x]);
}

static void pass_vertical(struct image *out, const struct image *in, const struct taps *taps)
{
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++)
            blend(out->rgb + ((size_t)y * (size_t)out->width + (size_t)x) * 3,
                  in->rgb + (size_t)x * 3, (size_t)in->width * 3, &taps[y]);
}

enum status image_resize(struct image *ret_image, const struct image *image, int width, int height,
                         struct err *err)
{
    struct image middle = {0}, out = {0};
    struct taps *across = NULL, *down = NULL;
    enum status st = image_create(&middle, width, image->height, err);
    if (st == ST_OK)
        st = image_create(&out, width, height, err);
    if (st == ST_OK) {
        across = taps_create(image->width, width);
        down = taps_create(image->height, height);
        if (!across || !down)
            st = err_set(err, ST_NOMEM, "out of memory scaling a picture to %dx%d", width, height);
    }
    if (st == ST_OK) {
        pass_horizontal(&middle, image, across);
        pass_vertical(&out, &middle, down);
        *ret_image = out;
    } else {
        image_fini(&out);
    }
    image_fini(&middle);
    free(across);
    free(down);
    return st;
}
