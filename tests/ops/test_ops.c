/* test_ops.c - every case of cases.def.
 *
 * In the double build: gradients on ref against central differences. In the float build: every backend of this
 * machine, with one thread and with three, against ref; outputs and gradients. Guards, unchanged inputs and adding (not overwriting)
 * of gradients are checked by the bed in both.
 */
#include "bed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS 6

#ifdef REAL_IS_DOUBLE

#define PROBES 10 /* elements of an input that are moved */

/* With step 1e-5 the formula's own error is about 1e-10, rounding's 1e-16 |loss| / 1e-5. */
static void probe(struct bed *bed, const struct bed_case *c, struct bed_input *in, int64_t i,
                  double gradient)
{
    const double step = 1e-5;
    const struct backend *ref = backend_find("ref");
    double x = in->tensor.data[i];
    in->tensor.data[i] = x + step;
    bed_run(bed, c, ref, false);
    double up = bed->loss;
    in->tensor.data[i] = x - step;
    bed_run(bed, c, ref, false);
    double difference = (up - bed->loss) / (2 * step);
    in->tensor.data[i] = x;
    if (!(fabs(difference - gradient) <= 1e-6 * (1 + fabs(gradient))))
        fail_msg("%s, seed %d, input %d, element %d: gradient %.9g, by differences %.9g", c->name,
                 (int)bed->seed, (int)(in - bed->input), (int)i, gradient, difference);
}

static void check_input(struct bed *bed, const struct bed_case *c, struct bed_input *in)
{
    int64_t n = tensor_size(&in->tensor), every = n / PROBES + 1;
    double *gradient = malloc((size_t)n * sizeof *gradient);
    for (int64_t i = 0; i < n; i++) {
        gradient[i] = in->grad[i] - BED_GRAD0;
        if (isnan(in->tensor.data[i])) /* padding */
            assert_true(gradient[i] == 0);
    }
    for (int64_t i = (int64_t)bed->seed % every; i < n; i += every)
        if (!isnan(in->tensor.data[i]))
            probe(bed, c, in, i, gradient[i]);
    free(gradient);
}

static void check_case(void **state)
{
    const struct bed_case *c = *state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct bed bed;
        bed_init(&bed, seed);
        bed_run(&bed, c, backend_find("ref"), true);
        for (int i = 0; i < bed.inputs; i++) {
            bed_run(&bed, c, backend_find("ref"), true);
            check_input(&bed, c, &bed.input[i]);
        }
        bed_fini(&bed);
    }
}

#else

static void compare(const struct bed *bed, const struct bed_case *c, const struct backend *be,
                    const char *what, const real *a, const real *ref, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - ref[i]) <= c->tolerance * (1 + fabs((double)ref[i]))))
            fail_msg("%s, seed %d: %s[%d] is %.9g on %s, %.9g on ref", c->name, (int)bed->seed,
                     what, (int)i, (double)a[i], be->name, (double)ref[i]);
}

/* One run on `be` against the bed that already ran on ref. */
static void compare_backend(const struct bed *want, const struct bed_case *c,
                            const struct backend *be)
{
    struct bed bed;
    bed_init(&bed, want->seed);
    bed.without_grad = want->without_grad;
    bed_run(&bed, c, be, true);
    assert_int_equal(bed.y_size, want->y_size);
    compare(&bed, c, be, "output", bed.y, want->y, bed.y_size);
    for (int i = 0; i < bed.inputs; i++) {
        char what[32];
        snprintf(what, sizeof what, "gradient %d", i);
        compare(&bed, c, be, what, bed.input[i].grad, want->input[i].grad,
                tensor_size(&bed.input[i].tensor));
    }
    bed_fini(&bed);
}

static void check_case(void **state)
{
    const struct bed_case *c = *state;
    for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
        struct bed want;
        bed_init(&want, seed);
        want.without_grad = seed % 3 == 2 ? (int)(seed / 3) : -1;
        bed_run(&want, c, backend_find("ref"), true);
        backend_set_threads(seed % 2 ? 3 : 1);
        for (int i = 1; i < backend_count(); i++)
            compare_backend(&want, c, backend_at(i));
        bed_fini(&want);
    }
    backend_set_threads(1);
}

#endif

int main(void)
{
    struct CMUnitTest *tests = calloc((size_t)bed_case_count, sizeof *tests);
    for (int i = 0; i < bed_case_count; i++)
        tests[i] = (struct CMUnitTest){.name = bed_cases[i].name,
                                       .test_func = check_case,
                                       .initial_state = (void *)&bed_cases[i]};
    int failed = _cmocka_run_group_tests("ops", tests, (size_t)bed_case_count, NULL, NULL);
    bed_release();
    free(tests);
    return failed;
}
