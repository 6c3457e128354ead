/* scene.c - chooses the objects of a scene and finds room for them. See scene.h. */
#include "engine/data/shaperef/scene.h"

#include "engine/data/shaperef/draw.h"

const int attribute_values[ATTRIBUTES] = {SIZES, COLOURS, TEXTURES, SHAPES};
const char *const attribute_word[ATTRIBUTES][WORDS_MAX_A] = {
    {"small", "medium", "large"},
    {"red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"},
    {"solid", "striped", "hollow"},
    {"circle", "square", "triangle", "star", "diamond", "cross", "heart", "moon"},
};
const char *const shaperef_split_name[SHAPEREF_SPLITS] = {"train", "val", "test", "comp"};

/* Radius of a size class in a picture of 64 pixels; jitter of +-4 % keeps the classes 1.3 apart. */
static const double class_radius[SIZES] = {4.9, 7.1, 10.2};
#define RADIUS_JITTER 0.04
#define PLACES_TRIED 60
#define ATTEMPTS_A_COUNT 20
#define HELD_OUT_PAIRS 6 /* of 64 */

double thing_centre_x(const struct thing *t)
{
    return (t->x0 + t->x1) / 2.0;
}

double thing_centre_y(const struct thing *t)
{
    return (t->y0 + t->y1) / 2.0;
}

/* The k-th of the held-out pairs as colour * SHAPES + shape: a keyed sample without repetition. */
static void held_out_pairs(uint64_t seed, int ret_pair[HELD_OUT_PAIRS])
{
    struct rng rng = {.key = {.seed = seed, .purpose = RNG_SPLIT, .stream = 1}};
    for (int k = 0; k < HELD_OUT_PAIRS;) {
        int pair = (int)rng_next_below(&rng, COLOURS * SHAPES), same = 0;
        for (int i = 0; i < k; i++)
            same |= ret_pair[i] == pair;
        if (!same)
            ret_pair[k++] = pair;
    }
}

bool scene_pair_held_out(uint64_t seed, int colour, int shape)
{
    int pair[HELD_OUT_PAIRS];
    held_out_pairs(seed, pair);
    for (int k = 0; k < HELD_OUT_PAIRS; k++)
        if (pair[k] == colour * SHAPES + shape)
            return true;
    return false;
}

/* ---- which objects --------------------------------------------------------------------------- */

/* The values an attribute may take in this scene: few, so that attributes alone seldom decide. */
struct pool {
    int n;
    int value[WORDS_MAX_A];
};

static struct pool pool_draw(struct rng *rng, int values, int n)
{
    struct pool p = {.n = values};
    for (int i = 0; i < values; i++)
        p.value[i] = i;
    for (int i = values - 1; i > 0; i--) {
        int j = (int)rng_next_below(rng, (uint32_t)i + 1), swap = p.value[i];
        p.value[i] = p.value[j];
        p.value[j] = swap;
    }
    p.n = n < values ? n : values;
    return p;
}

static int pool_pick(const struct pool *p, struct rng *rng)
{
    return p->value[rng_next_below(rng, (uint32_t)p->n)];
}

static void draw_pools(struct pool pool[ATTRIBUTES], struct rng *rng, int n)
{
    static const int colours[] = {2, 3, 3, 4, 5, 8};
    pool[ATTR_SIZE] = pool_draw(rng, SIZES, rng_next_uniform(rng) < 0.4 ? 2 : 3);
    pool[ATTR_COLOUR] = pool_draw(rng, COLOURS, colours[rng_next_below(rng, 6)]);
    pool[ATTR_TEXTURE] = pool_draw(rng, TEXTURES, 1 + (int)rng_next_below(rng, 3));
    bool one_shape = rng_next_uniform(rng) < 0.6;
    pool[ATTR_SHAPE] = pool_draw(rng, SHAPES, one_shape ? 1 : n >= 5 ? 3 : 2);
}

static bool same_values(const struct thing *a, const struct thing *b)
{
    for (int k = 0; k < ATTRIBUTES; k++)
        if (a->value[k] != b->value[k])
            return false;
    return true;
}

static bool allowed(const struct scene *s, const struct shaperef_config *cfg, int i)
{
    const struct thing *t = &s->thing[i];
    for (int k = 0; k < i; k++)
        if (same_values(t, &s->thing[k]))
            return false;
    bool held = scene_pair_held_out(s->seed, t->value[ATTR_COLOUR], t->value[ATTR_SHAPE]);
    return !held || s->split == SHAPEREF_COMP || !cfg->scenes[SHAPEREF_COMP];
}

/* Object i out of the pools; the first two share the main shape. */
static bool draw_values(struct scene *s, const struct shaperef_config *cfg,
                        const struct pool pool[ATTRIBUTES], struct rng *rng, int i)
{
    for (int tries = 0; tries < 40; tries++) {
        for (int k = 0; k < ATTRIBUTES; k++)
            s->thing[i].value[k] = pool_pick(&pool[k], rng);
        if (i < 2)
            s->thing[i].value[ATTR_SHAPE] = pool[ATTR_SHAPE].value[0];
        if (allowed(s, cfg, i))
            return true;
    }
    return false;
}

/* In the comp split the first object is of a held-out pair, whose shape is the scene's main one. */
static void draw_held_out(struct scene *s, struct pool pool[ATTRIBUTES], struct rng *rng)
{
    int pair[HELD_OUT_PAIRS];
    held_out_pairs(s->seed, pair);
    int chosen = pair[rng_next_below(rng, HELD_OUT_PAIRS)];
    for (int k = 0; k < ATTR_SHAPE; k++)
        s->thing[0].value[k] = pool_pick(&pool[k], rng);
    s->thing[0].value[ATTR_COLOUR] = chosen / SHAPES;
    s->thing[0].value[ATTR_SHAPE] = chosen % SHAPES;
    pool[ATTR_SHAPE].value[0] = chosen % SHAPES;
}

static bool draw_things(struct scene *s, const struct shaperef_config *cfg, struct rng *rng)
{
    struct pool pool[ATTRIBUTES];
    draw_pools(pool, rng, s->n);
    int first = 0;
    if (s->split == SHAPEREF_COMP) {
        draw_held_out(s, pool, rng);
        first = 1;
    }
    for (int i = first; i < s->n; i++)
        if (!draw_values(s, cfg, pool, rng, i))
            return false;
    return true;
}

/* ---- where ----------------------------------------------------------------------------------- */

static bool free_of_others(const struct scene *s, int i)
{
    const struct thing *t = &s->thing[i];
    for (int k = 0; k < i; k++) {
        const struct thing *o = &s->thing[k];
        double least = 0.98 * (t->radius + o->radius), dx = t->x - o->x, dy = t->y - o->y;
        if (dx * dx + dy * dy < least * least)
            return false;
    }
    return true;
}

static bool place(struct scene *s, struct rng *rng, int i)
{
    struct thing *t = &s->thing[i];
    double jitter = 1 + RADIUS_JITTER * (2 * rng_next_uniform(rng) - 1);
    t->radius = class_radius[t->value[ATTR_SIZE]] * s->size / 64.0 * jitter;
    t->angle = 0.6 * rng_next_uniform(rng) - 0.3;
    for (int c = 0; c < 3; c++)
        t->tint[c] = 2 * rng_next_uniform(rng) - 1;
    double margin = SHAPE_REACH * t->radius + 0.5, span = s->size - 2 * margin;
    for (int tries = 0; tries < PLACES_TRIED && span > 0; tries++) {
        t->x = margin + span * rng_next_uniform(rng);
        t->y = margin + span * rng_next_uniform(rng);
        if (free_of_others(s, i))
            return true;
    }
    return false;
}

/* Big objects first while places are searched; the order of painting is the order of drawing. */
static bool place_all(struct scene *s, struct rng *rng)
{
    for (int i = 1; i < s->n; i++)
        for (int k = i; k > 0 && s->thing[k].value[ATTR_SIZE] > s->thing[k - 1].value[ATTR_SIZE];
             k--) {
            struct thing swap = s->thing[k];
            s->thing[k] = s->thing[k - 1];
            s->thing[k - 1] = swap;
        }
    for (int i = 0; i < s->n; i++)
        if (!place(s, rng, i))
            return false;
    return true;
}

/* The number of objects stands for ATTEMPTS_A_COUNT attempts, so that scenes that are hard to fill are not
 * passed over at once; then it is drawn anew, so that a crowded picture ends. */
static int count_objects(const struct shaperef_config *cfg, enum shaperef_split split,
                         uint64_t number, int attempt)
{
    struct rng_key key = {.seed = cfg->seed,
                          .step = number,
                          .purpose = RNG_SCENE,
                          .stream = 0x20000u + (uint32_t)split};
    uint32_t range = (uint32_t)(cfg->objects_max - cfg->objects_min + 1);
    return cfg->objects_min + (int)rng_below(&key, (uint64_t)(attempt / ATTEMPTS_A_COUNT), range);
}

bool scene_make(struct scene *ret_scene, const struct shaperef_config *cfg,
                enum shaperef_split split, uint64_t number, int attempt, uint8_t *owner)
{
    struct rng rng = {.key = {.seed = cfg->seed,
                              .step = number,
                              .purpose = RNG_SCENE,
                              .stream = (uint32_t)split | (uint32_t)attempt << 8}};
    struct scene *s = ret_scene;
    *s = (struct scene){.size = cfg->size, .seed = cfg->seed, .number = number, .split = split};
    s->n = count_objects(cfg, split, number, attempt);
    return draw_things(s, cfg, &rng) && place_all(s, &rng) && draw_boxes(s, owner);
}
