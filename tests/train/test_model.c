/* test_model.c - a model's table, its names, what it refuses, and what must not depend on padding
 * or on the cut of a batch. */
#include "model_fixture.h"
#include "synthetic.h"

#include "engine/model/losses.h"
#include "engine/model/names.h"

#include <math.h>

/* ---- the table ------------------------------------------------------------------------------- */

static int64_t warmup_size(struct params *p)
{
    int64_t size = 0;
    for (int i = 0; i < params_count(p); i++)
        if (strncmp(params_at(p, i)->spec.name, "warmup.", 7) == 0)
            size += params_at(p, i)->size;
    return size;
}

static void check_count(const struct model_shape *shape)
{
    struct model_fixture f;
    struct model_count count;
    fixture_open(&f, shape, 1);
    struct params *p = model_params(f.model);
    model_shape_count(shape, &count);
    assert_int_equal(params_size(p) - warmup_size(p), count.whole);
    int64_t backbones = 0;
    for (int i = 0; i < params_count(p); i++)
        if (params_at(p, i)->spec.group != PARAM_REST)
            backbones += params_at(p, i)->size;
    assert_int_equal(backbones - warmup_size(p), count.backbones);
    fixture_close(&f);
}

static void the_formula_counts_the_table(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    check_count(&shape);
    shape.stem = STEM_PATCH;
    check_count(&shape);
    assert_true(synthetic_named(&shape, "tiny"));
    check_count(&shape);
}

static void check_names(const struct model_shape *shape)
{
    struct model_fixture f;
    struct names *names;
    struct err err;
    int64_t named = 0;
    fixture_open(&f, shape, 1);
    struct params *p = model_params(f.model);
    fixture_ok(names_create(&names, "mdetr", shape, &err), &err);
    for (int i = 0; i < names->count; i++) {
        const struct name_map *m = &names->map[i];
        int64_t parts = 0;
        assert_ptr_equal(names_find(names, m->official), m); /* no name twice */
        for (int k = 0; k < m->parts; k++) {
            int part;
            const struct param *mine = params_find(p, m->part[k].ours);
            if (!mine)
                fail_msg("%s: no parameter %s", m->official, m->part[k].ours);
            assert_ptr_equal(names_find_ours(names, m->part[k].ours, &part), m);
            assert_int_equal(part, k);
            parts += mine->size;
        }
        if (parts != name_map_size(m))
            fail_msg("%s: %lld elements of %lld", m->official, (long long)parts,
                     (long long)name_map_size(m));
        named += parts;
    }
    assert_int_equal(named, params_size(p) - warmup_size(p)); /* and none left out */
    names_destroy(names);
    fixture_close(&f);
}

static void names_cover_the_table(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    check_names(&shape);
    shape.stem = STEM_PATCH;
    check_names(&shape);
}

static void names_turn_kernels(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct names *names;
    struct err err;
    fixture_ok(names_create(&names, "mdetr", &shape, &err), &err);
    const struct name_map *m =
        names_find(names, "backbone.0.body.patch_embed.stem.1.weight"); /* [8,4,3,3] */
    int64_t n = name_map_size(m);
    real *ours = malloc((size_t)n * sizeof *ours), *theirs = calloc((size_t)n, sizeof *theirs);
    real *back = calloc((size_t)n, sizeof *back);
    for (int64_t i = 0; i < n; i++)
        ours[i] = (real)i;
    name_pack(m, 0, theirs, ours);
    /* out 2, in 3, ky 1, kx 2 */
    assert_true(theirs[((2 * 4 + 3) * 3 + 1) * 3 + 2] == ours[((2 * 3 + 1) * 3 + 2) * 4 + 3]);
    name_unpack(m, 0, back, theirs);
    assert_memory_equal(back, ours, (size_t)n * sizeof *ours);
    free(ours);
    free(theirs);
    free(back);
    names_destroy(names);
}

static void initialisation_is_keyed_by_name(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape(), deeper = shape;
    struct model_fixture a, b;
    deeper.vision_layers++;
    fixture_open(&a, &shape, 3);
    fixture_open(&b, &deeper, 3);
    const char *same[] = {"vision.1.msa.wq", "text.0.ffn.w1", "fusion.query", "head.class.w"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const struct param *p = params_find(model_params(a.model), same[i]);
        assert_memory_equal(p->tensor.data,
                            params_find(model_params(b.model), same[i])->tensor.data,
                            (size_t)p->size * sizeof(real));
    }
    fixture_close(&a);
    fixture_close(&b);
}

static double bound_of(struct params *p, const char *name)
{
    const struct param *found = params_find(p, name);
    double max = 0;
    for (int64_t i = 0; i < found->size; i++)
        max = fmax(max, fabs((double)found->tensor.data[i]));
    return max;
}

static void assert_bound(struct params *p, const char *name, double bound)
{
    double max = bound_of(p, name);
    if (!(max <= bound * (1 + 1e-6) && max > 0.9 * bound))
        fail_msg("%s reaches %g, its draw ends at %g", name, max, bound);
}

static void initialisation_follows_the_spec(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    fixture_open(&f, &shape, 3);
    struct params *p = model_params(f.model);
    assert_bound(p, "vision.0.msa.wq", 0.04);
    assert_bound(p, "text.embed.word", 0.04);
    assert_bound(p, "fusion.enc.0.msa.wq", sqrt(6.0 / 64));
    assert_bound(p, "fusion.enc.0.msa.wo", sqrt(6.0 / 32));
    assert_bound(p, "head.class.w", sqrt(6.0 / 28));
    assert_true(bound_of(p, "head.class.b") == 0);
    assert_true(bound_of(p, "vision.stem.0.norm.w") == 1);
    assert_true(bound_of(p, "vision.pos") <= 0.5);
    assert_true(bound_of(p, "fusion.dec.0.self.bo") > 0.5);
    assert_true(bound_of(p, "fusion.dec.1.self.bo") == 0);
    assert_memory_equal(params_find(p, "fusion.enc.0.msa.wq")->tensor.data,
                        params_find(p, "fusion.enc.0.msa.wk")->tensor.data,
                        (size_t)(16 * 16) * sizeof(real));
    fixture_close(&f);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void assert_refused(struct model_fixture *f, const struct batch *b, const char *why)
{
    struct err err;
    struct model_losses losses;
    assert_int_not_equal(fixture_step(f, b, 0, &losses, &err), ST_OK);
    if (!strstr(err.text, why))
        fail_msg("expected '%s' in: %s", why, err.text);
}

static void bad_batches_are_refused(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch b, bad;
    struct err err;
    struct model_losses losses;
    fixture_open(&f, &shape, 1);
    synthetic_make(&b, &shape, &(struct synthetic){.B = 2, .boxes = 2, .L = 8, .seed = 1});
    bad = b;
    bad.L = 13;
    assert_refused(&f, &bad, "caption of 13 tokens");
    bad = b;
    bad.height = 40;
    assert_refused(&f, &bad, "images of 40 x 32");
    bad = b;
    bad.width = 20;
    assert_refused(&f, &bad, "multiples of 8");
    bad = b;
    bad.norm_boxes = 0;
    assert_refused(&f, &bad, "boxes of the global batch");
    int32_t word = b.token[3];
    b.token[3] = 20;
    assert_refused(&f, &b, "word 20 of a vocabulary of 20");
    b.token[3] = word;
    real pixel = b.image[5];
    b.image[5] = (real)NAN;
    assert_int_equal(fixture_step(&f, &b, 0, &losses, &err), ST_NUMERIC);
    b.image[5] = pixel;
    fixture_ok(fixture_step(&f, &b, 0, &losses, &err), &err); /* and the context is well again */
    synthetic_free(&b);
    fixture_close(&f);
}

static void unknown_kinds_and_frames_are_refused(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct model *m = NULL;
    struct err err;
    fixture_open(&f, &shape, 1);
    assert_int_equal(model_create(&m, "glop", &shape, f.frame, NULL, false, 1, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "no model kind 'glop'; there is: mdetr"));
    shape.text_layers = 3;
    assert_int_equal(model_create(&m, "mdetr", &shape, f.frame, NULL, false, 1, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "text side has 2 layers"));
    assert_null(m);
    fixture_close(&f);
}

/* ---- what must not matter -------------------------------------------------------------------- */

static void assert_near(const real *a, const real *b, int64_t n, double tolerance, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= tolerance * fmax(1, fabs((double)b[i]))))
            fail_msg("%s[%lld]: %.9g and %.9g", what, (long long)i, (double)a[i], (double)b[i]);
}

/* A sample answers alike alone, cropped to its real patches, and in a batch with larger ones. */
static void padding_does_not_matter(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch b, one;
    struct err err;
    real score[4 * 5], box[4 * 5 * 4], score1[5], box1[5 * 4];
    fixture_open(&f, &shape, 5);
    synthetic_make(&b, &shape,
                   &(struct synthetic){.B = 4, .boxes = 1, .L = 12, .padded = true, .seed = 2});
    fixture_ok(model_predict(f.cx, f.model, &b, score, box, &err), &err);
    for (int64_t i = 0; i < b.B; i++) {
        synthetic_part(&one, &b, i, 1);
        int64_t height = (one.valid[0] + 7) / 8 * 8, width = (one.valid[1] + 7) / 8 * 8;
        real *cropped = calloc((size_t)(height * width * 3), sizeof *cropped);
        for (int64_t y = 0; y < height; y++)
            memcpy(cropped + y * width * 3, one.image + y * 32 * 3,
                   (size_t)width * 3 * sizeof(real));
        one.image = cropped;
        one.height = height;
        one.width = width;
        fixture_ok(model_predict(f.cx, f.model, &one, score1, box1, &err), &err);
        assert_near(score1, score + i * 5, 5, 1e-5, "score");
        assert_near(box1, box + i * 20, 20, 1e-5, "box");
        free(cropped);
        synthetic_part_free(&one);
    }
    synthetic_free(&b);
    fixture_close(&f);
}

typedef struct tensor *loss_fn(struct ctx *cx, struct model *m, const struct batch *batch,
                               struct model_losses *ret);

/* Adds the gradients of a share to the table; returns the loss. */
static double share(struct model_fixture *f, const struct batch *b, loss_fn *loss)
{
    struct err err;
    struct model_losses losses;
    struct ctx_config cfg = {.train = true, .record = true, .seed = 7, .sample0 = b->sample0};
    ctx_begin(f->cx, &cfg);
    ctx_backward(f->cx, loss(f->cx, f->model, b, &losses));
    fixture_ok(ctx_finish(f->cx, &err), &err);
    return losses.total;
}

static void check_halves(struct model_fixture *f, const struct batch *b, loss_fn *loss)
{
    struct params *p = model_params(f->model);
    struct batch half;
    int64_t n = params_size(p);
    real *grads = malloc((size_t)n * sizeof *grads);
    params_zero_grads(p);
    double whole = share(f, b, loss), parts = 0;
    memcpy(grads, params_grads(p), (size_t)n * sizeof *grads);
    params_zero_grads(p);
    for (int i = 0; i < 2; i++) {
        synthetic_part(&half, b, 2 * i, 2);
        parts += share(f, &half, loss);
        synthetic_part_free(&half);
    }
    assert_true(fabs(parts - whole) < 1e-5 * whole);
    assert_near(params_grads(p), grads, n, 2e-5, "gradient");
    free(grads);
}

/* Two halves with the whole batch's norms add up to it, dropout included: ranks and micro-batches. */
static void halves_add_up(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch b;
    shape.dropout = 0.1;
    fixture_open(&f, &shape, 5);
    synthetic_make(&b, &shape,
                   &(struct synthetic){.B = 4, .boxes = 2, .L = 10, .padded = true, .seed = 3});
    check_halves(&f, &b, model_loss);
    model_use_dense(f.model, 0.5);
    check_halves(&f, &b, model_loss);
    check_halves(&f, &b, model_warmup_loss);
    synthetic_free(&b);
    fixture_close(&f);
}

static void a_step_repeats_bit_by_bit(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch b;
    struct err err;
    struct model_losses losses;
    shape.dropout = 0.1;
    fixture_open(&f, &shape, 5);
    synthetic_make(&b, &shape,
                   &(struct synthetic){.B = 3, .boxes = 2, .L = 10, .padded = true, .seed = 3});
    struct params *p = model_params(f.model);
    real *grads = malloc((size_t)params_size(p) * sizeof *grads);
    for (int i = 0; i < 2; i++) {
        params_zero_grads(p);
        fixture_ok(fixture_step(&f, &b, 4, &losses, &err), &err);
        if (i == 0)
            memcpy(grads, params_grads(p), (size_t)params_size(p) * sizeof *grads);
    }
    assert_memory_equal(grads, params_grads(p), (size_t)params_size(p) * sizeof *grads);
    free(grads);
    synthetic_free(&b);
    fixture_close(&f);
}

static void no_boxes_is_a_loss_too(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch b;
    struct err err;
    struct model_losses losses;
    fixture_open(&f, &shape, 5);
    synthetic_make(&b, &shape, &(struct synthetic){.B = 2, .boxes = 0, .L = 6, .seed = 3});
    fixture_ok(fixture_step(&f, &b, 0, &losses, &err), &err);
    assert_true(losses.ce > 0 && losses.bbox == 0 && losses.giou == 0 && losses.contrast == 0);
    synthetic_free(&b);
    fixture_close(&f);
}

static void cosine_tells_collapse(void **state)
{
    (void)state;
    const real alike[2 * 3 * 2] = {1, 2, 2, 4, 3, 6, 1, 0, 5, 0, 2, 0};
    const real apart[1 * 2 * 2] = {1, 0, 0, 3}, opposed[1 * 2 * 2] = {1, 1, -2, -2};
    const real one_zero[1 * 3 * 2] = {1, 0, 0, 0, 1, 0};
    double work[2];
    assert_true(fabs(losses_query_cosine(alike, 2, 3, 2, work) - 1) < 1e-6);
    assert_true(fabs(losses_query_cosine(apart, 1, 2, 2, work)) < 1e-6);
    assert_true(fabs(losses_query_cosine(opposed, 1, 2, 2, work) + 1) < 1e-6);
    assert_true(fabs(losses_query_cosine(one_zero, 1, 3, 2, work) - 1.0 / 3) < 1e-6);
    assert_true(losses_query_cosine(apart, 2, 1, 2, work) == 0);
}

/* Freezing a group stops its gradient and changes no other. */
static void frozen_groups_get_no_gradient(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch b;
    struct err err;
    struct model_losses losses;
    fixture_open(&f, &shape, 5);
    synthetic_make(&b, &shape, &(struct synthetic){.B = 2, .boxes = 2, .L = 10, .seed = 3});
    struct params *p = model_params(f.model);
    int64_t n = params_size(p);
    real *grads = malloc((size_t)n * sizeof *grads);
    fixture_ok(fixture_step(&f, &b, 0, &losses, &err), &err);
    memcpy(grads, params_grads(p), (size_t)n * sizeof *grads);
    params_zero_grads(p);
    params_freeze(p, PARAM_TEXT, true);
    fixture_ok(fixture_step(&f, &b, 0, &losses, &err), &err);
    for (int i = 0; i < params_count(p); i++) {
        const struct param *q = params_at(p, i);
        for (int64_t k = 0; k < q->size; k++) {
            real want = q->spec.group == PARAM_TEXT ? 0 : grads[q->offset + k];
            assert_true(params_grads(p)[q->offset + k] == want);
        }
    }
    free(grads);
    synthetic_free(&b);
    fixture_close(&f);
}

static void a_prediction_is_a_number(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch b;
    struct err err;
    real score[2 * 5] = {42}, box[2 * 5 * 4] = {42};
    fixture_open(&f, &shape, 5);
    synthetic_make(&b, &shape, &(struct synthetic){.B = 2, .boxes = 1, .L = 8, .seed = 3});
    params_find(model_params(f.model), "fusion.query")->tensor.data[3] = (real)NAN;
    assert_int_equal(model_predict(f.cx, f.model, &b, score, box, &err), ST_NUMERIC);
    assert_non_null(strstr(err.text, "sample 0"));
    assert_true(score[0] == 42 && box[0] == 42);
    synthetic_free(&b);
    fixture_close(&f);
}

/* A hardened model may have a layer without a head and one without a hidden unit: their biases
 * stand. */
static void empty_sites_leave_their_bias(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct structure *st;
    struct model *hard;
    struct batch b;
    struct err err;
    real score[2][2 * 5], box[2][2 * 5 * 4];
    fixture_open(&f, &shape, 5);
    fixture_ok(structure_create(&st, f.frame, &err), &err);
    const char *empty[] = {"vision.1.msa", "text.0.ffn"};
    for (int i = 0; i < 2; i++) {
        const struct site *site = &f.frame->site[frame_find(f.frame, empty[i])];
        memset(st->m + site->first, 0, (size_t)site->groups);
    }
    params_find(model_params(f.model), "vision.1.msa.bo")->tensor.data[2] = (real)0.7;
    params_find(model_params(f.model), "text.0.ffn.b2")->tensor.data[1] = (real)-0.4;
    synthetic_make(&b, &shape, &(struct synthetic){.B = 2, .boxes = 1, .L = 8, .seed = 4});
    fixture_ok(model_create(&hard, "mdetr", &shape, f.frame, st, true, 1, &err), &err);
    fixture_ok(harden_values(model_params(hard), params_values(model_params(hard)),
                             model_params(f.model), params_values(model_params(f.model)), st, &err),
               &err);
    binding_use_bits(model_binding(f.model), st);
    fixture_ok(model_predict(f.cx, f.model, &b, score[0], box[0], &err), &err);
    fixture_ok(model_predict(f.cx, hard, &b, score[1], box[1], &err), &err);
    assert_near(score[1], score[0], 2 * 5, 1e-5, "score");
    assert_near(box[1], box[0], 2 * 5 * 4, 1e-5, "box");
    synthetic_free(&b);
    model_destroy(hard);
    structure_destroy(st);
    fixture_close(&f);
}

/* ---- recomputing blocks ------------------------------------------------------------------------ */

/* Gradients, loss and peak of one step, dropout on. */
static double step_of(bool recompute, real **ret_grads, int64_t *ret_size, size_t *ret_peak)
{
    struct model_fixture f;
    struct model_shape shape = synthetic_shape();
    struct model_losses losses;
    struct batch b;
    struct err err;
    shape.dropout = 0.1;
    shape.width = 64, shape.ffn = 128,
    shape.vision_layers = 4; /* gradients that are large enough to be moved */
    fixture_open(&f, &shape, 3);
    synthetic_make(&b, &shape,
                   &(struct synthetic){.B = 48, .boxes = 2, .L = 9, .padded = true, .seed = 5});
    for (int step = 0; step < 2; step++) {
        struct ctx_config cfg = {.train = true, .record = true, .recompute = recompute, .seed = 7};
        params_zero_grads(model_params(f.model));
        ctx_begin(f.cx, &cfg);
        ctx_backward(f.cx, model_loss(f.cx, f.model, &b, &losses));
        fixture_ok(ctx_finish(f.cx, &err), &err);
    }
    *ret_size = params_size(model_params(f.model));
    *ret_grads = malloc((size_t)*ret_size * sizeof(real));
    memcpy(*ret_grads, params_grads(model_params(f.model)), (size_t)*ret_size * sizeof(real));
    *ret_peak = ctx_arena_peak(f.cx);
    synthetic_free(&b);
    fixture_close(&f);
    return losses.total;
}

static void recomputed_blocks_give_the_same_bits(void **state)
{
    (void)state;
    real *kept, *again;
    int64_t size, same;
    size_t peak, less;
    double a = step_of(false, &kept, &size, &peak), b = step_of(true, &again, &same, &less);
    assert_true(a == b);
    assert_int_equal(size, same);
    assert_memory_equal(kept, again, (size_t)size * sizeof(real));
    if (!((double)less < 0.8 * (double)peak))
        fail_msg("%zu bytes with recomputing, %zu without", less, peak);
    free(kept);
    free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recomputed_blocks_give_the_same_bits),
        cmocka_unit_test(the_formula_counts_the_table),
        cmocka_unit_test(names_cover_the_table),
        cmocka_unit_test(names_turn_kernels),
        cmocka_unit_test(initialisation_is_keyed_by_name),
        cmocka_unit_test(initialisation_follows_the_spec),
        cmocka_unit_test(bad_batches_are_refused),
        cmocka_unit_test(unknown_kinds_and_frames_are_refused),
        cmocka_unit_test(padding_does_not_matter),
        cmocka_unit_test(halves_add_up),
        cmocka_unit_test(a_step_repeats_bit_by_bit),
        cmocka_unit_test(no_boxes_is_a_loss_too),
        cmocka_unit_test(cosine_tells_collapse),
        cmocka_unit_test(frozen_groups_get_no_gradient),
        cmocka_unit_test(a_prediction_is_a_number),
        cmocka_unit_test(empty_sites_leave_their_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
