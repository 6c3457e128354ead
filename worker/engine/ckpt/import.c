/* import.c - reading what export.c writes, and files with the official names; see export.h. */
#include "engine/ckpt/export.h"

#include "engine/ckpt/shape_json.h"
#include "engine/model/names.h"

#include <stdlib.h>
#include <string.h>

/* ---- shared ---------------------------------------------------------------------------------- */

static enum status load_table(struct safetensors *f, struct model *m, struct err *err)
{
    struct params *p = model_params(m);
    for (int i = 0; i < params_count(p); i++) {
        struct param *q = params_at(p, i);
        if (strncmp(q->spec.name, "warmup.", 7) != 0)
            TRY(safetensors_load(f, q->spec.name, DTYPE_REAL, q->spec.dims, q->spec.dim,
                                 q->tensor.data, err));
    }
    return ST_OK;
}

/* want: NULL, or the frame that it must have. With it the sizes are known before memory is asked for them. */
static enum status create_stored(struct model **ret_model, struct frame **ret_frame,
                                 struct safetensors *f, const char *path, const struct frame *want,
                                 struct err *err)
{
    const char *shape_json = safetensors_metadata(f, "espalier.shape");
    const char *st_json = safetensors_metadata(f, "espalier.structure");
    const char *kind = safetensors_metadata(f, "espalier.model");
    struct model_shape shape;
    struct structure *st = NULL;
    if (!shape_json || !st_json || !kind)
        return err_set(err, ST_CORRUPT,
                       "%s lacks the model's kind, shape or structure in its metadata", path);
    TRY(shape_read_json(&shape, shape_json, err));
    TRY(structure_read_json(ret_frame, &st, st_json, strlen(st_json), err));
    enum status status = ST_OK;
    if (want && !frame_equal(*ret_frame, want))
        status = err_set(err, ST_INVALID,
                         "%s holds a model of other sizes or sharing options than the job's", path);
    if (status == ST_OK)
        status = model_create(ret_model, kind, &shape, *ret_frame, st, false, 0, err);
    structure_destroy(st);
    if (status != ST_OK)
        frame_destroy(*ret_frame);
    return status;
}

static enum status read_shared(struct model **ret_model, struct frame **ret_frame,
                               struct safetensors *f, const char *path, const struct frame *want,
                               struct err *err)
{
    TRY(create_stored(ret_model, ret_frame, f, path, want, err));
    enum status st = load_table(f, *ret_model, err);
    if (st != ST_OK) {
        model_destroy(*ret_model);
        frame_destroy(*ret_frame);
        return err_prefix(err, "%s", path);
    }
    return ST_OK;
}

enum status import_shared(struct model **ret_model, struct frame **ret_frame, const char *path,
                          struct err *err)
{
    struct safetensors *f;
    struct model *m;
    struct frame *frame;
    TRY(safetensors_open(&f, path, err));
    const char *format = safetensors_metadata(f, "espalier.format");
    enum status st = format && strcmp(format, "shared-1") == 0
                         ? read_shared(&m, &frame, f, path, NULL, err)
                         : err_set(err, ST_INVALID, "%s is not a shared export (format %s)", path,
                                   format ? format : "unknown");
    safetensors_close(f);
    if (st == ST_OK) {
        *ret_model = m;
        *ret_frame = frame;
    }
    return st;
}

/* A shared file into a dense model: as the compact one first, then expanded. */
static enum status import_from_shared(struct model *dense, struct safetensors *f, const char *path,
                                      struct err *err)
{
    struct model *m;
    struct frame *frame;
    TRY(read_shared(&m, &frame, f, path, binding_frame(model_binding(dense)), err));
    struct params *p = model_params(dense);
    enum status st =
        expand_values(p, params_values(p), model_params(m), params_values(model_params(m)),
                      binding_hard(model_binding(m)), err);
    model_destroy(m);
    frame_destroy(frame);
    return st;
}

/* ---- official names -------------------------------------------------------------------------- */

static enum status load_official(struct safetensors *f, const struct name_map *map,
                                 struct params *p, struct err *err)
{
    real *whole = malloc((size_t)name_map_size(map) * sizeof(real));
    if (!whole)
        return err_set(err, ST_NOMEM, "out of memory reading %s", map->official);
    enum status st =
        safetensors_load(f, map->official, DTYPE_REAL, map->dims, map->dim, whole, err);
    for (int k = 0; st == ST_OK && k < map->parts; k++)
        name_unpack(map, k, params_find(p, map->part[k].ours)->tensor.data, whole);
    free(whole);
    return st;
}

static enum status import_official(struct model *dense, struct safetensors *f, const char *path,
                                   struct err *err)
{
    struct names *names;
    TRY(names_create(&names, model_kind_name(dense), model_shape(dense), err));
    enum status st = ST_OK;
    for (int i = 0; st == ST_OK && i < names->count; i++)
        st = load_official(f, &names->map[i], model_params(dense), err);
    names_destroy(names);
    return st == ST_OK ? ST_OK : err_prefix(err, "%s does not fit the job's model", path);
}

enum status import_weights(struct model *dense, const char *path, struct err *err)
{
    struct safetensors *f;
    TRY(safetensors_open(&f, path, err));
    const char *format = safetensors_metadata(f, "espalier.format");
    enum status st = format && strcmp(format, "shared-1") == 0
                         ? import_from_shared(dense, f, path, err)
                         : import_official(dense, f, path, err);
    safetensors_close(f);
    return st;
}
