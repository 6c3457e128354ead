/* scope.c - names, draws and decay of a block's tensors. */
#include "engine/nn/scope.h"

#include <math.h>
#include <stdio.h>

static struct tensor *add(const struct nn_scope *s, const char *prefix, const char *leaf,
                          struct param_spec spec)
{
    char name[NN_NAME_MAX];
    spec.name = nn_joined(name, prefix, leaf);
    spec.group = s->group;
    spec.decay = spec.dims > 1;
    return param_add(s->params, &spec);
}

struct tensor *nn_matrix(const struct nn_scope *s, const char *prefix, const char *leaf,
                         int64_t out, int64_t in)
{
    if (s->init == NN_BACKBONE)
        return nn_matrix_drawn(s, prefix, leaf, out, in, INIT_NORMAL, 0.02);
    double bound = sqrt(6.0 / (double)(in + out));
    return nn_matrix_drawn(s, prefix, leaf, out, in, INIT_UNIFORM, bound);
}

struct tensor *nn_matrix_drawn(const struct nn_scope *s, const char *prefix, const char *leaf,
                               int64_t out, int64_t in, enum param_init init, double scale)
{
    struct param_spec spec = {.dims = 2, .dim = {out, in}, .init = init, .scale = scale};
    return add(s, prefix, leaf, spec);
}

struct tensor *nn_matrix_twin(const struct nn_scope *s, const char *prefix, const char *leaf,
                              const char *twin, int64_t out, int64_t in, enum param_init init,
                              double scale)
{
    char name[NN_NAME_MAX];
    struct param_spec spec = {.dims = 2,
                              .dim = {out, in},
                              .init = init,
                              .scale = scale,
                              .twin = nn_joined(name, prefix, twin)};
    return add(s, prefix, leaf, spec);
}

struct tensor *nn_vector(const struct nn_scope *s, const char *prefix, const char *leaf,
                         int64_t size, enum param_init init)
{
    struct param_spec spec = {.dims = 1, .dim = {size}, .init = init, .scale = 1};
    return add(s, prefix, leaf, spec);
}

const char *nn_indexed(char *to, const char *prefix, int64_t index)
{
    snprintf(to, NN_NAME_MAX, "%s.%lld", prefix, (long long)index);
    return to;
}

const char *nn_joined(char *to, const char *prefix, const char *leaf)
{
    snprintf(to, NN_NAME_MAX, "%s%s%s", prefix, *prefix ? "." : "", leaf);
    return to;
}
