/* model.h - a grounding model: parameters, losses, predictions. registry.c finds one by the job
 * file's name.
 *
 * A model is created dense, or compact from a structure (hardened). It owns its parameter table and
 * its binding (engine/structure/binding.h); who wants another structure mode sets it on the binding
 * first.
 */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

#include "engine/core/ctx.h"
#include "engine/core/param.h"
#include "engine/data/batch.h"
#include "engine/structure/binding.h"
#include "structure/shape.h"

struct model;

/* kind: "mdetr". hard: NULL = dense. Parameters are allocated and initialised from the seed. frame
 * is borrowed. */
enum status model_create(struct model **ret_model, const char *kind,
                         const struct model_shape *shape, const struct frame *frame,
                         const struct structure *hard, bool warmup_head, uint64_t seed,
                         struct err *err);
void model_destroy(struct model *m);                /* NULL allowed */
const char *model_kind_name(const struct model *m); /* as given to model_create() */
struct params *model_params(struct model *m);
struct binding *model_binding(struct model *m);
const struct model_shape *model_shape(const struct model *m);

struct model_losses { /* values of this share; the shares of a global batch add up to its values */
    double total;     /* of the returned scalar */
    double ce, bbox, giou, contrast; /* last decoder layer's terms, unweighted */
    double
        query_cosine; /* mean pairwise cosine of the last hs over queries: collapse when > .99; a mean, no sum */
    double dense; /* the dense auxiliary losses, unweighted; 0 when not in use */
};

/* Weight of the dense auxiliary losses in model_loss() from now on (docs/spec/model-mdetr.md 5a); 0 at creation: none. */
void model_use_dense(struct model *m, double weight);

/* Scalar on the tape. *ret is filled at once (forward values) unless a failure is pending. One loss
 * a step: the next call reuses the host memory of this one. */
struct tensor *model_loss(struct ctx *cx, struct model *m, const struct batch *batch,
                          struct model_losses *ret);
/* Unimodal warm-up of both backbones (docs/spec/model-mdetr.md 6): ce, bbox, giou of the patches, dense of the text rows;
 * contrast and query_cosine are 0. Its heads "warmup.{w,b}", "warmup.box.{w,b}" are in the table of a model created
 * with warmup_head. */
struct tensor *model_warmup_loss(struct ctx *cx, struct model *m, const struct batch *batch,
                                 struct model_losses *ret);

/* Forward only, as a step of its own (begins and finishes cx; a soft binding does not outlive
 * that): score [B,Q], box [B,Q,4] (cx cy w h relative). Host arrays of the caller, untouched on
 * failure. */
enum status model_predict(struct ctx *cx, struct model *m, const struct batch *batch,
                          real *ret_score, real *ret_box, struct err *err);

#endif
