/* test_overfit.c - sixteen fixed samples are learned by heart: every part of the model passes its
 * gradient on. */
#include "model_fixture.h"
#include "synthetic.h"

#include "engine/optim/optim.h"

#include <math.h>
#include <stdio.h>

enum { SAMPLES = 16, STEPS_MAX = 1500, EVERY = 50 };

static struct model_shape shape_of(void)
{
    return (struct model_shape){.image = 32,
                                .patch = 8,
                                .width = 32,
                                .heads = 2,
                                .ffn = 64,
                                .vision_layers = 2,
                                .text_layers = 2,
                                .fusion_width = 32,
                                .fusion_heads = 2,
                                .fusion_ffn = 64,
                                .encoder_layers = 1,
                                .decoder_layers = 2,
                                .queries = 4,
                                .slots = 8,
                                .max_tokens = 8,
                                .contrast = 16,
                                .stem = STEM_CONV,
                                .vocabulary = 24};
}

static double overlap(const real *a, const real *b)
{
    double inter = 1, area_a = 1, area_b = 1;
    for (int k = 0; k < 2; k++) {
        double low = fmax((double)(a[k] - a[k + 2] / 2), (double)(b[k] - b[k + 2] / 2));
        double high = fmin((double)(a[k] + a[k + 2] / 2), (double)(b[k] + b[k + 2] / 2));
        inter *= fmax(0, high - low);
        area_a *= (double)a[k + 2];
        area_b *= (double)b[k + 2];
    }
    return inter / (area_a + area_b - inter);
}

/* Of the samples, how many find their one box with the query of the highest score. */
static int hits(struct model_fixture *f, const struct batch *b)
{
    struct err err;
    real score[SAMPLES * 4], box[SAMPLES * 4 * 4];
    int n = 0;
    fixture_ok(model_predict(f->cx, f->model, b, score, box, &err), &err);
    for (int i = 0; i < SAMPLES; i++) {
        int top = 0;
        for (int q = 1; q < 4; q++)
            if (score[i * 4 + q] > score[i * 4 + top])
                top = q;
        n += overlap(box + (i * 4 + top) * 4, b->box + i * 4) >= 0.5;
    }
    return n;
}

static void sixteen_samples_are_learned(void **state)
{
    (void)state;
    struct model_shape shape = shape_of();
    struct model_fixture f;
    struct batch b;
    struct adamw *opt;
    struct err err;
    struct model_losses losses = {0};
    struct adamw_config cfg = adamw_defaults;
    fixture_open(&f, &shape, 1);
    struct params *p = model_params(f.model);
    synthetic_make(&b, &shape, &(struct synthetic){.B = SAMPLES, .boxes = 1, .L = 8, .seed = 6});
    fixture_ok(adamw_create(&opt, backend_find("cpu"), p, &err), &err);
    int step = 0, found = 0;
    for (; step < STEPS_MAX && found < SAMPLES; step++) {
        double lr = 1e-3 * fmin(1, (step + 1) / 50.0);
        cfg.lr[PARAM_VISION] = cfg.lr[PARAM_TEXT] = cfg.lr[PARAM_REST] = lr;
        params_zero_grads(p);
        fixture_ok(fixture_step(&f, &b, (uint64_t)step, &losses, &err), &err);
        adamw_step(opt, p, &cfg, clip_scale(grad_norm(backend_find("cpu"), p), 1.0));
        if (step % EVERY == EVERY - 1)
            found = hits(&f, &b);
    }
    print_message("%d of %d found after %d steps, loss %.3f, query cosine %.3f\n", found, SAMPLES,
                  step, losses.total, losses.query_cosine);
    assert_int_equal(found, SAMPLES);
    assert_true(losses.query_cosine < 0.99);
    adamw_destroy(opt);
    synthetic_free(&b);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sixteen_samples_are_learned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
