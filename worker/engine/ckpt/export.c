/* export.c - writing the two forms; see export.h. */
#include "engine/ckpt/export.h"

#include "base/buf.h"
#include "engine/ckpt/shape_json.h"
#include "engine/model/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_MAX 16
#define STRUCTURE_JSON_MAX (16u << 20)

/* What is given to safetensors_write(), with the memory behind it. */
struct file_plan {
    struct safetensors_out *tensor; /* owned */
    int n;
    struct safetensors_meta meta[META_MAX];
    int metas;
    char (*index_name)[SITE_NAME_MAX + 8]; /* owned; one a site */
    int32_t *index;                        /* owned; all index maps */
    real *official;                        /* owned; expanded values */
    struct buf shape, structure;
};

static enum status plan_init(struct file_plan *f, size_t tensors, size_t sites, size_t groups,
                             struct err *err)
{
    *f = (struct file_plan){.tensor = calloc(tensors, sizeof *f->tensor),
                            .index_name = calloc(sites, sizeof *f->index_name),
                            .index = calloc(2 * groups, sizeof *f->index)};
    buf_init(&f->shape, 1u << 16);
    buf_init(&f->structure, STRUCTURE_JSON_MAX);
    if (f->tensor && f->index_name && f->index)
        return ST_OK;
    return err_set(err, ST_NOMEM, "out of memory for an export of %zu tensors", tensors);
}

static void plan_fini(struct file_plan *f)
{
    free(f->tensor);
    free(f->index_name);
    free(f->index);
    free(f->official);
    buf_fini(&f->shape);
    buf_fini(&f->structure);
}

static void add_meta(struct file_plan *f, const char *key, const char *value)
{
    if (f->metas < META_MAX)
        f->meta[f->metas++] = (struct safetensors_meta){key, value};
}

static void add_common_meta(struct file_plan *f, const char *format, const struct model *m,
                            const struct structure *st, const struct export_options *opt)
{
    shape_write_json(model_shape(m), &f->shape);
    structure_write_json(st, &f->structure);
    add_meta(f, "espalier.format", format);
    add_meta(f, "espalier.model", model_kind_name(m));
    add_meta(f, "espalier.shape", buf_str(&f->shape));
    add_meta(f, "espalier.structure", buf_str(&f->structure));
    for (int i = 0; i < opt->metas; i++)
        add_meta(f, opt->meta[i].key, opt->meta[i].value);
}

static bool is_warmup(const char *name)
{
    return strncmp(name, "warmup.", 7) == 0;
}

/* The model's own structure, or the full one; the caller destroys it. */
static enum status structure_of(struct structure **ret_st, struct model *m, struct err *err)
{
    struct binding *b = model_binding(m);
    TRY(structure_create(ret_st, binding_frame(b), err));
    if (binding_hard(b))
        structure_copy(*ret_st, binding_hard(b));
    return ST_OK;
}

/* ---- shared ---------------------------------------------------------------------------------- */

static void add_params(struct file_plan *f, struct params *p, const real *values, enum dtype dtype)
{
    for (int i = 0; i < params_count(p); i++) {
        const struct param *q = params_at(p, i);
        if (is_warmup(q->spec.name))
            continue;
        struct safetensors_out *t = &f->tensor[f->n++];
        *t = (struct safetensors_out){.name = q->spec.name,
                                      .dtype = dtype,
                                      .from = DTYPE_REAL,
                                      .dims = q->spec.dims,
                                      .data = values + q->offset};
        memcpy(t->dim, q->spec.dim, sizeof q->spec.dim);
    }
}

/* Position of group g among the groups that its site stores. */
static int32_t stored_position(const struct site *site, const uint8_t *stored, int g)
{
    int32_t n = 0;
    for (int i = site->first; i < g; i++)
        n += stored[i];
    return n;
}

static void add_indices(struct file_plan *f, const struct structure *st, const uint8_t *stored)
{
    int32_t *at = f->index;
    for (int i = 0; i < st->frame->nsites; i++) {
        const struct site *site = &st->frame->site[i];
        int32_t *start = at;
        for (int g = site->first; g < site->first + site->groups; g++) {
            if (!st->m[g])
                continue;
            int owner_site;
            int owner = structure_owner(st, i, g, &owner_site);
            *at++ = owner_site;
            *at++ = stored_position(&st->frame->site[owner_site], stored, owner);
        }
        snprintf(f->index_name[i], sizeof f->index_name[i], "index.%s", site->name);
        f->tensor[f->n++] = (struct safetensors_out){.name = f->index_name[i],
                                                     .dtype = DTYPE_I32,
                                                     .from = DTYPE_I32,
                                                     .dims = 2,
                                                     .dim = {(at - start) / 2, 2},
                                                     .data = start};
    }
}

enum status export_shared(const char *path, struct model *m, const real *values,
                          const struct export_options *opt, char ret_sha[HASH_HEX_SIZE],
                          struct err *err)
{
    struct structure *st = NULL;
    struct file_plan f = {0};
    TRY(structure_of(&st, m, err));
    size_t sites = (size_t)st->frame->nsites, groups = (size_t)st->frame->ngroups;
    uint8_t *stored = calloc(groups, 1);
    enum status status =
        stored ? plan_init(&f, (size_t)params_count(model_params(m)) + sites, sites, groups, err)
               : err_set(err, ST_NOMEM, "out of memory for an export");
    if (status == ST_OK) {
        structure_stored(st, stored);
        add_params(&f, model_params(m), values, opt->dtype);
        add_indices(&f, st, stored);
        add_common_meta(&f, "shared-1", m, st, opt);
        status = safetensors_write(path, f.tensor, f.n, f.meta, f.metas, ret_sha, err);
    }
    plan_fini(&f);
    free(stored);
    structure_destroy(st);
    return status;
}

/* ---- expanded -------------------------------------------------------------------------------- */

static void add_official(struct file_plan *f, const struct names *names, struct params *p,
                         const real *values, enum dtype dtype)
{
    real *at = f->official;
    for (int i = 0; i < names->count; i++) {
        const struct name_map *map = &names->map[i];
        for (int k = 0; k < map->parts; k++) {
            const struct param *q = params_find(p, map->part[k].ours);
            name_pack(map, k, at, values + q->offset);
        }
        struct safetensors_out *t = &f->tensor[f->n++];
        *t = (struct safetensors_out){.name = map->official,
                                      .dtype = dtype,
                                      .from = DTYPE_REAL,
                                      .dims = map->dims,
                                      .data = at};
        memcpy(t->dim, map->dim, sizeof map->dim);
        at += name_map_size(map);
    }
}

static enum status write_expanded(const char *path, struct model *dense, const real *values,
                                  const struct structure *st, const struct export_options *opt,
                                  char ret_sha[HASH_HEX_SIZE], struct err *err)
{
    struct names *names = NULL;
    struct file_plan f = {0};
    struct params *p = model_params(dense);
    TRY(names_create(&names, model_kind_name(dense), model_shape(dense), err));
    enum status status = plan_init(&f, (size_t)names->count, 1, 1, err);
    if (status == ST_OK && !(f.official = malloc((size_t)params_size(p) * sizeof(real))))
        status = err_set(err, ST_NOMEM, "out of memory for an expanded export");
    if (status == ST_OK) {
        add_official(&f, names, p, values, opt->dtype);
        add_common_meta(&f, "expanded-1", dense, st, opt);
        status = safetensors_write(path, f.tensor, f.n, f.meta, f.metas, ret_sha, err);
    }
    plan_fini(&f);
    names_destroy(names);
    return status;
}

enum status export_expanded(const char *path, struct model *m, const real *values,
                            const struct export_options *opt, char ret_sha[HASH_HEX_SIZE],
                            struct err *err)
{
    struct structure *st = NULL;
    struct model *dense = NULL;
    struct binding *b = model_binding(m);
    TRY(structure_of(&st, m, err));
    if (!binding_hard(b)) {
        enum status plain = write_expanded(path, m, values, st, opt, ret_sha, err);
        structure_destroy(st);
        return plain;
    }
    enum status status = model_create(&dense, model_kind_name(m), model_shape(m), binding_frame(b),
                                      NULL, false, 0, err);
    if (status == ST_OK) {
        struct params *p = model_params(dense);
        status = expand_values(p, params_values(p), model_params(m), values, st, err);
        if (status == ST_OK)
            status = write_expanded(path, dense, params_values(p), st, opt, ret_sha, err);
    }
    model_destroy(dense);
    structure_destroy(st);
    return status;
}
