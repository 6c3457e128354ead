/* test_mdetr.c - the model against PyTorch: losses, predictions, all gradients (made by mdetr.py).
 * Built twice, with real = float and real = double; the double build can be held to the precision
 * of the stored numbers. */
#include "golden.h"

#include "engine/backend/backend.h"
#include "engine/model/model.h"
#include "engine/model/names.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Stored numbers are float32 of values computed in double: half a unit in the last place is 6e-8 of
 * a value. In float, sums of a few hundred products in another order than PyTorch's double differ
 * by some 1e-6 of their largest term, and a gradient passes about forty such sums, with
 * cancellation in the softmaxes and norms; temperature 0.07 multiplies by 14. */
static const double value_tolerance = sizeof(real) == 8 ? 2e-7 : 2e-5;
static const double grad_tolerance = sizeof(real) == 8 ? 1e-6 : 5e-4;

struct fixture {
    struct golden golden;
    struct model_shape shape;
    struct frame *frame;
    struct model *model;
    struct names *names;
    struct ctx *cx;
    struct batch batch;
};

static void read_shape(const struct golden *g, struct model_shape *s)
{
    int32_t *v = golden_ints(golden_find(g, "shape"));
    *s = (struct model_shape){.image = v[0],
                              .patch = v[1],
                              .width = v[2],
                              .heads = v[3],
                              .ffn = v[4],
                              .vision_layers = v[5],
                              .text_layers = v[6],
                              .fusion_width = v[7],
                              .fusion_heads = v[8],
                              .fusion_ffn = v[9],
                              .encoder_layers = v[10],
                              .decoder_layers = v[11],
                              .queries = v[12],
                              .slots = v[13],
                              .max_tokens = v[14],
                              .contrast = v[15],
                              .stem = v[16] ? STEM_PATCH : STEM_CONV,
                              .vocabulary = v[17]};
    free(v);
}

/* "weight/warmup.weight" -> our warmup.w, which has no official name. */
static void load_warmup(struct fixture *f, const char *ours, const char *theirs)
{
    struct param *p = params_find(model_params(f->model), ours);
    real *v = golden_reals(golden_get(&f->golden, "weight", theirs));
    memcpy(p->tensor.data, v, (size_t)p->size * sizeof *v);
    free(v);
}

static void load_weights(struct fixture *f)
{
    for (int i = 0; i < f->names->count; i++) {
        const struct name_map *m = &f->names->map[i];
        const struct golden_array *a = golden_get(&f->golden, "weight", m->official);
        if (a->size != name_map_size(m))
            fail_msg("%s has %lld elements, the name map says %lld", m->official,
                     (long long)a->size, (long long)name_map_size(m));
        real *v = golden_reals(a);
        for (int k = 0; k < m->parts; k++)
            name_unpack(m, k, params_find(model_params(f->model), m->part[k].ours)->tensor.data, v);
        free(v);
    }
    load_warmup(f, "warmup.w", "warmup.weight");
    load_warmup(f, "warmup.b", "warmup.bias");
    load_warmup(f, "warmup.box.w", "warmup.box.weight");
    load_warmup(f, "warmup.box.b", "warmup.box.bias");
}

static void open_fixture(struct fixture *f, const char *file)
{
    char path[512];
    struct err err;
    struct frame_options options = {.block_size = 3, .prune = true};
    memset(f, 0, sizeof *f);
    snprintf(path, sizeof path, "%s/golden/%s", TEST_SOURCE_DIR, file);
    golden_open(&f->golden, path);
    read_shape(&f->golden, &f->shape);
    assert_int_equal(model_shape_frame(&f->shape, &options, &f->frame, &err), ST_OK);
    enum status st = model_create(&f->model, "mdetr", &f->shape, f->frame, NULL, true, 1, &err);
    if (st != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(names_create(&f->names, "mdetr", &f->shape, &err), ST_OK);
    assert_int_equal(ctx_create(&f->cx, backend_find("cpu"), (size_t)1 << 28, &err), ST_OK);
    load_weights(f);
}

static void read_batch(struct fixture *f, const char *name)
{
    struct batch *b = &f->batch;
    const struct golden_array *image = golden_get(&f->golden, name, "image");
    int32_t *boxes = golden_ints(golden_get(&f->golden, name, "boxes"));
    *b = (struct batch){.B = image->dim[0], .height = image->dim[1], .width = image->dim[2]};
    b->L = golden_get(&f->golden, name, "token")->dim[1];
    b->V = f->shape.vocabulary;
    b->image = golden_reals(image);
    b->valid = golden_ints(golden_get(&f->golden, name, "valid"));
    b->token = golden_ints(golden_get(&f->golden, name, "token"));
    b->token_mask = golden_bytes(golden_get(&f->golden, name, "token_mask"));
    b->box = golden_reals(golden_get(&f->golden, name, "box"));
    b->positive = golden_bytes(golden_get(&f->golden, name, "positive"));
    b->first_box = calloc((size_t)b->B + 1, sizeof *b->first_box);
    for (int64_t i = 0; i < b->B; i++)
        b->first_box[i + 1] = b->first_box[i] + boxes[i];
    b->norm_boxes = fmax(1, b->first_box[b->B]);
    b->norm_samples = (double)b->B;
    free(boxes);
}

static void free_batch(struct batch *b)
{
    free(b->image);
    free(b->valid);
    free(b->token);
    free(b->token_mask);
    free(b->box);
    free(b->positive);
    free(b->first_box);
    *b = (struct batch){0};
}

static void close_fixture(struct fixture *f)
{
    ctx_destroy(f->cx);
    names_destroy(f->names);
    model_destroy(f->model);
    frame_destroy(f->frame);
    golden_close(&f->golden);
}

static void near(const char *what, double ours, double theirs, double scale, double tolerance)
{
    if (!(fabs(ours - theirs) <= tolerance * scale))
        fail_msg("%s: %.9g, PyTorch says %.9g (off by %.3g of %.3g)", what, ours, theirs,
                 fabs(ours - theirs), scale);
}

/* Largest element as the scale: an element far smaller than its tensor's largest is a difference of
 * large terms. */
static double largest(const struct golden_array *a)
{
    double max = 0;
    for (int64_t i = 0; i < a->size; i++)
        max = fmax(max, fabs(golden_at(a, i)));
    return max;
}

static void compare(const struct golden_array *a, const real *ours, double floor, double tolerance)
{
    char what[200];
    double scale = fmax(largest(a), floor);
    for (int64_t i = 0; i < a->size; i++) {
        snprintf(what, sizeof what, "%s[%lld]", a->name, (long long)i);
        near(what, (double)ours[i], golden_at(a, i), scale, tolerance);
    }
}

/* The largest gradient element of the model: tensors whose gradient is zero in theory (key biases)
 * hold rounding noise of terms of about that size. */
static double largest_gradient(const struct fixture *f, const char *prefix)
{
    double max = 0;
    size_t len = strlen(prefix);
    for (int i = 0; i < f->golden.count; i++)
        if (strncmp(f->golden.array[i].name, prefix, len) == 0)
            max = fmax(max, largest(&f->golden.array[i]));
    return max;
}

static void compare_gradients(struct fixture *f, const char *prefix)
{
    char name[200];
    double floor = 1e-3 * largest_gradient(f, prefix);
    for (int i = 0; i < f->names->count; i++) {
        const struct name_map *m = &f->names->map[i];
        snprintf(name, sizeof name, "%s/grad/%s", prefix, m->official);
        const struct golden_array *a = golden_find(&f->golden, name);
        real *ours = calloc((size_t)name_map_size(m), sizeof *ours);
        real *zero = calloc((size_t)name_map_size(m), sizeof *zero);
        for (int k = 0; k < m->parts; k++)
            name_pack(m, k, ours,
                      params_find(model_params(f->model), m->part[k].ours)->tensor.grad);
        if (a)
            compare(a, ours, floor, grad_tolerance);
        else
            assert_memory_equal(ours, zero, (size_t)name_map_size(m) * sizeof *ours);
        free(zero);
        free(ours);
    }
}

static void compare_warmup_gradient(struct fixture *f, const char *prefix, const char *ours,
                                    const char *theirs)
{
    compare(golden_get(&f->golden, prefix, theirs),
            params_find(model_params(f->model), ours)->tensor.grad, 0, grad_tolerance);
}

static void check_losses(const struct fixture *f, const char *name, const struct model_losses *l)
{
    const double ours[] = {l->total, l->ce, l->bbox, l->giou, l->contrast, l->query_cosine};
    const char *what[] = {"total", "ce", "bbox", "giou", "contrast", "query cosine"};
    const struct golden_array *a = golden_get(&f->golden, name, "grounding/loss");
    for (int i = 0; i < 6; i++)
        near(what[i], ours[i], golden_at(a, i), fmax(1, fabs(golden_at(a, i))), value_tolerance);
}

static void check_predictions(struct fixture *f, const char *name)
{
    struct err err;
    const struct golden_array *score = golden_get(&f->golden, name, "grounding/score");
    const struct golden_array *box = golden_get(&f->golden, name, "grounding/predicted");
    real *our_score = calloc((size_t)score->size, sizeof *our_score);
    real *our_box = calloc((size_t)box->size, sizeof *our_box);
    assert_int_equal(model_predict(f->cx, f->model, &f->batch, our_score, our_box, &err), ST_OK);
    compare(score, our_score, 0, value_tolerance);
    compare(box, our_box, 0, value_tolerance);
    free(our_score);
    free(our_box);
}

/* Reads the case's batch, which the caller frees, and leaves the gradients in the table. */
static void run_loss(struct fixture *f, const char *name,
                     struct tensor *(*loss)(struct ctx *, struct model *, const struct batch *,
                                            struct model_losses *),
                     struct model_losses *ret)
{
    struct err err;
    struct ctx_config cfg = {.train = true, .record = true};
    read_batch(f, name);
    params_zero_grads(model_params(f->model));
    ctx_begin(f->cx, &cfg);
    ctx_backward(f->cx, loss(f->cx, f->model, &f->batch, ret));
    if (ctx_finish(f->cx, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static void check_grounding(struct fixture *f, const char *name)
{
    char prefix[64];
    struct model_losses losses;
    run_loss(f, name, model_loss, &losses);
    check_losses(f, name, &losses);
    snprintf(prefix, sizeof prefix, "%s/grounding", name);
    compare_gradients(f, prefix);
    check_predictions(f, name);
    free_batch(&f->batch);
}

/* Another loss of the same model: its scalars, in the order of ours, and all gradients. */
static void check_loss(struct fixture *f, const char *prefix, const struct model_losses *l,
                       int terms)
{
    const double warmup[] = {l->total, l->ce, l->bbox, l->giou, l->dense},
                 dense[] = {l->total, l->dense};
    const struct golden_array *want = golden_get(&f->golden, prefix, "loss");
    assert_int_equal(want->size, terms);
    for (int i = 0; i < terms; i++)
        near(prefix, terms == 2 ? dense[i] : warmup[i], golden_at(want, i),
             fmax(1, fabs(golden_at(want, i))), value_tolerance);
    compare_gradients(f, prefix);
}

static void check_dense(struct fixture *f)
{
    struct model_losses losses;
    model_use_dense(f->model, 0.7);
    run_loss(f, "padded", model_loss, &losses);
    check_loss(f, "padded/dense", &losses, 2);
    model_use_dense(f->model, 0);
    free_batch(&f->batch);
}

static void check_warmup(struct fixture *f)
{
    struct model_losses losses;
    run_loss(f, "padded", model_warmup_loss, &losses);
    check_loss(f, "padded/warmup", &losses, 5);
    compare_warmup_gradient(f, "padded/warmup", "warmup.w", "grad/warmup.weight");
    compare_warmup_gradient(f, "padded/warmup", "warmup.box.w", "grad/warmup.box.weight");
    free_batch(&f->batch);
}

static void conv_stem_agrees(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "mdetr_conv.golden");
    check_grounding(&f, "plain");
    check_grounding(&f, "padded");
    close_fixture(&f);
}

static void patch_stem_agrees(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "mdetr_patch.golden");
    check_grounding(&f, "padded");
    close_fixture(&f);
}

static void dense_losses_agree(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "mdetr_conv.golden");
    check_dense(&f);
    close_fixture(&f);
}

static void warmup_agrees(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "mdetr_conv.golden");
    check_warmup(&f);
    close_fixture(&f);
    open_fixture(&f, "mdetr_patch.golden");
    check_warmup(&f);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_stem_agrees),
        cmocka_unit_test(patch_stem_agrees),
        cmocka_unit_test(dense_losses_agree),
        cmocka_unit_test(warmup_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
