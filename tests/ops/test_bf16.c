/* test_bf16.c - operators whose products round their operands to bfloat16.
 *
 * What is right is ref-bf16; its outputs and gradients must be near those of ref, whose gradients test_ops_f64 checks by differences, and
 * not the same: a product that does not round shows too. cpu-bf16 must give what ref-bf16 gives: bit for bit the same operands where
 * they are inputs, so sums differ by their order alone; where an operand is itself computed, a last bit before rounding can
 * become one of 8 after it, for few elements.
 */
#include "bed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 12

/* Root mean square of a - b, relative to b's. */
static double distance(const real *a, const real *b, int64_t n)
{
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        off += pow((double)a[i] - b[i], 2);
        all += pow(b[i], 2);
    }
    return sqrt(off / (all + 1e-30));
}

/* The largest distance of output and gradients between two backends. */
static double largest(const struct bed_case *c, uint64_t seed, const char *one, const char *other)
{
    struct bed a, b;
    bed_init(&a, seed);
    bed_init(&b, seed);
    bed_run(&a, c, backend_find(one), true);
    bed_run(&b, c, backend_find(other), true);
    double most = distance(a.y, b.y, a.y_size);
    for (int i = 0; i < a.inputs; i++)
        most =
            fmax(most, distance(a.input[i].grad, b.input[i].grad, tensor_size(&a.input[i].tensor)));
    bed_fini(&a);
    bed_fini(&b);
    return most;
}

static const struct bed_case *find(const char *name)
{
    for (int i = 0; i < bed_case_count; i++)
        if (strcmp(bed_cases[i].name, name) == 0)
            return &bed_cases[i];
    fail_msg("no case %s", name);
    return NULL;
}

/* Cases with products; `exact`: all operands are inputs. */
static const struct {
    const char *name;
    bool exact;
} products[] = {
    {"linear", true},
    {"linear_no_bias", true},
    {"linear_relu", true},
    {"linear_gelu", false},
    {"linear_long", false},
    {"linear_add", true},
    {"attention", false},
    {"attention_masked", false},
    {"attention_dropout", false},
    {"attention_self", false},
    {"attention_large", false},
    {"attention_inner", false},
    {"conv", true},
    {"conv_dilated", true},
    {"conv_point", true},
    {"conv_wide", true},
    {"conv_large", true},
};
#define PRODUCTS (sizeof products / sizeof *products)

/* An operand is off by 2^-9 of itself at most. Softmax multiplies that by the scores, which reach a few units; near 0 ReLU's slope
 * becomes another one, which among few elements is seen. */
static void rounding_is_small_and_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRODUCTS; i++) {
        double most = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++)
            most = fmax(most, largest(find(products[i].name), seed, "ref-bf16", "ref"));
        if (!(most < 0.1 && most > 2e-4))
            fail_msg("%s: rounded operands change results by %.3g", products[i].name, most);
    }
}

static void cpu_rounds_as_ref_does(void **state)
{
    (void)state;
    if (!backend_find("cpu-bf16")) {
        print_message("SKIPPED: this processor has no AVX-512 BF16\n");
        skip();
    }
    for (size_t i = 0; i < PRODUCTS; i++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            backend_set_threads(seed % 2 ? 3 : 1);
            double far = largest(find(products[i].name), seed, "cpu-bf16", "ref-bf16");
            if (!(far < (products[i].exact ? 3e-6 : 3e-3)))
                fail_msg("%s, seed %d: cpu-bf16 is %.3g from ref-bf16", products[i].name, (int)seed,
                         far);
        }
    backend_set_threads(1);
}

/* Norms, losses, masks, the optimiser: nothing of them is rounded. */
static void what_is_no_product_stays_f32(void **state)
{
    (void)state;
    for (int i = 0; i < bed_case_count; i++) {
        size_t j = 0;
        while (j < PRODUCTS && strcmp(products[j].name, bed_cases[i].name) != 0)
            j++;
        bool product = j < PRODUCTS || !strcmp(bed_cases[i].name, "graph") ||
                       !strcmp(bed_cases[i].name, "gru_cell") ||
                       !strcmp(bed_cases[i].name, "linear_add_self");
        for (uint64_t seed = 0; !product && seed < 3; seed++) {
            const char *best = backend_find("cpu-bf16") ? "cpu-bf16" : "ref-bf16";
            double far = largest(&bed_cases[i], seed, best, "ref");
            if (!(far < 1e-4))
                fail_msg("%s, seed %d: %s is %.3g from ref", bed_cases[i].name, (int)seed, best,
                         far);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rounding_is_small_and_there),
                                       cmocka_unit_test(cpu_rounds_as_ref_does),
                                       cmocka_unit_test(what_is_no_product_stays_f32)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    bed_release();
    return failed;
}
