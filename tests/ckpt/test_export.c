/* test_export.c - a compressed model written in both forms and read again answers as before; files of other models and
 * damaged files are refused. The files stay in the folder of argv[1] for read_exports.py. */
#include "random_structure.h"
#include "synthetic.h"

#include "base/file.h"
#include "engine/backend/backend.h"
#include "engine/ckpt/export.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ALL_ON 0x37u
#define ANSWERS 64

static const char *folder = ".";

struct rig {
    struct model_shape shape;
    struct frame *frame;
    struct structure *st;
    struct model *compact;
    struct ctx *cx;
    struct batch batch;
    char *shared, *expanded; /* paths */
};

static void ok(enum status st, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->text);
}

/* No weight is 0 and every group matters. */
static void shake(struct model *m)
{
    struct params *p = model_params(m);
    struct rng_key key = {.seed = 23, .purpose = RNG_TEST};
    real *w = params_values(p);
    for (int64_t i = 0; i < params_size(p); i++)
        w[i] += (real)(0.1 * rng_normal(&key, (uint64_t)i));
}

static int rig_open(void **state)
{
    static struct rig r;
    struct err err = {0};
    struct frame_options options = options_of(ALL_ON, 2);
    r.shape = synthetic_shape();
    r.shape.text_layers = 4;
    ok(model_shape_frame(&r.shape, &options, &r.frame, &err), &err);
    r.st = structure_random(r.frame, 4, 0.6, 0.5);
    ok(model_create(&r.compact, "mdetr", &r.shape, r.frame, r.st, false, 3, &err), &err);
    shake(r.compact);
    ok(ctx_create(&r.cx, backend_find("cpu"), (size_t)1 << 30, &err), &err);
    synthetic_make(&r.batch, &r.shape, &(struct synthetic){.B = 2, .boxes = 2, .L = 9, .seed = 5});
    r.shared = path_join(folder, "shared.safetensors");
    r.expanded = path_join(folder, "expanded.safetensors");
    const struct export_options opt = {.dtype = DTYPE_F32};
    const real *w = params_values(model_params(r.compact));
    ok(export_shared(r.shared, r.compact, w, &opt, NULL, &err), &err);
    ok(export_expanded(r.expanded, r.compact, w, &opt, NULL, &err), &err);
    *state = &r;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *r = *state;
    synthetic_free(&r->batch);
    ctx_destroy(r->cx);
    model_destroy(r->compact);
    structure_destroy(r->st);
    frame_destroy(r->frame);
    free(r->shared);
    free(r->expanded);
    return 0;
}

static double difference(struct rig *r, struct model *a, struct model *b)
{
    struct err err = {0};
    real score[2][ANSWERS], box[2][4 * ANSWERS];
    int64_t n = r->batch.B * r->shape.queries;
    assert_true(n <= ANSWERS);
    ok(model_predict(r->cx, a, &r->batch, score[0], box[0], &err), &err);
    ok(model_predict(r->cx, b, &r->batch, score[1], box[1], &err), &err);
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)score[0][i] - (double)score[1][i]));
    for (int64_t i = 0; i < 4 * n; i++)
        worst = fmax(worst, fabs((double)box[0][i] - (double)box[1][i]));
    return worst;
}

static struct model *dense_from(struct rig *r, const char *path)
{
    struct err err = {0};
    struct model *m = NULL;
    ok(model_create(&m, "mdetr", &r->shape, r->frame, NULL, false, 77, &err), &err);
    ok(import_weights(m, path, &err), &err);
    return m;
}

static void shared_reads_back_bit_for_bit(void **state)
{
    struct rig *r = *state;
    struct err err = {0};
    struct model *m;
    struct frame *frame;
    ok(import_shared(&m, &frame, r->shared, &err), &err);
    struct params *a = model_params(r->compact), *b = model_params(m);
    assert_int_equal(params_size(a), params_size(b));
    assert_memory_equal(params_values(a), params_values(b), (size_t)params_size(a) * sizeof(real));
    assert_true(difference(r, r->compact, m) == 0);
    model_destroy(m);
    frame_destroy(frame);
}

/* The dense model computes with zeros where the compact one leaves out: sums are rounded in another order. */
static void both_forms_answer_alike_in_a_dense_model(void **state)
{
    struct rig *r = *state;
    const char *const paths[] = {r->shared, r->expanded};
    for (int i = 0; i < 2; i++) {
        struct model *m = dense_from(r, paths[i]);
        assert_true(difference(r, r->compact, m) < 1e-4);
        model_destroy(m);
    }
}

/* Half precision keeps 11 bits: answers move by some thousandths, the file is half as large. */
static void half_precision_is_half_the_file(void **state)
{
    struct rig *r = *state;
    struct err err = {0};
    char *path = path_join(folder, "half.safetensors");
    const struct export_options opt = {.dtype = DTYPE_F16};
    ok(export_expanded(path, r->compact, params_values(model_params(r->compact)), &opt, NULL, &err),
       &err);
    struct model *m = dense_from(r, path);
    double d = difference(r, r->compact, m);
    assert_true(d > 0 && d < 2e-2);
    model_destroy(m);
    unlink(path);
    free(path);
}

static void another_models_file_is_refused(void **state)
{
    struct rig *r = *state;
    struct err err = {0};
    struct model_shape other = r->shape;
    struct frame *frame = NULL;
    struct model *m = NULL;
    struct frame_options options = options_of(ALL_ON, 2);
    other.ffn *= 2;
    ok(model_shape_frame(&other, &options, &frame, &err), &err);
    ok(model_create(&m, "mdetr", &other, frame, NULL, false, 1, &err), &err);
    assert_int_equal(import_weights(m, r->expanded, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "fc1"));
    assert_int_equal(import_weights(m, r->shared, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "other sizes"));
    struct model *none;
    struct frame *nothing;
    assert_int_equal(import_shared(&none, &nothing, r->expanded, &err), ST_INVALID);
    assert_int_equal(import_shared(&none, &nothing, "/nowhere/x", &err), ST_NOT_FOUND);
    model_destroy(m);
    frame_destroy(frame);
}

/* Of a file whose metadata tell of 65536 hidden units, nothing of that size is asked for. */
static void sizes_that_do_not_add_up_are_refused(void **state)
{
    struct rig *r = *state;
    struct err err = {0};
    struct buf whole;
    struct model *m;
    struct frame *frame;
    buf_init(&whole, 64u << 20);
    ok(file_read(&whole, r->shared, &err), &err);
    static const char key[] = "\\\"fusion_ffn\\\":";
    char *at = memmem(whole.data, whole.len, key, sizeof key - 1);
    assert_non_null(at);
    for (at += sizeof key - 1; *at >= '0' && *at <= '9'; at++)
        *at = '9';
    char *path = path_join(folder, "sizes.safetensors");
    ok(file_write_atomic(path, whole.data, whole.len, 0600, &err), &err);
    assert_int_equal(import_shared(&m, &frame, path, &err), ST_INVALID);
    if (!strstr(err.text, "the structure is of a dense model of"))
        fail_msg("%s", err.text);
    unlink(path);
    free(path);
    buf_fini(&whole);
}

/* Every cut-off length: an error, never a crash, nothing leaks (the sanitizers watch). */
static void a_damaged_file_is_refused(void **state)
{
    struct rig *r = *state;
    struct err err = {0};
    struct buf whole;
    buf_init(&whole, 64u << 20);
    ok(file_read(&whole, r->shared, &err), &err);
    char *path = path_join(folder, "cut.safetensors");
    for (size_t n = 0; n < whole.len; n += n < 64 ? 1 : whole.len / 40) {
        struct model *m;
        struct frame *frame;
        ok(file_write_atomic(path, whole.data, n, 0600, &err), &err);
        assert_int_not_equal(import_shared(&m, &frame, path, &err), ST_OK);
        assert_non_null(strstr(err.text, "cut.safetensors"));
    }
    unlink(path);
    free(path);
    buf_fini(&whole);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_reads_back_bit_for_bit),
        cmocka_unit_test(both_forms_answer_alike_in_a_dense_model),
        cmocka_unit_test(half_precision_is_half_the_file),
        cmocka_unit_test(another_models_file_is_refused),
        cmocka_unit_test(sizes_that_do_not_add_up_are_refused),
        cmocka_unit_test(a_damaged_file_is_refused),
    };
    if (argc > 1)
        folder = argv[1];
    return cmocka_run_group_tests(tests, rig_open, rig_close);
}
