/* shaperef.h - ShapeRef, the made data set: scenes of simple shapes, exact boxes, expressions that
 * are true of exactly one object (docs/spec/data.md 4).
 *
 * Everything is a pure function of (seed, split, scene number): any scene can be made alone.
 */
#ifndef ENGINE_DATA_SHAPEREF_H
#define ENGINE_DATA_SHAPEREF_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SHAPEREF_OBJECTS_MAX 10

enum shaperef_split { SHAPEREF_TRAIN, SHAPEREF_VAL, SHAPEREF_TEST, SHAPEREF_COMP, SHAPEREF_SPLITS };
enum shaperef_family {
    FAMILY_ATTR,
    FAMILY_ORDINAL,
    FAMILY_REL,
    FAMILY_REL2,
    FAMILY_CMP,
    FAMILY_NEG,
    FAMILY_COUNT
};
extern const char *const shaperef_split_name[SHAPEREF_SPLITS];
extern const char *const shaperef_family_name[FAMILY_COUNT];

struct shaperef_config {
    uint64_t seed;
    int size;                        /* picture side in pixels, 32 to 1024 */
    int objects_min, objects_max;    /* 2 to SHAPEREF_OBJECTS_MAX */
    int64_t scenes[SHAPEREF_SPLITS]; /* 0 = the split is not made; COMP > 0 holds pairs out */
    int expressions;          /* a scene, 0 to 32; those that the scene cannot give are left out */
    double mix[FAMILY_COUNT]; /* weights of the families, >= 0, not all 0 */
    int captions;             /* pre-training captions a scene, 0 to 8 */
    /* Called now and then while a split is made; NULL allowed. */
    void (*progress)(void *arg, enum shaperef_split split, int64_t done, int64_t total);
    void *progress_arg;
};

/* 64 px, 3-6 objects, 20,000 / 500 / 2,000 scenes, 6 expressions, all families alike, 1 caption. */
void shaperef_defaults(struct shaperef_config *cfg);
enum status shaperef_check(const struct shaperef_config *cfg, struct err *err);

/* Writes the files of docs/spec/data.md 4 into dir (made when missing). An annotation file appears
 * only when all its pictures are on disk, so an interrupted run leaves none that is incomplete. */
enum status shaperef_make(const struct shaperef_config *cfg, const char *dir, struct err *err);

#endif
