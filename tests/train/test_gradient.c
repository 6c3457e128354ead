/* test_gradient.c - the whole model's gradient by central differences, in double, on elements of
 * every parameter. */
#include "model_fixture.h"
#include "synthetic.h"

#include "base/rng.h"

#include <math.h>

/* Central differences: error h^2 f'''/6 + eps |loss| / h, for h = 1e-5, |loss| < 100: some 1e-10 +
 * 2e-9. Kinks (ReLU, L1, GIoU corners, a matching that flips) within h are possible in principle; a
 * second, smaller h is tried then. */
static const double tolerance = 1e-6;
enum { SAMPLES = 3 };

static double loss_at(struct model_fixture *f, const struct batch *b, bool warmup)
{
    struct err err;
    struct model_losses losses;
    struct ctx_config cfg = {.train = true, .seed = 7, .step = 3};
    ctx_begin(f->cx, &cfg);
    if (warmup)
        model_warmup_loss(f->cx, f->model, b, &losses);
    else
        model_loss(f->cx, f->model, b, &losses);
    fixture_ok(ctx_finish(f->cx, &err), &err);
    return losses.total;
}

static double difference(struct model_fixture *f, const struct batch *b, real *at, double h,
                         bool warmup)
{
    real old = *at;
    *at = old + h;
    double up = loss_at(f, b, warmup);
    *at = old - h;
    double down = loss_at(f, b, warmup);
    *at = old;
    return (up - down) / (2 * h);
}

static void check_param(struct model_fixture *f, const struct batch *b, struct param *p,
                        bool warmup)
{
    struct rng_key key = {11, 0, RNG_TEST, (uint32_t)rng_hash(p->spec.name)};
    for (int i = 0; i < SAMPLES && i < p->size; i++) {
        int64_t at = rng_below(&key, (uint64_t)i, (uint32_t)p->size);
        double grad = (double)p->tensor.grad[at], off = INFINITY, want = 0;
        for (double h = 1e-5; h > 5e-7 && off > tolerance; h /= 10) {
            want = difference(f, b, &p->tensor.data[at], h, warmup);
            off = fabs(grad - want) / fmax(1, fabs(want));
        }
        if (!(off <= tolerance))
            fail_msg("%s[%lld]: gradient %.9g, by differences %.9g", p->spec.name, (long long)at,
                     grad, want);
    }
}

static void backward(struct model_fixture *f, const struct batch *b, bool warmup)
{
    struct err err;
    struct model_losses losses;
    struct ctx_config cfg = {.train = true, .record = true, .seed = 7, .step = 3};
    params_zero_grads(model_params(f->model));
    ctx_begin(f->cx, &cfg);
    ctx_backward(f->cx, warmup ? model_warmup_loss(f->cx, f->model, b, &losses)
                               : model_loss(f->cx, f->model, b, &losses));
    fixture_ok(ctx_finish(f->cx, &err), &err);
}

/* Away from the initial values, where zero biases and unit norms hide errors. */
static void shake(struct params *p)
{
    struct rng_key key = {5, 0, RNG_TEST, 0};
    for (int64_t i = 0; i < params_size(p); i++)
        params_values(p)[i] += (real)(0.1 * rng_normal(&key, (uint64_t)i));
}

static void check_all(const struct model_shape *shape, bool warmup, double dense)
{
    struct model_fixture f;
    struct batch b;
    fixture_open(&f, shape, 2);
    shake(model_params(f.model));
    model_use_dense(f.model, dense);
    synthetic_make(&b, shape,
                   &(struct synthetic){.B = 2, .boxes = 2, .L = 9, .padded = true, .seed = 8});
    backward(&f, &b, warmup);
    for (int i = 0; i < params_count(model_params(f.model)); i++)
        check_param(&f, &b, params_at(model_params(f.model), i), warmup);
    synthetic_free(&b);
    fixture_close(&f);
}

static void grounding_loss(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    shape.dropout = 0.1;
    check_all(&shape, false, 0);
}

static void dense_losses_of_patch_stem(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    shape.stem = STEM_PATCH;
    check_all(&shape, false, 0.5);
}

static void warmup_loss(void **state)
{
    (void)state;
    struct model_shape shape = synthetic_shape();
    check_all(&shape, true, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grounding_loss),
        cmocka_unit_test(dense_losses_of_patch_stem),
        cmocka_unit_test(warmup_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
