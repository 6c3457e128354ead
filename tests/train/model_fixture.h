/* model_fixture.h - a model, its frame and a context, made and destroyed in one call each. */
#ifndef TEST_MODEL_FIXTURE_H
#define TEST_MODEL_FIXTURE_H

#include "engine/backend/backend.h"
#include "engine/model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct model_fixture {
    struct model_shape shape;
    struct frame *frame;
    struct model *model;
    struct ctx *cx;
};

static inline void fixture_ok(enum status st, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->text);
}

static inline void fixture_open_on(struct model_fixture *f, const char *backend,
                                   const struct model_shape *shape, uint64_t seed)
{
    struct err err;
    const struct frame_options options = {.block_size = 3,
                                          .cross_msa = true,
                                          .cross_ffn = true,
                                          .block_msa = true,
                                          .prune = true,
                                          .share = true};
    f->shape = *shape;
    fixture_ok(model_shape_frame(&f->shape, &options, &f->frame, &err), &err);
    fixture_ok(model_create(&f->model, "mdetr", &f->shape, f->frame, NULL, true, seed, &err), &err);
    fixture_ok(ctx_create(&f->cx, backend_find(backend), (size_t)1 << 30, &err), &err);
}

static inline void fixture_open(struct model_fixture *f, const struct model_shape *shape,
                                uint64_t seed)
{
    fixture_open_on(f, "cpu", shape, seed);
}

static inline void fixture_close(struct model_fixture *f)
{
    ctx_destroy(f->cx);
    model_destroy(f->model);
    frame_destroy(f->frame);
}

/* One training step's loss and gradients, added to what the table holds. */
static inline enum status fixture_step(struct model_fixture *f, const struct batch *batch,
                                       uint64_t step, struct model_losses *ret, struct err *err)
{
    struct ctx_config cfg = {
        .train = true, .record = true, .seed = 7, .step = step, .sample0 = batch->sample0};
    ctx_begin(f->cx, &cfg);
    ctx_backward(f->cx, model_loss(f->cx, f->model, batch, ret));
    return ctx_finish(f->cx, err);
}

#endif
