/* param.c - see param.h. */
#include "engine/core/param.h"

#include "base/rng.h"
#include "engine/backend/memory.h"
#include "engine/core/init.h"

#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX (1 << 20) /* tensors */
#define ELEMENTS_MAX                                                                               \
    ((int64_t)1 << 36) /* of all tensors: no size in bytes comes near an overflow */

struct params {
    struct param **at; /* owned, one allocation each: a tensor never moves */
    int count, room;
    int *slot; /* open hash of the names, owned: index into at, -1 free */
    int slots; /* a power of two */
    int64_t size;
    real *value, *grad; /* owned; NULL before params_allocate() */
    struct err failure; /* code ST_OK: none */
};

enum status params_create(struct params **ret_params, struct err *err)
{
    struct params *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(err, ST_NOMEM, "no memory for a parameter table");
    *ret_params = p;
    return ST_OK;
}

void params_destroy(struct params *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->count; i++) {
        free((char *)p->at[i]->spec.name);
        free(p->at[i]);
    }
    free(p->at);
    free(p->slot);
    free(p->value);
    free(p->grad);
    free(p);
}

/* The slot that holds the name, or the free one where it belongs. */
static int find_slot(const struct params *p, const char *name)
{
    int i = (int)(rng_hash(name) & (uint64_t)(p->slots - 1));
    while (p->slot[i] >= 0 && strcmp(p->at[p->slot[i]]->spec.name, name) != 0)
        i = (i + 1) & (p->slots - 1);
    return i;
}

static enum status grow(struct params *p)
{
    if (p->count < p->room)
        return ST_OK;
    if (p->count >= PARAMS_MAX)
        return err_set(&p->failure, ST_LIMIT, "a model has at most %d tensors", PARAMS_MAX);
    int room = p->room ? 2 * p->room : 64, slots = 2 * room;
    struct param **at = realloc(p->at, (size_t)room * sizeof *at);
    if (at)
        p->at = at;
    int *slot = malloc((size_t)slots * sizeof *slot);
    if (!at || !slot) {
        free(slot);
        return err_set(&p->failure, ST_NOMEM, "no memory for a table of %d parameters", room);
    }
    free(p->slot);
    p->room = room;
    p->slot = slot;
    p->slots = slots;
    memset(slot, 0xff, (size_t)slots * sizeof *slot);
    for (int i = 0; i < p->count; i++)
        slot[find_slot(p, p->at[i]->spec.name)] = i;
    return ST_OK;
}

static enum status check_spec(const struct param_spec *s, int64_t *ret_size, struct err *err)
{
    if (s->dims < 1 || s->dims > TENSOR_DIMS)
        return err_set(err, ST_INVALID, "parameter '%s' has %d dimensions; 1 to %d are possible",
                       s->name, s->dims, TENSOR_DIMS);
    int64_t size = 1;
    for (int i = 0; i < s->dims; i++) {
        if (s->dim[i] < 1 || s->dim[i] > ELEMENTS_MAX / size)
            return err_set(err, ST_INVALID, "parameter '%s': dimension %d is %lld", s->name, i,
                           (long long)s->dim[i]);
        size *= s->dim[i];
    }
    TRY(init_check(s, err));
    *ret_size = size;
    return ST_OK;
}

static struct param *make_param(const struct param_spec *spec, int64_t offset, int64_t size)
{
    struct param *q = calloc(1, sizeof *q);
    char *name = strdup(spec->name);
    if (!q || !name) {
        free(q);
        free(name);
        return NULL;
    }
    q->spec = *spec;
    q->spec.name = name;
    q->spec.key = rng_hash(spec->twin ? spec->twin : name);
    q->spec.twin = NULL;
    q->offset = offset;
    q->size = size;
    q->tensor = (struct tensor){.dims = spec->dims, .name = name};
    for (int i = 0; i < spec->dims; i++)
        q->tensor.dim[i] = spec->dim[i];
    return q;
}

struct tensor *param_add(struct params *p, const struct param_spec *spec)
{
    int64_t size = 0;
    if (p->failure.code != ST_OK || check_spec(spec, &size, &p->failure) != ST_OK ||
        grow(p) != ST_OK)
        return NULL;
    int slot = find_slot(p, spec->name);
    struct param *q = NULL;
    if (p->value)
        err_set(&p->failure, ST_STATE, "parameter '%s' was added after the table was allocated",
                spec->name);
    else if (p->slot[slot] >= 0)
        err_set(&p->failure, ST_EXISTS, "two parameters are called '%s'", spec->name);
    else if (size > ELEMENTS_MAX - p->size)
        err_set(&p->failure, ST_LIMIT, "parameter '%s' makes the model larger than %lld elements",
                spec->name, (long long)ELEMENTS_MAX);
    else if (!(q = make_param(spec, p->size, size)))
        err_set(&p->failure, ST_NOMEM, "no memory for parameter '%s'", spec->name);
    if (!q)
        return NULL;
    p->slot[slot] = p->count;
    p->at[p->count++] = q;
    p->size += size;
    return &q->tensor;
}

static real *zero_block(int64_t elements)
{
    size_t bytes = (size_t)elements * sizeof(real);
    real *block = memory_host.alloc(bytes);
    if (block)
        memory_host.zero(block, bytes);
    return block;
}

enum status params_allocate(struct params *p, struct err *err)
{
    if (p->failure.code != ST_OK)
        return err_set(err, p->failure.code, "%s", p->failure.text);
    if (p->value)
        return err_set(err, ST_STATE, "the parameter table is already allocated");
    p->value = zero_block(p->size);
    p->grad = zero_block(p->size);
    if (!p->value || !p->grad) {
        free(p->value);
        free(p->grad);
        p->value = p->grad = NULL;
        return err_set(err, ST_NOMEM, "no memory for %lld parameters", (long long)p->size);
    }
    for (int i = 0; i < p->count; i++) {
        p->at[i]->tensor.data = p->value + p->at[i]->offset;
        p->at[i]->tensor.grad = p->grad + p->at[i]->offset;
    }
    return ST_OK;
}

void params_init(struct params *p, uint64_t seed)
{
    for (int i = 0; i < p->count; i++)
        init_fill(p->at[i]->tensor.data, &p->at[i]->spec, seed);
}

int params_count(const struct params *p)
{
    return p->count;
}

int64_t params_size(const struct params *p)
{
    return p->size;
}

struct param *params_at(struct params *p, int i)
{
    return p->at[i];
}

struct param *params_find(struct params *p, const char *name)
{
    if (!p->slots)
        return NULL;
    int i = p->slot[find_slot(p, name)];
    return i < 0 ? NULL : p->at[i];
}

real *params_values(struct params *p)
{
    return p->value;
}

real *params_grads(struct params *p)
{
    return p->grad;
}

void params_zero_grads(struct params *p)
{
    if (p->grad)
        memory_host.zero(p->grad, (size_t)p->size * sizeof(real));
}

void params_freeze(struct params *p, enum param_group group, bool frozen)
{
    for (int i = 0; i < p->count; i++)
        if (p->at[i]->spec.group == group)
            p->at[i]->tensor.grad = frozen || !p->grad ? NULL : p->grad + p->at[i]->offset;
}
