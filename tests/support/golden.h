/* golden.h - reads the arrays that tests/golden/<name>.py wrote: a line "golden 1", then "name type
 * dims d0 d1 ..." lines, each followed by the array's bytes. */
#ifndef TEST_GOLDEN_H
#define TEST_GOLDEN_H

#include "engine/core/real.h"

#include <stdint.h>

struct golden_array {
    char name[160];
    char type; /* 'f', 'i', 'u' */
    int64_t size;
    int dims;
    int64_t dim[4];
    const void *bytes;
};

struct golden {
    char *data; /* owned: the whole file */
    int count;
    struct golden_array *array; /* owned */
};

/* Fails the running test with a sentence when the file cannot be read. */
void golden_open(struct golden *g, const char *path);
void golden_close(struct golden *g);
/* NULL if there is none of that name. */
const struct golden_array *golden_find(const struct golden *g, const char *name);
/* Fails the test if there is none. Names are "prefix/leaf". */
const struct golden_array *golden_get(const struct golden *g, const char *prefix, const char *leaf);
/* Element i as a number, whatever the type. */
double golden_at(const struct golden_array *a, int64_t i);
/* Owned copies (free()); the f copy is in the engine's real. */
real *golden_reals(const struct golden_array *a);
int32_t *golden_ints(const struct golden_array *a);
uint8_t *golden_bytes(const struct golden_array *a);

#endif
