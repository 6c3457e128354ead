/* scope.h - how an nn block adds its tensors to the one parameter table.
 *
 * A scope says where the tensors go, to which learning-rate group, and how matrices are
 * initialised; the block gives a prefix and the leaf. Biases start at 0, matrices and embeddings
 * decay, vectors do not. Names and initialisations: docs/spec/model-mdetr.md 2.
 */
#ifndef ENGINE_NN_SCOPE_H
#define ENGINE_NN_SCOPE_H

#include "engine/core/param.h"
#include "engine/structure/binding.h"

#define NN_NAME_MAX 96

enum nn_init {
    NN_BACKBONE, /* N(0,.02) truncated at 2 sigma */
    NN_XAVIER    /* U(-a,a), a = sqrt(6/(in+out)) */
};

struct nn_scope {
    struct params *params;
    struct binding *binding; /* of the model; used by backbone blocks */
    enum param_group group;
    enum nn_init init;
};

/* Each returns the parameter's tensor, NULL after the table's first failure (reported by
 * params_allocate()). prefix "" and leaf "x" name "x", else "prefix.leaf". */
struct tensor *nn_matrix(const struct nn_scope *s, const char *prefix, const char *leaf,
                         int64_t out, int64_t in);
/* As nn_matrix, with a draw of its own. */
struct tensor *nn_matrix_drawn(const struct nn_scope *s, const char *prefix, const char *leaf,
                               int64_t out, int64_t in, enum param_init init, double scale);
/* Starts equal to the matrix prefix.twin of the same size and draw. */
struct tensor *nn_matrix_twin(const struct nn_scope *s, const char *prefix, const char *leaf,
                              const char *twin, int64_t out, int64_t in, enum param_init init,
                              double scale);
struct tensor *nn_vector(const struct nn_scope *s, const char *prefix, const char *leaf,
                         int64_t size, enum param_init init);

/* "prefix.index" into to[NN_NAME_MAX]; Returns to. */
const char *nn_indexed(char *to, const char *prefix, int64_t index);
/* "prefix.leaf" into to[NN_NAME_MAX]. Returns to. */
const char *nn_joined(char *to, const char *prefix, const char *leaf);

#endif
