/* model.c - a model's life, whatever its family. */
#include "engine/model/model.h"

#include "engine/model/kind.h"

#include <stdlib.h>

static enum status check_frame(const struct model_shape *shape, const struct frame *frame,
                               struct err *err)
{
    const struct side_shape want[2] = {
        [SIDE_VISION] = {(int)shape->vision_layers, (int)shape->width, (int)shape->heads,
                         (int)shape->ffn},
        [SIDE_TEXT] = {(int)shape->text_layers, (int)shape->width, (int)shape->heads,
                       (int)shape->ffn},
    };
    for (int i = 0; i < 2; i++) {
        const struct side_shape *w = &want[i], *f = &frame->shape[i];
        if (w->layers != f->layers || w->width != f->width || w->heads != f->heads ||
            w->ffn != f->ffn)
            return err_set(err, ST_INVALID,
                           "the structure's %s side has %d layers of width %d, %d heads, ffn %d; "
                           "the model has %d, %d, %d, %d",
                           i ? "text" : "vision", f->layers, f->width, f->heads, f->ffn, w->layers,
                           w->width, w->heads, w->ffn);
    }
    struct model_count count;
    model_shape_count(shape, &count);
    if (frame->total == count.whole && frame->backbones == count.backbones)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "the structure is of a dense model of %lld parameters, %lld of them in the "
                   "backbones; this model has %lld and %lld",
                   (long long)frame->total, (long long)frame->backbones, (long long)count.whole,
                   (long long)count.backbones);
}

static enum status build(struct model *m, const struct frame *frame, const struct structure *hard,
                         bool warmup_head, uint64_t seed, struct err *err)
{
    TRY(params_create(&m->params, err));
    TRY(binding_create(&m->binding, frame, hard, err));
    TRY(m->kind->create(m, warmup_head, err));
    TRY(params_allocate(m->params, err));
    params_init(m->params, seed);
    return ST_OK;
}

enum status model_create(struct model **ret_model, const char *kind,
                         const struct model_shape *shape, const struct frame *frame,
                         const struct structure *hard, bool warmup_head, uint64_t seed,
                         struct err *err)
{
    const struct model_kind *found = model_kind_find(kind);
    if (!found)
        return model_kind_unknown(kind, err);
    TRY(model_shape_check(shape, err));
    TRY(check_frame(shape, frame, err));
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(err, ST_NOMEM, "no memory for a model");
    m->kind = found;
    m->shape = *shape;
    enum status st = build(m, frame, hard, warmup_head, seed, err);
    if (st == ST_OK)
        *ret_model = m;
    else
        model_destroy(m);
    return st;
}

void model_destroy(struct model *m)
{
    if (!m)
        return;
    m->kind->destroy(m);
    binding_destroy(m->binding);
    params_destroy(m->params);
    scratch_fini(&m->scratch);
    free(m);
}

const char *model_kind_name(const struct model *m)
{
    return m->kind->name;
}

struct params *model_params(struct model *m)
{
    return m->params;
}

struct binding *model_binding(struct model *m)
{
    return m->binding;
}

const struct model_shape *model_shape(const struct model *m)
{
    return &m->shape;
}

void model_use_dense(struct model *m, double weight)
{
    m->dense_weight = weight;
}

/* Every loss divides by them. */
static void check_norm(struct ctx *cx, const struct batch *batch)
{
    if (!(batch->norm_boxes >= 1))
        ctx_fail(cx, ST_INTERNAL, "the boxes of the global batch must be at least 1, got %g",
                 batch->norm_boxes);
    if (!(batch->norm_samples >= (double)batch->B))
        ctx_fail(cx, ST_INTERNAL, "the global batch has %g samples, fewer than this share's %lld",
                 batch->norm_samples, (long long)batch->B);
}

struct tensor *model_loss(struct ctx *cx, struct model *m, const struct batch *batch,
                          struct model_losses *ret)
{
    scratch_reset(&m->scratch);
    check_norm(cx, batch);
    return m->kind->loss(cx, m, batch, ret);
}

struct tensor *model_warmup_loss(struct ctx *cx, struct model *m, const struct batch *batch,
                                 struct model_losses *ret)
{
    scratch_reset(&m->scratch);
    check_norm(cx, batch);
    return m->kind->warmup_loss(cx, m, batch, ret);
}

enum status model_predict(struct ctx *cx, struct model *m, const struct batch *batch,
                          real *ret_score, real *ret_box, struct err *err)
{
    struct ctx_config cfg = {.sample0 = batch->sample0};
    ctx_begin(cx, &cfg);
    scratch_reset(&m->scratch);
    m->kind->predict(cx, m, batch, ret_score, ret_box);
    return ctx_finish(cx, err);
}
