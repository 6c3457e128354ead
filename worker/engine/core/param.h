/* param.h - the one table of named parameters.
 *
 * Every nn block adds its tensors with param_add() while the model is created; params_allocate()
 * then lays all values and all gradients into one block each, in the order of adding. Allocation,
 * initialisation, decay groups, gradient buckets, checkpoint names and the tests' loops all read
 * this table; no second list of parameters exists.
 */
#ifndef ENGINE_PARAM_H
#define ENGINE_PARAM_H

#include "base/err.h"
#include "engine/core/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* Learning-rate groups. */
enum param_group { PARAM_VISION, PARAM_TEXT, PARAM_REST, PARAM_HYPER, PARAM_GROUPS };

enum param_init {
    INIT_ZERO,
    INIT_ONE,
    INIT_NORMAL,      /* N(0, scale) truncated at 2 scale */
    INIT_NORMAL_FULL, /* N(0, scale) */
    INIT_UNIFORM,     /* U(-scale, scale) */
    INIT_ORTHOGONAL,  /* rows orthonormal (rows <= columns) */
    INIT_SINE2D, /* [N,C]: 2-D sine positions on a square grid times scale (docs/spec/model-mdetr.md
                    3) */
};

struct param_spec {
    const char *name; /* copied; unique; e.g. "text.3.ffn.w1" */
    int dims;
    int64_t dim[TENSOR_DIMS];
    enum param_init init;
    double scale;
    enum param_group group;
    bool decay; /* weight decay applies (matrices and embeddings) */
    const char *
        twin; /* drawn exactly as the parameter of this name would be; NULL = as itself; read at param_add() */
    uint64_t key; /* of the draws; set by param_add() */
};

struct param {
    struct tensor tensor; /* data and grad point into the blocks */
    struct param_spec spec;
    int64_t offset; /* first element in the blocks */
    int64_t size;
};

struct params;

enum status params_create(struct params **ret_params, struct err *err);
void params_destroy(struct params *p); /* NULL allowed */

/* The returned tensor stays valid for the table's life; its data is NULL before params_allocate().
 * The first failure (no memory, duplicate name) is kept and reported by params_allocate(); NULL
 * then. */
struct tensor *param_add(struct params *p, const struct param_spec *spec);
enum status params_allocate(struct params *p, struct err *err);
/* Draws are keyed by (seed, name): adding a parameter changes no other. */
void params_init(struct params *p, uint64_t seed);

int params_count(const struct params *p);                      /* tensors */
int64_t params_size(const struct params *p);                   /* elements */
struct param *params_at(struct params *p, int i);              /* in order of adding */
struct param *params_find(struct params *p, const char *name); /* NULL if none */
real *params_values(struct params *p);
real *params_grads(struct params *p);
void params_zero_grads(struct params *p);
/* Gradients of this group are neither computed nor applied: tensors' grad = NULL while frozen. */
void params_freeze(struct params *p, enum param_group group, bool frozen);

#endif
