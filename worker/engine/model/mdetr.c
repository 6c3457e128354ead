/* mdetr.c - MDETR with a vision transformer (Kamath et al. 2021; docs/spec/model-mdetr.md): the
 * forward pass reads as the table of section 1.
 */
#include "engine/model/kind.h"
#include "engine/model/losses.h"
#include "engine/model/mdetr_sight.h"
#include "engine/nn/backbone.h"
#include "engine/nn/fusion.h"
#include "engine/nn/linear.h"
#include "engine/nn/stem.h"

#include <math.h>
#include <stdlib.h>

struct mdetr {
    struct stem stem;
    struct tensor *vision_pos;     /* [N,C] */
    struct backbone_layer *vision; /* owned */
    struct norm vision_norm;
    struct text_embed embed;
    struct backbone_layer *text; /* owned */
    struct resizer resizer;
    struct linear input;
    struct encoder_layer *encoder; /* owned */
    struct decoder_layer *decoder; /* owned */
    struct norm decoder_norm;
    struct tensor *query; /* [Q,d] */
    struct linear class, contrast_image, contrast_text;
    struct box_mlp box;
    struct linear warmup, warmup_box; /* w NULL without a warm-up head */
};

/* ---- parameters ------------------------------------------------------------------------------ */

static void destroy(struct model *m)
{
    struct mdetr *d = m->self;
    if (!d)
        return;
    free(d->vision);
    free(d->text);
    free(d->encoder);
    free(d->decoder);
    free(d);
    m->self = NULL;
}

static enum status layers_get(struct mdetr *d, const struct model_shape *s, struct err *err)
{
    d->vision = calloc((size_t)s->vision_layers, sizeof *d->vision);
    d->text = calloc((size_t)s->text_layers, sizeof *d->text);
    d->encoder = calloc((size_t)s->encoder_layers, sizeof *d->encoder);
    d->decoder = calloc((size_t)s->decoder_layers, sizeof *d->decoder);
    if (!d->vision || !d->text || !d->encoder || !d->decoder)
        return err_set(err, ST_NOMEM, "no memory for the layers of a model");
    return ST_OK;
}

static bool add_vision(struct mdetr *d, const struct nn_scope *at, const struct model_shape *s)
{
    char name[NN_NAME_MAX];
    bool ok = true;
    int64_t side = s->image / s->patch;
    stem_add(&d->stem, at, "vision", s->stem == STEM_CONV, s->patch, s->width);
    d->vision_pos = nn_matrix_drawn(at, "vision", "pos", side * side, s->width, INIT_SINE2D, 0.5);
    for (int64_t l = 0; l < s->vision_layers; l++)
        ok &= vision_layer_add(&d->vision[l], at, nn_indexed(name, "vision", l), s->width);
    norm_add(&d->vision_norm, at, "vision.norm", s->width, 1e-6);
    return ok;
}

static bool add_text(struct mdetr *d, const struct nn_scope *at, const struct model_shape *s)
{
    char name[NN_NAME_MAX];
    bool ok = true;
    text_embed_add(&d->embed, at, "text.embed", s->vocabulary, s->max_tokens, s->width);
    for (int64_t l = 0; l < s->text_layers; l++)
        ok &= text_layer_add(&d->text[l], at, nn_indexed(name, "text", l), s->width);
    return ok;
}

static void add_fusion(struct mdetr *d, const struct nn_scope *at, const struct model_shape *s)
{
    char name[NN_NAME_MAX];
    int64_t width = s->fusion_width, hidden = s->fusion_ffn;
    int heads = (int)s->fusion_heads;
    resizer_add(&d->resizer, at, "fusion.resizer", width, s->width);
    linear_add(&d->input, at, "fusion.input", width, s->width);
    for (int64_t l = 0; l < s->encoder_layers; l++)
        encoder_layer_add(&d->encoder[l], at, nn_indexed(name, "fusion.enc", l), width, heads,
                          hidden, l == 0);
    for (int64_t l = 0; l < s->decoder_layers; l++)
        decoder_layer_add(&d->decoder[l], at, nn_indexed(name, "fusion.dec", l), width, heads,
                          hidden, l == 0);
    norm_add(&d->decoder_norm, at, "fusion.dec.norm", width, 1e-5);
    d->query = nn_matrix_drawn(at, "fusion", "query", s->queries, width, INIT_NORMAL_FULL, 1);
}

static void add_heads(struct mdetr *d, const struct nn_scope *at, const struct model_shape *s)
{
    linear_add(&d->class, at, "head.class", s->slots, s->fusion_width);
    box_mlp_add(&d->box, at, "head.box", 4, s->fusion_width);
    linear_add(&d->contrast_image, at, "head.contrast_image", s->contrast, s->fusion_width);
    linear_add(&d->contrast_text, at, "head.contrast_text", s->contrast, s->fusion_width);
}

static enum status create(struct model *m, bool warmup_head, struct err *err)
{
    const struct model_shape *s = &m->shape;
    struct nn_scope vision = {m->params, m->binding, PARAM_VISION, NN_BACKBONE};
    struct nn_scope text = {m->params, m->binding, PARAM_TEXT, NN_BACKBONE};
    struct nn_scope rest = {m->params, m->binding, PARAM_REST, NN_XAVIER};
    struct mdetr *d = m->self = calloc(1, sizeof *d);
    if (!d)
        return err_set(err, ST_NOMEM, "no memory for a model");
    TRY(layers_get(d, s, err));
    if (!add_vision(d, &vision, s) || !add_text(d, &text, s))
        return err_set(err, ST_INTERNAL, "the structure's frame lacks a layer of the model");
    add_fusion(d, &rest, s);
    add_heads(d, &rest, s);
    if (warmup_head) {
        linear_add(&d->warmup, &vision, "warmup", s->vocabulary, s->width);
        linear_add(&d->warmup_box, &vision, "warmup.box", 4, s->width);
    }
    return ST_OK;
}

/* ---- forward --------------------------------------------------------------------------------- */

static struct tensor *see(struct ctx *cx, const struct mdetr *d, const struct batch *batch,
                          const struct sight *sight)
{
    int64_t dim[4] = {batch->B, batch->height, batch->width, 3};
    struct tensor *x = stem_forward(cx, &d->stem, ctx_constant(cx, batch->image, 4, dim));
    x = op_add_tail(cx, x, sight_grid_rows(cx, sight, d->vision_pos));
    for (int64_t l = 0; l < sight->shape->vision_layers; l++)
        x = vision_layer_forward(cx, &d->vision[l], x, sight->image_mask);
    return norm_forward(cx, &d->vision_norm, x);
}

static struct tensor *read_caption(struct ctx *cx, const struct mdetr *d, const struct batch *batch,
                                   const struct sight *sight)
{
    double dropout = sight->shape->dropout;
    struct tensor *x = text_embed_forward(cx, &d->embed, batch->token, batch->B, batch->L, dropout);
    for (int64_t l = 0; l < sight->shape->text_layers; l++)
        x = text_layer_forward(cx, &d->text[l], x, sight->text_mask, dropout);
    return x;
}

static struct tensor *encode(struct ctx *cx, const struct mdetr *d, struct tensor *image,
                             struct tensor *text, const struct sight *sight)
{
    double dropout = sight->shape->dropout;
    image = linear_forward(cx, &d->input, image, ACT_NONE);
    text = resizer_forward(cx, &d->resizer, text, dropout);
    struct tensor *x = op_concat_time(cx, image, text);
    for (int64_t l = 0; l < sight->shape->encoder_layers; l++)
        x = encoder_layer_forward(cx, &d->encoder[l], x, sight->pos, sight->joint_mask, dropout);
    return x;
}

static void answer(struct ctx *cx, const struct mdetr *d, struct tensor *t, struct layer_answer *a)
{
    a->hs = norm_forward(cx, &d->decoder_norm, t);
    a->logits = linear_forward(cx, &d->class, a->hs, ACT_NONE);
    a->box = box_mlp_forward(cx, &d->box, a->hs);
    a->align = op_l2norm(cx, linear_forward(cx, &d->contrast_image, a->hs, ACT_NONE), 1e-12);
}

/* Of the layers from `first` on only; the earlier ones feed them. */
static void decode(struct ctx *cx, const struct mdetr *d, struct tensor *memory,
                   const struct sight *sight, int first, struct layer_answer *answers)
{
    const struct model_shape *s = sight->shape;
    int64_t dim[3] = {sight->B, s->queries, s->fusion_width};
    struct tensor *keys = position_add(cx, memory, sight->pos);
    struct tensor *t = sight_zeros(cx, 3, dim);
    for (int l = 0; l < s->decoder_layers; l++) {
        t = decoder_layer_forward(cx, &d->decoder[l], t, d->query, memory, keys, sight->joint_mask,
                                  s->dropout);
        if (l >= first)
            answer(cx, d, t, &answers[l - first]);
    }
}

static struct tensor *align_text(struct ctx *cx, const struct mdetr *d, struct tensor *memory,
                                 const struct sight *sight)
{
    struct tensor *x = op_slice_time(cx, memory, sight->N, sight->L);
    return op_l2norm(cx, linear_forward(cx, &d->contrast_text, x, ACT_NONE), 1e-12);
}

/* ---- what is asked of a model ---------------------------------------------------------------- */

static struct tensor *memory_of(struct ctx *cx, struct model *m, const struct batch *batch,
                                const struct sight *sight)
{
    const struct mdetr *d = m->self;
    struct tensor *image = see(cx, d, batch, sight);
    struct tensor *text = read_caption(cx, d, batch, sight);
    return encode(cx, d, image, text, sight);
}

/* Both towers' rows of the fusion encoder through the decoder's heads. */
static struct tensor *dense_loss(struct ctx *cx, struct model *m, struct tensor *memory,
                                 const struct batch *batch, const struct sight *sight)
{
    const struct mdetr *d = m->self;
    struct tensor *image = op_slice_time(cx, memory, 0, sight->N);
    struct tensor *text = op_slice_time(cx, memory, sight->N, sight->L);
    struct tensor *term[3] = {
        losses_image_rows(cx, &m->scratch, linear_forward(cx, &d->class, image, ACT_NONE), batch,
                          m->shape.patch),
        losses_image_boxes(cx, &m->scratch, box_mlp_forward(cx, &d->box, image), batch,
                           m->shape.patch),
        losses_text_rows(cx, &m->scratch, linear_forward(cx, &d->class, text, ACT_NONE), batch),
    };
    return op_weighted_sum(cx, term, (const double[]){1, 1, 0.5}, 3);
}

static struct tensor *loss(struct ctx *cx, struct model *m, const struct batch *batch,
                           struct model_losses *ret)
{
    const struct mdetr *d = m->self;
    struct sight sight;
    struct answers a = {.layers = (int)m->shape.decoder_layers};
    a.layer = scratch_get(&m->scratch, cx, (size_t)a.layers, sizeof *a.layer);
    sight_make(cx, &m->scratch, &m->shape, batch, &sight);
    if (!ctx_ok(cx))
        return NULL;
    struct tensor *memory = memory_of(cx, m, batch, &sight);
    decode(cx, d, memory, &sight, 0, a.layer);
    a.align_text = align_text(cx, d, memory, &sight);
    struct tensor *total = losses_grounding(cx, &m->scratch, &a, batch, ret);
    if (m->dense_weight == 0)
        return total;
    struct tensor *dense = dense_loss(cx, m, memory, batch, &sight);
    return losses_add(cx, &m->scratch, total, dense, m->dense_weight, ret);
}

/* What both backbones' rows say of each other before the fusion part: patches resemble their words, and know their box. */
static struct tensor *meeting_loss(struct ctx *cx, struct model *m, struct tensor *image,
                                   struct tensor *text, const struct batch *batch)
{
    const struct mdetr *d = m->self;
    struct tensor *term[2] = {
        losses_likeness(cx, &m->scratch, op_l2norm(cx, image, 1e-12), op_l2norm(cx, text, 1e-12),
                        batch, m->shape.patch),
        losses_image_boxes(cx, &m->scratch, box_mlp_forward(cx, &d->box, image), batch,
                           m->shape.patch),
    };
    return op_weighted_sum(cx, term, (const double[]){1, 1}, 2);
}

static struct tensor *warmup_loss(struct ctx *cx, struct model *m, const struct batch *batch,
                                  struct model_losses *ret)
{
    const struct mdetr *d = m->self;
    struct sight sight;
    if (!d->warmup.w)
        ctx_fail(cx, ST_STATE, "the model was created without a warm-up head");
    sight_make(cx, &m->scratch, &m->shape, batch, &sight);
    if (!ctx_ok(cx))
        return NULL;
    struct tensor *x = see(cx, d, batch, &sight);
    struct tensor *words = linear_forward(cx, &d->warmup, x, ACT_NONE);
    struct tensor *box = op_sigmoid(cx, linear_forward(cx, &d->warmup_box, x, ACT_NONE));
    struct tensor *image = linear_forward(cx, &d->input, x, ACT_NONE);
    struct tensor *text =
        resizer_forward(cx, &d->resizer, read_caption(cx, d, batch, &sight), sight.shape->dropout);
    struct tensor *total = losses_warmup(cx, &m->scratch, words, box, batch, m->shape.patch, ret);
    struct tensor *term[2] = {
        losses_text_rows(cx, &m->scratch, linear_forward(cx, &d->class, text, ACT_NONE), batch),
        meeting_loss(cx, m, image, text, batch),
    };
    struct tensor *rows = op_weighted_sum(cx, term, (const double[]){1, 1}, 2);
    return losses_add(cx, &m->scratch, total, rows, 1, ret);
}

/* 1 - softmax(logits)[S-1]: the probability of naming something. */
static real score_of(const real *logits, int64_t S)
{
    double max = (double)logits[0], all = 0;
    for (int64_t t = 1; t < S; t++)
        max = fmax(max, (double)logits[t]);
    for (int64_t t = 0; t < S; t++)
        all += exp((double)logits[t] - max);
    return (real)(1 - exp((double)logits[S - 1] - max) / all);
}

static bool all_finite(struct ctx *cx, const real *x, int64_t each, int64_t B)
{
    for (int64_t i = 0; i < B * each; i++)
        if (!isfinite(x[i])) {
            ctx_fail(cx, ST_NUMERIC, "the prediction for sample %lld is not a number",
                     (long long)(i / each));
            return false;
        }
    return true;
}

static void predict(struct ctx *cx, struct model *m, const struct batch *batch, real *score,
                    real *box)
{
    const struct model_shape *s = &m->shape;
    struct sight sight;
    struct layer_answer last = {0};
    sight_make(cx, &m->scratch, s, batch, &sight);
    if (!ctx_ok(cx))
        return;
    struct tensor *memory = memory_of(cx, m, batch, &sight);
    decode(cx, m->self, memory, &sight, (int)s->decoder_layers - 1, &last);
    const real *logits = scratch_download(&m->scratch, cx, last.logits);
    const real *found = scratch_download(&m->scratch, cx, last.box);
    if (!ctx_ok(cx) || !all_finite(cx, logits, s->queries * s->slots, batch->B) ||
        !all_finite(cx, found, s->queries * 4, batch->B))
        return;
    int64_t rows = batch->B * s->queries;
    for (int64_t r = 0; r < rows; r++)
        score[r] = score_of(logits + r * s->slots, s->slots);
    for (int64_t i = 0; i < rows * 4; i++)
        box[i] = found[i];
}

const struct model_kind model_kind_mdetr = {
    .name = "mdetr",
    .create = create,
    .destroy = destroy,
    .loss = loss,
    .warmup_loss = warmup_loss,
    .predict = predict,
    .names = mdetr_names,
};
