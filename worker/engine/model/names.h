/* names.h - the names and shapes that other programs know a model's tensors by.
 *
 * Data for whoever writes an expanded checkpoint or reads a foreign one: an official tensor is made
 * of one to three of ours, stacked along the first dimension (packed q, k, v), possibly with extra
 * dimensions of 1 or with a convolution kernel's axes in another order. docs/spec/model-mdetr.md 2.
 * Every parameter of a dense model but the warm-up head is a part of exactly one entry.
 */
#ifndef ENGINE_MODEL_NAMES_H
#define ENGINE_MODEL_NAMES_H

#include "base/err.h"
#include "engine/core/real.h"
#include "structure/shape.h"

#include <stdint.h>

#define NAME_MAX_LEN 96
#define NAME_PARTS 3

enum name_layout {
    NAME_ROWS,  /* same order of elements */
    NAME_KERNEL /* official [Co,Ci,k,k], ours [Co,(ky,kx,ci)] */
};

struct name_part {
    char ours[NAME_MAX_LEN];
    int64_t row, rows; /* takes rows row .. row+rows-1 of the official tensor's first dimension */
};

struct name_map {
    char official[NAME_MAX_LEN];
    int dims;
    int64_t dim[4];
    enum name_layout layout; /* KERNEL has one part */
    int parts;
    struct name_part part[NAME_PARTS];
};

struct names {
    int count;
    struct name_map *map; /* owned */
    int size;             /* allocated */
    bool failed;          /* out of memory, kept until names_create() reports it */
};

/* All tensors of a dense model of this kind and shape. */
enum status names_create(struct names **ret_names, const char *kind,
                         const struct model_shape *shape, struct err *err);
void names_destroy(struct names *n); /* NULL allowed */
/* NULL if none. Borrowed. */
const struct name_map *names_find(const struct names *n, const char *official);
/* The entry that our tensor is a part of, and which part; NULL if none. */
const struct name_map *names_find_ours(const struct names *n, const char *ours, int *ret_part);
int64_t name_map_size(const struct name_map *m); /* elements */

/* One part's values between our tensor and the whole official one (name_map_size() elements; other
 * parts untouched). */
void name_pack(const struct name_map *m, int part, real *official, const real *ours);
void name_unpack(const struct name_map *m, int part, real *ours, const real *official);

/* For the families: appends a zeroed entry and returns it to be filled; NULL after a failure. */
struct name_map *names_add(struct names *n);
void mdetr_names(struct names *to, const struct model_shape *shape);

#endif
