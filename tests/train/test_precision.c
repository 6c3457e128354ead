/* test_precision.c - training with rounded operands of products reaches what training in f32 reaches: same start, same batches, same
 * steps. cpu-bf16 where the machine has it, ref-bf16, which is slow, elsewhere. */
#include "model_fixture.h"
#include "synthetic.h"

#include "engine/optim/optim.h"

#include <math.h>

enum { STEPS = 200, LAST = 40, BATCHES = 4, SAMPLES = 8 };

/* Mean loss of the last steps; *ret_first: of the first one. */
static double train(const char *backend, double *ret_first)
{
    struct model_shape shape = synthetic_shape();
    struct model_fixture f;
    struct batch batch[BATCHES];
    struct adamw *opt;
    struct err err;
    struct model_losses losses;
    struct adamw_config cfg = adamw_defaults;
    double sum = 0;
    fixture_open_on(&f, backend, &shape, 1);
    struct params *p = model_params(f.model);
    for (int i = 0; i < BATCHES; i++)
        synthetic_make(
            &batch[i], &shape,
            &(struct synthetic){.B = SAMPLES, .boxes = 1, .L = 6, .seed = 11 + (uint64_t)i});
    fixture_ok(adamw_create(&opt, ctx_backend(f.cx), p, &err), &err);
    for (int step = 0; step < STEPS; step++) {
        cfg.lr[PARAM_VISION] = cfg.lr[PARAM_TEXT] = cfg.lr[PARAM_REST] =
            1e-3 * fmin(1, (step + 1) / 20.0);
        params_zero_grads(p);
        fixture_ok(fixture_step(&f, &batch[step % BATCHES], (uint64_t)step, &losses, &err), &err);
        adamw_step(opt, p, &cfg, clip_scale(grad_norm(ctx_backend(f.cx), p), 1.0));
        if (step == 0)
            *ret_first = losses.total;
        sum += step >= STEPS - LAST ? losses.total / LAST : 0;
    }
    for (int i = 0; i < BATCHES; i++)
        synthetic_free(&batch[i]);
    adamw_destroy(opt);
    fixture_close(&f);
    return sum;
}

static void bf16_learns_as_f32_does(void **state)
{
    (void)state;
    const char *rounding = backend_find("cpu-bf16") ? "cpu-bf16" : "ref-bf16";
    double first, first_rounded, whole = train("cpu", &first),
                                 rounded = train(rounding, &first_rounded);
    print_message("loss f32 %.4f -> %.4f, %s %.4f -> %.4f\n", first, whole, rounding, first_rounded,
                  rounded);
    assert_true(first != first_rounded);
    assert_true(fabs(first - first_rounded) < 0.01 * first);
    assert_true(whole < 0.7 * first);
    assert_true(fabs(rounded - whole) < 0.03 * whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bf16_learns_as_f32_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
