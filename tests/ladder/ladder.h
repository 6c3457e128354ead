/* ladder.h - a kernel's rungs, from its definition to what the product runs, so that each step's worth can be seen.
 *
 * A ladder makes a scene (arrays and sizes); rung 0 is the definition, by which all others are checked before any is timed. One
 * file holds one kernel's ladder. To add a rung: a function that writes the outputs from the inputs, and its line in the ladder.
 */
#ifndef TEST_LADDER_H
#define TEST_LADDER_H

#include "engine/backend/backend.h"

#include <stdbool.h>

#define LADDER_ARRAYS 10
#define LADDER_RUNGS 8

struct scene {
    const struct backend *cpu, *ref;
    bool large;                 /* shapes of a model, else of a test */
    real *array[LADDER_ARRAYS]; /* owned; which is which is the ladder's own affair */
    int64_t length[LADDER_ARRAYS];
    int arrays, first_out; /* array[first_out ..] are outputs */
    int64_t n[8];          /* sizes, likewise */
    double operations,
        bytes; /* of one run: arithmetic, and what must move at least; 0 = not of interest */
    char shape[64];
};

struct rung {
    const char *name;
    void (*run)(struct scene *s);
};

struct ladder {
    const char *name;
    double tolerance; /* |a - b| <= tolerance (1 + |b|), b of rung 0 */
    void (*make)(struct scene *s);
    void (*reset)(struct scene *s); /* before each run, not timed; NULL: nothing to do */
    struct rung rung[LADDER_RUNGS];
};

extern const struct ladder ladder_gemm, ladder_layernorm, ladder_softmax, ladder_attention,
    ladder_adamw, ladder_conv;

/* The next array: n numbers of about N(0,1), or zeros; returns it. */
real *scene_normal(struct scene *s, int64_t n);
real *scene_zero(struct scene *s, int64_t n);
void scene_fini(struct scene *s);
/* With one thread (alone) the processor's time: what other programs take does not show. */
double ladder_seconds(bool alone);

/* Not a ladder: the products of a step's layers against BLAS, odd shapes checked, with `timed` a step's timed too, on one thread. */
int products_compare(bool timed);

#endif
