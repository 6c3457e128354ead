/* test_memory.c - what `plan` says a step needs against what it needed: within 15 %. */
#include "model_fixture.h"
#include "synthetic.h"

#include "jobfile/plan_memory.h"

#include <math.h>

static void compare(const char *name, int64_t batch, double dropout, bool dense, bool recompute)
{
    struct model_fixture f;
    struct model_shape shape;
    struct model_losses losses;
    struct batch b;
    struct err err;
    assert_true(synthetic_named(&shape, name));
    shape.dropout = dropout;
    fixture_open(&f, &shape, 3);
    model_use_dense(f.model, dense);
    synthetic_make(&b, &shape,
                   &(struct synthetic){.B = batch, .boxes = 2, .L = shape.max_tokens, .seed = 5});
    struct ctx_config cfg = {.train = true, .record = true, .recompute = recompute, .seed = 7};
    ctx_begin(f.cx, &cfg);
    ctx_backward(f.cx, model_loss(f.cx, f.model, &b, &losses));
    fixture_ok(ctx_finish(f.cx, &err), &err);
    double measured = (double)ctx_arena_peak(f.cx);
    double planned = (double)plan_step_bytes(&shape, batch, dense, recompute);
    synthetic_free(&b);
    fixture_close(&f);
    if (!(fabs(planned / measured - 1) <= 0.15))
        fail_msg("%s, %d images: %.2f MiB planned, %.2f measured", name, (int)batch,
                 planned / (1 << 20), measured / (1 << 20));
}

static void a_plan_foresees_the_peak(void **state)
{
    (void)state;
    compare("tiny", 16, 0, false, false);
    compare("tiny", 32, 0.1, true, false);
    compare("small", 1, 0, false, false);
}

static void with_recomputing_too(void **state)
{
    (void)state;
    compare("tiny", 16, 0, false, true);
    compare("small", 1, 0, false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_foresees_the_peak),
        cmocka_unit_test(with_recomputing_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
