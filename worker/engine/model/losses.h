/* losses.h - the grounding losses over decoder outputs (docs/spec/model-mdetr.md 4, 5), and the
 * vision warm-up's (6).
 *
 * Normalisers are the global batch's (norm_boxes, norm_samples), never counted here, so that the parts of ranks and
 * micro-batches add up.
 */
#ifndef ENGINE_MODEL_LOSSES_H
#define ENGINE_MODEL_LOSSES_H

#include "engine/data/batch.h"
#include "engine/model/model.h"
#include "engine/model/scratch.h"

/* One decoder layer's answers. */
struct layer_answer {
    struct tensor *hs;     /* [B,Q,d] */
    struct tensor *logits; /* [B,Q,S] */
    struct tensor *box;    /* [B,Q,4] cx cy w h */
    struct tensor *align;  /* [B,Q,k], unit length */
};
struct answers {
    int layers;
    struct layer_answer *layer; /* the last one is the model's answer, the others are auxiliary */
    struct tensor *align_text;  /* [B,L,k], unit length */
};

/* Pairs each image's boxes with queries, min(boxes, Q) of them; cost 5 L1 + 1 (-prob of the tokens)
 * - 2 GIoU. No gradient. */
struct match {
    int n;
    int32_t *row; /* [n] b*Q + query */
    int32_t *box; /* [n] index into batch->box */
};
/* m->row and m->box come from scratch. Nothing is done after a failure (n = 0). */
void losses_match(struct ctx *cx, struct scratch *s, const struct layer_answer *a,
                  const struct batch *batch, struct match *m);

/* The weighted sum over all layers; *ret as in model_loss(). */
struct tensor *losses_grounding(struct ctx *cx, struct scratch *s, const struct answers *a,
                                const struct batch *batch, struct model_losses *ret);

/* Index into batch->box of the object that the centre of patch `row` of [B*N] shows: the smallest box that holds it and
 * has a phrase; -1 if there is none, -2 beyond the real image. */
int patch_box(const struct batch *batch, int64_t patch, int64_t row);

/* words [B,N,V] (logits) and box [B,N,4] of N = rows x cols patches: the mean over the patches of the global batch of 4 times the words'
 * cross entropy plus 5 L1 + 2 (1 - GIoU) of the patches that show an object. Patches beyond the real image add nothing. */
struct tensor *losses_warmup(struct ctx *cx, struct scratch *s, struct tensor *words,
                             struct tensor *box, const struct batch *batch, int64_t patch,
                             struct model_losses *ret);

/* ---- dense auxiliary losses: rows of a tower through the model's own heads (docs/spec/model-mdetr.md 5a) ---- */

/* logits [B,L,S] of text rows: a token of a phrase points at its phrase's tokens, any other real token at "no object". */
struct tensor *losses_text_rows(struct ctx *cx, struct scratch *s, struct tensor *logits,
                                const struct batch *batch);
/* logits [B,N,S] of image rows: a patch that shows an object points at the object's tokens, any other at "no object". */
struct tensor *losses_image_rows(struct ctx *cx, struct scratch *s, struct tensor *logits,
                                 const struct batch *batch, int64_t patch);
/* box [B,N,4] of image rows: 5 L1 + 2 (1 - GIoU) of the patches that show an object. */
struct tensor *losses_image_boxes(struct ctx *cx, struct scratch *s, struct tensor *box,
                                  const struct batch *batch, int64_t patch);
/* image [B,N,d], text [B,L,d], unit length: the contrastive loss with patches in the place of queries, temperature .1. */
struct tensor *losses_likeness(struct ctx *cx, struct scratch *s, struct tensor *image,
                               struct tensor *text, const struct batch *batch, int64_t patch);

/* total + weight * dense; ret->dense and ret->total take the values. */
struct tensor *losses_add(struct ctx *cx, struct scratch *s, struct tensor *total,
                          struct tensor *dense, double weight, struct model_losses *ret);

/* Mean over images of the mean pairwise cosine of the queries' rows of hs [B,Q,d]; 0 for a single
 * query. work: d numbers. */
double losses_query_cosine(const real *hs, int64_t B, int64_t Q, int64_t d, double *work);

#endif
