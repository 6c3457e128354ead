/* infer.c - times predictions of a dense model and of the same model hardened, in turn.
 *
 *     bench_infer --size tiny|small|large|micro [--batch N] [--threads N] [--steps N] [--less P]
 *
 * The structure is made here: groups fall in a random order, heads and FFN units alike, until the backbones have the part P fewer weights;
 * nothing is shared. Before anything is timed, the hardened model must answer as the dense one does under the structure's masks.
 * Prints one JSON object.
 */
#include "turns.h"

#include "base/clock.h"
#include "engine/backend/backend.h"
#include "engine/model/model.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DENSE, HARDENED, BOTH };

struct options {
    const char *size;
    int64_t batch;
    int threads, steps;
    double less;
};

struct answers {
    real *score, *box; /* [B,Q], [B,Q,4]; owned */
};

struct run {
    struct options o;
    struct model_shape shape;
    struct frame *frame;
    struct structure *structure;
    struct model *model[BOTH];
    struct answers answers[BOTH];
    struct ctx *cx;
    struct batch batch;
    double ms[BOTH][STEPS_MAX], cpu_ms[BOTH][STEPS_MAX];
};

static bool parse(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"size", required_argument, NULL, 's'},    {"batch", required_argument, NULL, 'b'},
        {"threads", required_argument, NULL, 't'}, {"steps", required_argument, NULL, 'n'},
        {"less", required_argument, NULL, 'l'},    {0},
    };
    *o = (struct options){.size = "tiny", .batch = 8, .threads = 1, .steps = 10, .less = 0.4};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 's')
            o->size = optarg;
        else if (c == 'b')
            o->batch = strtol(optarg, NULL, 10);
        else if (c == 't')
            o->threads = (int)strtol(optarg, NULL, 10);
        else if (c == 'n')
            o->steps = (int)strtol(optarg, NULL, 10);
        else if (c == 'l')
            o->less = strtod(optarg, NULL);
        else
            return false;
    }
    return optind == argc && o->batch > 0 && o->threads > 0 && o->steps > 0 &&
           o->steps <= STEPS_MAX && o->less > 0 && o->less < 1;
}

static enum status prune(struct run *r, struct err *err)
{
    size_t n = (size_t)r->frame->ngroups;
    double *m = calloc(n, sizeof *m), *own = calloc(n, sizeof *own), threshold;
    const struct rng_key key = {.seed = 1, .purpose = RNG_STRUCTURE};
    int64_t target = r->frame->total - (int64_t)(r->o.less * (double)r->frame->backbones);
    enum status st = m && own ? structure_create(&r->structure, r->frame, err)
                              : err_set(err, ST_NOMEM, "out of memory");
    for (size_t i = 0; m && i < n; i++)
        m[i] = rng_normal(&key, i);
    if (st == ST_OK)
        st = structure_bisect(r->structure, m, own, target, &threshold, err);
    free(m);
    free(own);
    return st;
}

static enum status make_answers(struct answers *a, int64_t n, struct err *err)
{
    a->score = calloc((size_t)n, sizeof *a->score);
    a->box = calloc((size_t)n * 4, sizeof *a->box);
    return a->score && a->box ? ST_OK : err_set(err, ST_NOMEM, "out of memory");
}

static enum status build(struct run *r, struct err *err)
{
    const struct frame_options options = {.block_size = 3, .prune = true};
    const struct backend *be = backend_find("cpu");
    if (!synthetic_named(&r->shape, r->o.size))
        return err_set(err, ST_NOT_FOUND, "no model size '%s'", r->o.size);
    backend_set_threads(r->o.threads);
    TRY(model_shape_frame(&r->shape, &options, &r->frame, err));
    TRY(prune(r, err));
    TRY(model_create(&r->model[DENSE], "mdetr", &r->shape, r->frame, NULL, false, 1, err));
    TRY(model_create(&r->model[HARDENED], "mdetr", &r->shape, r->frame, r->structure, false, 2,
                     err));
    struct params *from = model_params(r->model[DENSE]), *to = model_params(r->model[HARDENED]);
    TRY(harden_values(to, params_values(to), from, params_values(from), r->structure, err));
    TRY(ctx_create(&r->cx, be, (size_t)32 << 30, err));
    for (int k = 0; k < BOTH; k++)
        TRY(make_answers(&r->answers[k], r->o.batch * r->shape.queries, err));
    make_batch(&r->batch, &r->shape, r->o.batch);
    return ST_OK;
}

static enum status predict(struct run *r, int k, struct err *err)
{
    return model_predict(r->cx, r->model[k], &r->batch, r->answers[k].score, r->answers[k].box,
                         err);
}

/* Leaves out terms that are 0 in the masked model, so sums are rounded in another order. */
static enum status compare(struct run *r, struct err *err)
{
    double worst = 0;
    struct binding *b = model_binding(r->model[DENSE]);
    binding_use_bits(b, r->structure);
    TRY(predict(r, DENSE, err));
    TRY(predict(r, HARDENED, err));
    binding_use_own(b);
    for (int64_t i = 0; i < r->o.batch * r->shape.queries * 4; i++)
        worst = fmax(worst,
                     fabs((double)r->answers[DENSE].box[i] - (double)r->answers[HARDENED].box[i]));
    return worst < 1e-3
               ? ST_OK
               : err_set(err, ST_INTERNAL, "the hardened model's boxes are off by %g", worst);
}

/* i < 0: nothing is booked. */
static enum status turn(struct run *r, int i, struct err *err)
{
    for (int k = 0; k < BOTH; k++) {
        double begin = (double)clock_mono_ns() / 1e6, cpu = cpu_ms();
        TRY(predict(r, k, err));
        if (i < 0)
            continue;
        r->ms[k][i] = (double)clock_mono_ns() / 1e6 - begin;
        r->cpu_ms[k][i] = cpu_ms() - cpu;
    }
    return ST_OK;
}

static void report(struct run *r)
{
    struct structure_count count;
    structure_count(r->structure, &count);
    struct model_count dense;
    model_shape_count(&r->shape, &dense);
    printf("{\"size\":\"%s\",\"batch\":%lld,\"threads\":%d,", r->o.size, (long long)r->o.batch,
           r->o.threads);
    print_list("dense_ms", r->ms[DENSE], r->o.steps);
    print_list("dense_cpu_ms", r->cpu_ms[DENSE], r->o.steps);
    print_list("hardened_ms", r->ms[HARDENED], r->o.steps);
    print_list("hardened_cpu_ms", r->cpu_ms[HARDENED], r->o.steps);
    printf("\"backbones_kept\":%.4f,\"macs_kept\":%.4f,\"library\":\"%s\"}\n",
           (double)count.backbones / (double)count.dense_backbones,
           (double)model_shape_macs(&r->shape, r->structure) / (double)dense.macs,
           backend_describe(ctx_backend(r->cx)));
}

int main(int argc, char **argv)
{
    static struct run r;
    struct err err;
    if (!parse(&r.o, argc, argv)) {
        fprintf(stderr,
                "usage: %s --size tiny|small|large|micro [--batch N] [--threads N] [--steps N] "
                "[--less P]\n",
                argv[0]);
        return 2;
    }
    enum status st = build(&r, &err);
    if (st == ST_OK)
        st = compare(&r, &err);
    for (int i = -WARM; st == ST_OK && i < r.o.steps; i++)
        st = turn(&r, i, &err);
    if (st == ST_OK)
        report(&r);
    else
        fprintf(stderr, "bench_infer: %s\n", err.text);
    synthetic_free(&r.batch);
    ctx_destroy(r.cx);
    for (int k = 0; k < BOTH; k++) {
        free(r.answers[k].score);
        free(r.answers[k].box);
        model_destroy(r.model[k]);
    }
    structure_destroy(r.structure);
    frame_destroy(r.frame);
    return status_exit_code(st);
}
