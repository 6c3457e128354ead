/* scene.h - a ShapeRef scene as a value: which objects, where, and the words for what they are.
 * Private to shaperef and its tests. */
#ifndef ENGINE_DATA_SHAPEREF_SCENE_H
#define ENGINE_DATA_SHAPEREF_SCENE_H

#include "base/rng.h"
#include "engine/data/shaperef/shaperef.h"

/* In the order in which a phrase names them. */
enum attribute { ATTR_SIZE, ATTR_COLOUR, ATTR_TEXTURE, ATTR_SHAPE, ATTRIBUTES };
enum { SIZES = 3, COLOURS = 8, TEXTURES = 3, SHAPES = 8, WORDS_MAX_A = 8 };
enum texture { TEXTURE_SOLID, TEXTURE_STRIPED, TEXTURE_HOLLOW };

extern const int attribute_values[ATTRIBUTES];
extern const char *const attribute_word[ATTRIBUTES][WORDS_MAX_A];

struct thing {
    int value[ATTRIBUTES];
    double x, y, radius; /* pixels */
    double angle;        /* radians */
    double tint[3];      /* colour jitter, about -1..1 a channel */
    int x0, y0, x1, y1;  /* tight box of the visible pixels, x1 and y1 exclusive */
};

struct scene {
    int size; /* pixels a side */
    int n;
    struct thing thing[SHAPEREF_OBJECTS_MAX]; /* later ones lie on top */
    uint64_t seed, number;
    enum shaperef_split split;
};

/* Makes attempt `attempt` of scene `number`, boxes included: a pure function of its arguments.
 * false: the objects found no room in this attempt. owner: scratch of size*size bytes, afterwards
 * as draw_boxes() leaves it. attempt < 256. */
bool scene_make(struct scene *ret_scene, const struct shaperef_config *cfg,
                enum shaperef_split split, uint64_t number, int attempt, uint8_t *owner);

/* Whether a (colour, shape) pair belongs to the tenth that a set with a comp split holds out. */
bool scene_pair_held_out(uint64_t seed, int colour, int shape);

double thing_centre_x(const struct thing *t); /* of its box */
double thing_centre_y(const struct thing *t);

#endif
