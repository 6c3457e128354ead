/* bed.h - the test bed of an operator: inputs with guard bands, drawn from a seed; one run on one backend.
 *
 * A case's builder asks for shapes and inputs in a fixed order and returns what its operator returns. The first run
 * draws the inputs; later runs (another backend, one element moved) get the same tensors. The output is reduced to a scalar
 * with random weights, so that backward starts from something different for every element.
 */
#ifndef TEST_OPS_BED_H
#define TEST_OPS_BED_H

#include "base/rng.h"
#include "engine/backend/backend.h"
#include "engine/op/op.h"

#include <stdbool.h>

#define BED_INPUTS 12
#define BED_GRAD0 0.25 /* gradients start here: backward must add, not overwrite */

struct bed_input {
    struct tensor tensor;
    real *block;  /* guard, data, guard, grad, guard; owned */
    real *before; /* copy of the data; owned */
    real *grad;   /* where tensor.grad points unless it is left out */
};

struct bed {
    uint64_t seed;
    struct rng rng; /* shapes and constants; rewound before each run */
    int inputs, next;
    struct bed_input input[BED_INPUTS];
    int without_grad; /* index of an input that wants no gradient; -1 none */
    /* of the last run, owned */
    real *y;
    int64_t y_size;
    double loss;
};

struct bed_case {
    const char *name;
    struct tensor *(*build)(struct ctx *cx, struct bed *bed);
    double tolerance; /* |a - b| <= tolerance (1 + |ref|), in float, between backends */
};

/* For builders. Shapes: 1, odd, prime and round sizes, at most `most`. */
int64_t bed_dim(struct bed *bed, int64_t most);
struct tensor *bed_input(struct bed *bed, int dims, const int64_t *dim); /* N(0,1) */
#define BED_INPUT(bed, ...)                                                                        \
    bed_input(bed, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                      \
              (int64_t[]){__VA_ARGS__})
struct tensor *bed_boxes(struct bed *bed, int64_t n); /* cx cy w h inside the unit square */
/* A constant array in the step's memory. */
real *bed_constant(struct ctx *cx, struct bed *bed, int64_t n);
uint8_t *bed_bits(struct ctx *cx, struct bed *bed, int64_t n, double share);
int32_t *bed_indices(struct ctx *cx, struct bed *bed, int64_t n, int64_t below);

/* For tests. */
void bed_init(struct bed *bed, uint64_t seed);
void bed_fini(struct bed *bed);
void bed_release(void); /* at the end of the process: the contexts that all beds share */
/* Forward, and backward when asked; checks guards and that no input changed. Fails the test on an error of the ctx. */
void bed_run(struct bed *bed, const struct bed_case *c, const struct backend *be, bool backward);

extern const struct bed_case bed_cases[];
extern const int bed_case_count;

#endif
