/* export.c - the job's files for others: export/shared, export/expanded, export/dense,
 * structure.json, structure.svg. */
#include "run/publish.h"
#include "run/run.h"

#include "base/file.h"
#include "engine/ckpt/export.h"

#include <stdio.h>
#include <stdlib.h>

struct exporter {
    struct run *r;
    struct export_options opt;
    struct safetensors_meta meta[4];
    char seed[32];
};

static void exporter_init(struct exporter *x, struct run *r)
{
    *x = (struct exporter){.r = r};
    snprintf(x->seed, sizeof x->seed, "%lld", (long long)r->job->train_seed);
    x->meta[0] = (struct safetensors_meta){"espalier.version", ESPALIER_VERSION};
    x->meta[1] = (struct safetensors_meta){"espalier.job", r->job->name};
    x->meta[2] = (struct safetensors_meta){"espalier.seed", x->seed};
    x->meta[3] = (struct safetensors_meta){"espalier.data_digest", r->corpus->digest};
    x->opt =
        (struct export_options){.dtype = r->job->export_dtype == EXPORT_F16 ? DTYPE_F16 : DTYPE_F32,
                                .meta = x->meta,
                                .metas = 4};
}

typedef enum status (*export_f)(const char *, struct model *, const real *,
                                const struct export_options *, char[HASH_HEX_SIZE], struct err *);

/* The copy that was evaluated is the copy that is exported. */
static const real *chosen_values(struct run *r)
{
    return r->job->evaluate_weights == WEIGHTS_EMA ? r->ema : params_values(model_params(r->model));
}

static enum status export_as(struct exporter *x, const char *form, export_f write, struct err *err)
{
    char folder[64], file[96];
    snprintf(folder, sizeof folder, "export/%s", form);
    snprintf(file, sizeof file, "export/%s/model.safetensors", form);
    char *dir = job_folder_path(x->r->folder, folder), *path = job_folder_path(x->r->folder, file);
    char *pending = NULL;
    enum status st =
        dir && path ? file_mkdirs(dir, 0700, err) : err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = publish_begin(x->r->folder, "export", &pending, err);
    if (st == ST_OK)
        st = write(pending, x->r->model, chosen_values(x->r), &x->opt, NULL, err);
    if (st == ST_OK)
        st = publish(x->r->folder, pending, path, err);
    if (st == ST_OK)
        st = report_file(x->r, file, err);
    free(dir);
    free(path);
    free(pending);
    return st;
}

enum status export_dense_model(struct run *r, struct err *err)
{
    struct exporter x;
    if (!run_root(r) || !r->job->export_dense)
        return ST_OK;
    exporter_init(&x, r);
    return export_as(&x, "dense", export_expanded, err);
}

static enum status write_text(struct run *r, const char *name, const struct buf *text,
                              struct err *err)
{
    char *path = job_folder_path(r->folder, name);
    enum status st = publish_text(r->folder, path, text, err);
    free(path);
    return st == ST_OK ? report_file(r, name, err) : st;
}

static enum status export_structure(struct run *r, struct err *err)
{
    struct buf text;
    buf_init(&text, 16u << 20);
    structure_write_json(r->structure, &text);
    enum status st = write_text(r, "structure.json", &text, err);
    buf_clear(&text);
    structure_draw_svg(r->structure, r->job->name, &text);
    if (st == ST_OK)
        st = write_text(r, "structure.svg", &text, err);
    buf_fini(&text);
    return st;
}

static enum status export_root(struct run *r, struct err *err)
{
    struct exporter x;
    exporter_init(&x, r);
    if (r->job->export_shared)
        TRY(export_as(&x, "shared", export_shared, err));
    if (r->job->export_expanded)
        TRY(export_as(&x, "expanded", export_expanded, err));
    return r->state.version > 0 ? export_structure(r, err) : ST_OK;
}

enum status stage_export(struct run *r, struct err *err)
{
    return run_agree(r, run_root(r) ? export_root(r, err) : ST_OK, err);
}
