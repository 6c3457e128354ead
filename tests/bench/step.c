/* step.c - times one training step of a named model on a synthetic batch.
 *
 *     bench_step --size tiny|small|micro [--batch N] [--threads N] [--image PX] [--steps N]
 * [--backend NAME] [--dropout P]
 *
 * Prints one JSON object: milliseconds of forward, backward and optimiser (medians over the steps),
 * the step's arena and the process' peak memory. step_peer.py prints the same for PyTorch.
 */
#include "synthetic.h"

#include "base/clock.h"
#include "engine/backend/backend.h"
#include "engine/model/model.h"
#include "engine/optim/optim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { STEPS_MAX = 1000, PARTS = 4 };
enum { FORWARD, BACKWARD, OPTIMISER, WHOLE };

struct options {
    const char *size, *backend;
    int64_t batch, image;
    int threads, steps;
    double dropout;
};

struct run {
    struct options o;
    struct model_shape shape;
    struct frame *frame;
    struct model *model;
    struct adamw *opt;
    struct ctx *cx;
    struct batch batch;
    double ms[PARTS][STEPS_MAX];
};

static int usage(const char *name)
{
    fprintf(stderr,
            "usage: %s --size tiny|small|micro [--batch N] [--threads N] [--image PX] [--steps N] "
            "[--backend NAME] [--dropout P]\n",
            name);
    return 2;
}

static bool parse(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"size", required_argument, NULL, 's'},    {"batch", required_argument, NULL, 'b'},
        {"threads", required_argument, NULL, 't'}, {"image", required_argument, NULL, 'i'},
        {"steps", required_argument, NULL, 'n'},   {"backend", required_argument, NULL, 'k'},
        {"dropout", required_argument, NULL, 'd'}, {0},
    };
    *o = (struct options){.size = "tiny", .backend = "cpu", .batch = 8, .threads = 1, .steps = 10};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 's')
            o->size = optarg;
        else if (c == 'b')
            o->batch = atoi(optarg);
        else if (c == 't')
            o->threads = atoi(optarg);
        else if (c == 'i')
            o->image = atoi(optarg);
        else if (c == 'n')
            o->steps = atoi(optarg);
        else if (c == 'k')
            o->backend = optarg;
        else if (c == 'd')
            o->dropout = atof(optarg);
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
    const struct synthetic how = {.B = r->o.batch,
                                  .boxes = 3,
                                  .seed = 1,
                                  .L = r->shape.max_tokens < 24 ? r->shape.max_tokens : 24};
    synthetic_make(&r->batch, &r->shape, &how);
    return ST_OK;
}

static enum status step(struct run *r, int i, struct err *err)
{
    struct model_losses losses;
    struct params *p = model_params(r->model);
    struct ctx_config cfg = {.train = true, .record = true, .seed = 1, .step = (uint64_t)i};
    struct adamw_config adamw = adamw_defaults;
    adamw.lr[PARAM_VISION] = adamw.lr[PARAM_TEXT] = adamw.lr[PARAM_REST] = 1e-4;
    const struct backend *be = ctx_backend(r->cx);
    double at[4];
    at[0] = (double)clock_mono_ns() / 1e6;
    params_zero_grads(p);
    ctx_begin(r->cx, &cfg);
    struct tensor *loss = model_loss(r->cx, r->model, &r->batch, &losses);
    at[1] = (double)clock_mono_ns() / 1e6;
    ctx_backward(r->cx, loss);
    TRY(ctx_finish(r->cx, err));
    at[2] = (double)clock_mono_ns() / 1e6;
    adamw_step(r->opt, p, &adamw, clip_scale(grad_norm(be, p), 0.1));
    at[3] = (double)clock_mono_ns() / 1e6;
    for (int k = 0; k < 3; k++)
        r->ms[k][i] = at[k + 1] - at[k];
    r->ms[WHOLE][i] = at[3] - at[0];
    return ST_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *ms, int n)
{
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    return n % 2 ? ms[n / 2] : (ms[n / 2 - 1] + ms[n / 2]) / 2;
}

static void report(struct run *r)
{
    struct rusage use;
    double ms[PARTS];
    int n = r->o.steps;
    getrusage(RUSAGE_SELF, &use);
    for (int k = 0; k < PARTS; k++)
        ms[k] = median(r->ms[k], n); /* sorts */
    printf("{\"program\":\"espalier\",\"size\":\"%s\",\"batch\":%lld,\"threads\":%d,"
           "\"steps\":%d,",
           r->o.size, (long long)r->o.batch, r->o.threads, n);
    printf("\"step_ms\":%.2f,\"forward_ms\":%.2f,\"backward_ms\":%.2f,\"optimiser_ms\":%.2f,"
           "\"step_min_ms\":%.2f,",
           ms[WHOLE], ms[FORWARD], ms[BACKWARD], ms[OPTIMISER], r->ms[WHOLE][0]);
    printf("\"params\":%lld,\"arena_bytes\":%zu,\"peak_rss_bytes\":%lld,\"backend\":\"%s\"}\n",
           (long long)params_size(model_params(r->model)), ctx_arena_peak(r->cx),
           (long long)use.ru_maxrss * 1024, backend_describe(ctx_backend(r->cx)));
}

int main(int argc, char **argv)
{
    static struct run r;
    struct err err;
    if (!parse(&r.o, argc, argv))
        return usage(argv[0]);
    enum status st = build(&r, &err);
    for (int i = 0; st == ST_OK && i < 2; i++)
        st = step(&r, i, &err); /* the arena and the caches fill */
    for (int i = 0; st == ST_OK && i < r.o.steps; i++)
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
