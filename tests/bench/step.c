/* step.c - times training steps of a named model on a synthetic batch.
 *
 *     bench_step --size tiny|small|large|micro [--batch N] [--threads N] [--image PX] [--steps N]
 *                [--backend NAME] [--dropout P] [--recompute] [--save DIR]
 *
 * A step is forward, matching, losses, backward, clipping and AdamW. Prints one JSON object: the
 * milliseconds of every step and of its parts, the first step's loss, the arena and the process'
 * peak memory. --save leaves weights and batch in DIR, from which torch_step.py starts, so that
 * both sides can be seen to compute the same.
 */
#include "turns.h"

#include "base/clock.h"
#include "engine/backend/backend.h"
#include "engine/ckpt/export.h"
#include "engine/model/model.h"
#include "engine/optim/optim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { FORWARD, BACKWARD, OPTIMISER, WHOLE, CPU, PRODUCTS, PARTS };

struct options {
    const char *size, *backend, *save;
    int64_t batch, image;
    int threads, steps;
    double dropout;
    bool recompute;
};

struct run {
    struct options o;
    struct model_shape shape;
    struct frame *frame;
    struct model *model;
    struct adamw *opt;
    struct ctx *cx;
    struct batch batch;
    double loss;       /* of the first step */
    double operations; /* of matrix products in the last step */
    double ms[PARTS][STEPS_MAX];
};

static int usage(const char *name)
{
    fprintf(stderr,
            "usage: %s --size tiny|small|large|micro [--batch N] [--threads N] [--image PX] "
            "[--steps N]\n"
            "       [--backend NAME] [--dropout P] [--recompute] [--save DIR]\n",
            name);
    return 2;
}

static bool parse(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"size", required_argument, NULL, 's'},    {"batch", required_argument, NULL, 'b'},
        {"threads", required_argument, NULL, 't'}, {"image", required_argument, NULL, 'i'},
        {"steps", required_argument, NULL, 'n'},   {"backend", required_argument, NULL, 'k'},
        {"dropout", required_argument, NULL, 'd'}, {"recompute", no_argument, NULL, 'r'},
        {"save", required_argument, NULL, 'o'},    {0},
    };
    *o = (struct options){.size = "tiny", .backend = "cpu", .batch = 8, .threads = 1, .steps = 10};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 's')
            o->size = optarg;
        else if (c == 'b')
            o->batch = strtol(optarg, NULL, 10);
        else if (c == 't')
            o->threads = (int)strtol(optarg, NULL, 10);
        else if (c == 'i')
            o->image = strtol(optarg, NULL, 10);
        else if (c == 'n')
            o->steps = (int)strtol(optarg, NULL, 10);
        else if (c == 'k')
            o->backend = optarg;
        else if (c == 'd')
            o->dropout = strtod(optarg, NULL);
        else if (c == 'r')
            o->recompute = true;
        else if (c == 'o')
            o->save = optarg;
        else
            return false;
    }
    return optind == argc && o->batch > 0 && o->threads > 0 && o->steps > 0 &&
           o->steps <= STEPS_MAX;
}

static enum status build(struct run *r, struct err *err)
{
    const struct frame_options options = {.block_size = 3,
                                          .cross_msa = true,
                                          .cross_ffn = true,
                                          .block_msa = true,
                                          .prune = true,
                                          .share = true};
    const struct backend *be = backend_find(r->o.backend);
    if (!be)
        return err_set(err, ST_NOT_FOUND, "no backend '%s'", r->o.backend);
    if (!synthetic_named(&r->shape, r->o.size))
        return err_set(err, ST_NOT_FOUND, "no model size '%s'", r->o.size);
    if (r->o.image)
        r->shape.image = r->o.image;
    r->shape.dropout = r->o.dropout;
    backend_set_threads(r->o.threads);
    TRY(model_shape_frame(&r->shape, &options, &r->frame, err));
    TRY(model_create(&r->model, "mdetr", &r->shape, r->frame, NULL, false, 1, err));
    TRY(adamw_create(&r->opt, be, model_params(r->model), err));
    TRY(ctx_create(&r->cx, be, (size_t)32 << 30, err));
    make_batch(&r->batch, &r->shape, r->o.batch);
    return ST_OK;
}

static enum status save(struct run *r, struct err *err)
{
    const struct batch *b = &r->batch;
    const struct safetensors_out tensors[] = {
        {"image", DTYPE_F32, DTYPE_REAL, 4, {b->B, b->height, b->width, 3}, b->image, NULL, NULL},
        {"tokens", DTYPE_I32, DTYPE_I32, 2, {b->B, b->L}, b->token, NULL, NULL},
        {"boxes", DTYPE_F32, DTYPE_REAL, 3, {b->B, BOXES, 4}, b->box, NULL, NULL},
        {"positive", DTYPE_U8, DTYPE_U8, 3, {b->B, BOXES, b->L}, b->positive, NULL, NULL},
    };
    const struct export_options options = {.dtype = DTYPE_F32};
    char sha[HASH_HEX_SIZE], path[4096];
    snprintf(path, sizeof path, "%.4000s/batch.safetensors", r->o.save);
    TRY(safetensors_write(path, tensors, sizeof tensors / sizeof *tensors, NULL, 0, sha, err));
    snprintf(path, sizeof path, "%.4000s/weights.safetensors", r->o.save);
    return export_expanded(path, r->model, params_values(model_params(r->model)), &options, sha,
                           err);
}

/* i < 0: nothing is booked. */
static enum status step(struct run *r, int i, struct err *err)
{
    struct model_losses losses;
    struct params *p = model_params(r->model);
    struct ctx_config cfg = {.train = true,
                             .record = true,
                             .recompute = r->o.recompute,
                             .seed = 1,
                             .step = (uint64_t)(i + WARM)};
    struct adamw_config adamw = adamw_defaults;
    adamw.lr[PARAM_VISION] = adamw.lr[PARAM_TEXT] = adamw.lr[PARAM_REST] = 1e-4;
    adamw.weight_decay = 1e-4;
    double at[4], cpu = cpu_ms(), operations, before, after;
    backend_products(&operations, &before);
    at[0] = (double)clock_mono_ns() / 1e6;
    params_zero_grads(p);
    ctx_begin(r->cx, &cfg);
    struct tensor *loss = model_loss(r->cx, r->model, &r->batch, &losses);
    at[1] = (double)clock_mono_ns() / 1e6;
    ctx_backward(r->cx, loss);
    TRY(ctx_finish(r->cx, err));
    at[2] = (double)clock_mono_ns() / 1e6;
    adamw_step(r->opt, p, &adamw, clip_scale(grad_norm(ctx_backend(r->cx), p), 0.1));
    at[3] = (double)clock_mono_ns() / 1e6;
    if (i == -WARM)
        r->loss = losses.total;
    if (i < 0)
        return ST_OK;
    for (int k = 0; k < WHOLE; k++)
        r->ms[k][i] = at[k + 1] - at[k];
    r->ms[WHOLE][i] = at[3] - at[0];
    r->ms[CPU][i] = cpu_ms() - cpu;
    backend_products(&r->operations, &after);
    r->operations -= operations;
    r->ms[PRODUCTS][i] = 1e3 * (after - before);
    return ST_OK;
}

static void report(struct run *r)
{
    static const char *const names[] = {"forward_ms", "backward_ms", "optimiser_ms",
                                        "step_ms",    "cpu_ms",      "products_ms"};
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("{\"program\":\"espalier\",\"size\":\"%s\",\"batch\":%lld,\"threads\":%d,", r->o.size,
           (long long)r->o.batch, r->o.threads);
    for (int k = 0; k < PARTS; k++)
        print_list(names[k], r->ms[k], r->o.steps);
    printf(
        "\"loss\":%.7g,\"gflop\":%.2f,\"params\":%lld,\"arena_bytes\":%zu,\"peak_rss_bytes\":%lld,"
        "\"library\":\"%s\"}\n",
        r->loss, 1e-9 * r->operations, (long long)params_size(model_params(r->model)),
        ctx_arena_peak(r->cx), (long long)use.ru_maxrss * 1024,
        backend_describe(ctx_backend(r->cx)));
}

int main(int argc, char **argv)
{
    static struct run r;
    struct err err;
    if (!parse(&r.o, argc, argv))
        return usage(argv[0]);
    enum status st = build(&r, &err);
    if (st == ST_OK && r.o.save)
        st = save(&r, &err);
    for (int i = -WARM; st == ST_OK && i < r.o.steps; i++) /* the arena and the caches fill */
        st = step(&r, i, &err);
    if (st == ST_OK)
        report(&r);
    else
        fprintf(stderr, "bench_step: %s\n", err.text);
    synthetic_free(&r.batch);
    ctx_destroy(r.cx);
    adamw_destroy(r.opt);
    model_destroy(r.model);
    frame_destroy(r.frame);
    return status_exit_code(st);
}
