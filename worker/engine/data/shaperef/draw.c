/* draw.c - see draw.h. Edges are antialiased by distance: a pixel's ink is the part of a pixel-wide
 * ramp across the outline, which for outlines straight on the scale of a pixel is its covered area.
 */
#include "engine/data/shaperef/draw.h"

#include <math.h>
#include <string.h>

static const double palette[COLOURS][3] = {
    {222, 42, 46},   /* red */
    {247, 134, 24},  /* orange */
    {250, 226, 62},  /* yellow */
    {42, 166, 66},   /* green */
    {78, 220, 226},  /* cyan */
    {46, 84, 222},   /* blue */
    {142, 62, 190},  /* purple */
    {252, 150, 200}, /* pink */
};

static double clamp01(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* A pixel's place in the object's own frame, in radii. */
struct local {
    double u, v, distance; /* distance to the outline in pixels, negative inside */
};

/* false: out of the object's reach. */
static bool localise(struct local *ret, const struct thing *t, int px, int py)
{
    double dx = px + 0.5 - t->x, dy = py + 0.5 - t->y, reach = SHAPE_REACH * t->radius + 1;
    if (dx * dx + dy * dy > reach * reach)
        return false;
    double c = cos(t->angle), s = sin(t->angle);
    ret->u = (c * dx + s * dy) / t->radius;
    ret->v = (c * dy - s * dx) / t->radius;
    ret->distance = shape_distance(t->value[ATTR_SHAPE], ret->u, ret->v) * t->radius;
    return true;
}

static double ink(const struct thing *t, double distance)
{
    double filled = clamp01(0.5 - distance);
    if (t->value[ATTR_TEXTURE] != TEXTURE_HOLLOW)
        return filled;
    double wall = larger(1.5, 0.24 * t->radius);
    return filled - clamp01(0.5 - (distance + wall));
}

double thing_coverage(const struct thing *t, int px, int py)
{
    struct local at;
    return localise(&at, t, px, py) ? ink(t, at.distance) : 0;
}

/* ---- boxes ----------------------------------------------------------------------------------- */

struct window {
    int x0, y0, x1, y1;
};

static struct window window_of(const struct thing *t, int size)
{
    double reach = SHAPE_REACH * t->radius + 1;
    return (struct window){(int)larger(0, floor(t->x - reach)), (int)larger(0, floor(t->y - reach)),
                           (int)smaller(size, ceil(t->x + reach) + 1),
                           (int)smaller(size, ceil(t->y + reach) + 1)};
}

static int claim_pixels(const struct scene *s, int i, uint8_t *owner)
{
    const struct thing *t = &s->thing[i];
    struct window w = window_of(t, s->size);
    int drawn = 0;
    for (int y = w.y0; y < w.y1; y++)
        for (int x = w.x0; x < w.x1; x++)
            if (thing_coverage(t, x, y) >= 0.5) {
                owner[y * s->size + x] = (uint8_t)(i + 1);
                drawn++;
            }
    return drawn;
}

/* Tight box of what is left of object i; returns its pixels. */
static int measure(struct scene *s, int i, const uint8_t *owner)
{
    struct thing *t = &s->thing[i];
    struct window w = window_of(t, s->size);
    t->x0 = t->y0 = s->size;
    t->x1 = t->y1 = 0;
    int visible = 0;
    for (int y = w.y0; y < w.y1; y++)
        for (int x = w.x0; x < w.x1; x++) {
            if (owner[y * s->size + x] != i + 1)
                continue;
            visible++;
            t->x0 = x < t->x0 ? x : t->x0;
            t->y0 = y < t->y0 ? y : t->y0;
            t->x1 = x + 1 > t->x1 ? x + 1 : t->x1;
            t->y1 = y + 1 > t->y1 ? y + 1 : t->y1;
        }
    return visible;
}

bool draw_boxes(struct scene *s, uint8_t *owner)
{
    int drawn[SHAPEREF_OBJECTS_MAX] = {0};
    memset(owner, 0, (size_t)s->size * (size_t)s->size);
    for (int i = 0; i < s->n; i++)
        drawn[i] = claim_pixels(s, i, owner);
    for (int i = 0; i < s->n; i++)
        if (10 * measure(s, i, owner) < 9 * drawn[i])
            return false;
    return true;
}

/* ---- picture --------------------------------------------------------------------------------- */

static void mix(uint8_t *pixel, const double colour[3], double part)
{
    for (int c = 0; c < 3; c++) {
        double v = pixel[c] * (1 - part) + colour[c] * part;
        pixel[c] = (uint8_t)(255 * clamp01(v / 255) + 0.5);
    }
}

/* A muted colour between dark and middle grey. */
static void muted(double out[3], struct rng *rng)
{
    double grey = 28 + 62 * rng_next_uniform(rng);
    for (int c = 0; c < 3; c++)
        out[c] = grey + 16 * (rng_next_uniform(rng) - 0.5);
}

static void paint_gradient(const struct scene *s, struct image *out, struct rng *rng)
{
    double a[3], b[3], angle = 6.283185307 * rng_next_uniform(rng);
    muted(a, rng);
    muted(b, rng);
    double dx = cos(angle) / s->size, dy = sin(angle) / s->size;
    for (int y = 0; y < s->size; y++)
        for (int x = 0; x < s->size; x++) {
            double t = clamp01(0.5 + 0.72 * (dx * (x - s->size / 2.0) + dy * (y - s->size / 2.0)));
            uint8_t *p = out->rgb + 3 * (y * s->size + x);
            for (int c = 0; c < 3; c++)
                p[c] = (uint8_t)(a[c] + (b[c] - a[c]) * t + 0.5);
        }
}

/* A thin line across the picture, little lighter or darker than what it crosses. */
static void paint_line(const struct scene *s, struct image *out, struct rng *rng)
{
    double angle = 3.14159265 * rng_next_uniform(rng), nx = -sin(angle), ny = cos(angle);
    double at = (rng_next_uniform(rng) - 0.5) * s->size, shade[3];
    double half = 0.35 + 0.5 * rng_next_uniform(rng) * s->size / 64.0;
    muted(shade, rng);
    for (int y = 0; y < s->size; y++)
        for (int x = 0; x < s->size; x++) {
            double d = fabs(nx * (x + 0.5 - s->size / 2.0) + ny * (y + 0.5 - s->size / 2.0) - at);
            double part = clamp01(half + 0.5 - d);
            if (part > 0)
                mix(out->rgb + 3 * (y * s->size + x), shade, 0.7 * part);
        }
}

/* Colour of the ink at a place: stripes, a soft light from above, a darker rim. */
static void ink_colour(double out[3], const struct thing *t, const struct local *at)
{
    double light = 1 - 0.10 * at->v, rim = clamp01(1 + at->distance / (0.10 * t->radius + 0.6));
    light *= 1 - 0.28 * rim;
    if (t->value[ATTR_TEXTURE] == TEXTURE_STRIPED) {
        double period = larger(3.4, 0.52 * t->radius);
        double phase = (at->u + at->v) * 0.70710678 * t->radius / period;
        double wave = fabs(phase - floor(phase) - 0.5); /* 0 in the dark band, 1/2 in the light */
        double dark = clamp01(0.5 + (0.25 - wave) * period);
        double inner = clamp01(-at->distance - 0.4); /* the outline stays whole */
        light *= 1 - 0.72 * dark * inner;
    }
    for (int c = 0; c < 3; c++)
        out[c] = (palette[t->value[ATTR_COLOUR]][c] + 10 * t->tint[c]) * light;
}

static void paint_thing(const struct scene *s, const struct thing *t, struct image *out)
{
    struct window w = window_of(t, s->size);
    for (int y = w.y0; y < w.y1; y++)
        for (int x = w.x0; x < w.x1; x++) {
            struct local at;
            double colour[3];
            if (!localise(&at, t, x, y))
                continue;
            ink_colour(colour, t, &at);
            mix(out->rgb + 3 * (y * s->size + x), colour, ink(t, at.distance));
        }
}

void draw_scene(const struct scene *s, struct image *out)
{
    /* the background belongs to the scene's number, not to the attempt that found room */
    struct rng rng = {.key = {.seed = s->seed,
                              .step = s->number,
                              .purpose = RNG_SCENE,
                              .stream = 0x10000u + (uint32_t)s->split}};
    paint_gradient(s, out, &rng);
    int lines = 2 + (int)rng_next_below(&rng, 4);
    for (int i = 0; i < lines; i++)
        paint_line(s, out, &rng);
    for (int i = 0; i < s->n; i++)
        paint_thing(s, &s->thing[i], out);
}
