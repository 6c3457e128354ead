/* kind.h - what a model family provides. Private to model/: model.c dispatches, registry.c lists.
 */
#ifndef ENGINE_MODEL_KIND_H
#define ENGINE_MODEL_KIND_H

#include "engine/model/model.h"
#include "engine/model/names.h"
#include "engine/model/scratch.h"

struct model_kind {
    const char *name; /* in the job file */
    /* Adds every parameter to m->params and sets m->self. */
    enum status (*create)(struct model *m, bool warmup_head, struct err *err);
    void (*destroy)(struct model *m); /* frees m->self; NULL there allowed */
    /* The next three run on m->scratch, just reset; failures stick in cx. */
    struct tensor *(*loss)(struct ctx *cx, struct model *m, const struct batch *batch,
                           struct model_losses *ret);
    struct tensor *(*warmup_loss)(struct ctx *cx, struct model *m, const struct batch *batch,
                                  struct model_losses *ret);
    /* score [B,Q] and box [B,Q,4] of host memory, in this order of queries. */
    void (*predict)(struct ctx *cx, struct model *m, const struct batch *batch, real *score,
                    real *box);
    /* Adds the family's tensors to the table of official names. */
    void (*names)(struct names *to, const struct model_shape *shape);
};

struct model {
    const struct model_kind *kind;
    struct model_shape shape;
    struct params *params;   /* owned */
    struct binding *binding; /* owned */
    struct scratch scratch;  /* owned */
    double dense_weight;     /* of model_loss's dense auxiliary losses; 0 = none */
    void *self;              /* of the kind */
};

const struct model_kind *model_kind_find(const char *name); /* NULL if none */
/* ST_NOT_FOUND with a sentence that lists the names there are. */
enum status model_kind_unknown(const char *name, struct err *err);

extern const struct model_kind model_kind_mdetr;

#endif
