/* names.c - the table of official names: storage, look-up, copying. */
#include "engine/model/names.h"

#include "engine/model/kind.h"

#include <stdlib.h>
#include <string.h>

struct name_map *names_add(struct names *n)
{
    if (n->count == n->size && !n->failed) {
        int size = n->size ? 2 * n->size : 64;
        struct name_map *map = realloc(n->map, (size_t)size * sizeof *map);
        if (map) {
            n->map = map;
            n->size = size;
        }
        n->failed = !map;
    }
    if (n->failed)
        return NULL;
    struct name_map *m = &n->map[n->count++];
    memset(m, 0, sizeof *m);
    return m;
}

enum status names_create(struct names **ret_names, const char *kind,
                         const struct model_shape *shape, struct err *err)
{
    const struct model_kind *found = model_kind_find(kind);
    if (!found)
        return model_kind_unknown(kind, err);
    struct names *n = calloc(1, sizeof *n);
    if (n)
        found->names(n, shape);
    if (!n || n->failed) {
        names_destroy(n);
        return err_set(err, ST_NOMEM, "no memory for the table of tensor names");
    }
    *ret_names = n;
    return ST_OK;
}

void names_destroy(struct names *n)
{
    if (!n)
        return;
    free(n->map);
    free(n);
}

const struct name_map *names_find(const struct names *n, const char *official)
{
    for (int i = 0; i < n->count; i++)
        if (strcmp(n->map[i].official, official) == 0)
            return &n->map[i];
    return NULL;
}

const struct name_map *names_find_ours(const struct names *n, const char *ours, int *ret_part)
{
    for (int i = 0; i < n->count; i++)
        for (int k = 0; k < n->map[i].parts; k++)
            if (strcmp(n->map[i].part[k].ours, ours) == 0) {
                *ret_part = k;
                return &n->map[i];
            }
    return NULL;
}

int64_t name_map_size(const struct name_map *m)
{
    int64_t n = 1;
    for (int i = 0; i < m->dims; i++)
        n *= m->dim[i];
    return n;
}

/* Index in the official [Co,Ci,k,k] of element i of ours [Co,(ky,kx,ci)]. */
static int64_t kernel_index(const struct name_map *m, int64_t i)
{
    int64_t ci = m->dim[1], k = m->dim[2];
    int64_t out = i / (ci * k * k), tap = i / ci % (k * k), in = i % ci;
    return (out * ci + in) * k * k + tap;
}

static int64_t part_size(const struct name_map *m, int part)
{
    return m->part[part].rows * (name_map_size(m) / m->dim[0]);
}

static int64_t part_start(const struct name_map *m, int part)
{
    return m->part[part].row * (name_map_size(m) / m->dim[0]);
}

void name_pack(const struct name_map *m, int part, real *official, const real *ours)
{
    int64_t n = part_size(m, part);
    if (m->layout == NAME_ROWS)
        memcpy(official + part_start(m, part), ours, (size_t)n * sizeof *ours);
    else
        for (int64_t i = 0; i < n; i++)
            official[kernel_index(m, i)] = ours[i];
}

void name_unpack(const struct name_map *m, int part, real *ours, const real *official)
{
    int64_t n = part_size(m, part);
    if (m->layout == NAME_ROWS)
        memcpy(ours, official + part_start(m, part), (size_t)n * sizeof *ours);
    else
        for (int64_t i = 0; i < n; i++)
            ours[i] = official[kernel_index(m, i)];
}
