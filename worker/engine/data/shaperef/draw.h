/* draw.h - pixels of a scene: which object owns each one, and the picture. Private to shaperef. */
#ifndef ENGINE_DATA_SHAPEREF_DRAW_H
#define ENGINE_DATA_SHAPEREF_DRAW_H

#include "engine/data/image.h"
#include "engine/data/shaperef/scene.h"

/* Reach of the widest shape, in radii. */
#define SHAPE_REACH 1.2

/* Signed distance of (u, v), in radii, to the outline of a shape: negative inside. */
double shape_distance(int shape, double u, double v);

/* Part of the pixel (px, py) that the object's ink covers, 0..1. */
double thing_coverage(const struct thing *t, int px, int py);

/* Fills the boxes of all objects. False when one of them shows less than 9/10 of its pixels (those
 * with a coverage of at least one half). owner: scratch of size*size bytes; afterwards object + 1,
 * 0 = none. */
bool draw_boxes(struct scene *s, uint8_t *owner);

/* Paints into out (size x size): background, clutter, objects in order. */
void draw_scene(const struct scene *s, struct image *out);

#endif
