/* test_base.c - the libraries that every process links: err, buf, rng, file, hash, json. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void err_keeps_values(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_set(&err, ST_INVALID, "lr must be > 0, got %g", -1.0), ST_INVALID);
    assert_string_equal(err.text, "lr must be > 0, got -1");
    assert_int_equal(err_prefix(&err, "job.yaml:%d", 3), ST_INVALID);
    assert_string_equal(err.text, "job.yaml:3: lr must be > 0, got -1");
    assert_int_equal(err_set(NULL, ST_IO, "x"), ST_IO);
    assert_string_equal(status_name((enum status)999), "ST_INTERNAL");
}

static void buf_stops_at_its_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    buf_puts(&b, "12345");
    buf_printf(&b, "%d", 678);
    assert_true(buf_ok(&b));
    assert_string_equal(buf_str(&b), "12345678");
    buf_puts(&b, "9");
    assert_false(buf_ok(&b));
    assert_string_equal(buf_str(&b), "12345678");
    assert_null(buf_take(&b));
    buf_fini(&b);
}

static void rng_is_a_pure_function(void **state)
{
    (void)state;
    struct rng_key key = {.seed = 7, .step = 3, .purpose = RNG_TEST, .stream = 1};
    assert_true(rng_uniform(&key, 5) == rng_uniform(&key, 5));
    assert_true(rng_uniform(&key, 5) != rng_uniform(&key, 6));
    double sum = 0, sum2 = 0, uni = 0;
    int n = 100000;
    for (int i = 0; i < n; i++) {
        double x = rng_normal(&key, (uint64_t)i), u = rng_uniform(&key, (uint64_t)i);
        sum += x;
        sum2 += x * x;
        uni += u;
        assert_true(u > 0 && u < 1);
    }
    assert_true(fabs(sum / n) < 0.015 && fabs(sum2 / n - 1) < 0.03 && fabs(uni / n - 0.5) < 0.005);
}

static void file_write_is_atomic(void **state)
{
    (void)state;
    char dir[] = "/tmp/espalier-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = path_join(dir, "a/b/c.txt"), *parent = path_dir(path);
    struct err err;
    assert_int_equal(file_write_atomic(path, "x", 1, 0600, &err), ST_NOT_FOUND);
    assert_int_equal(file_mkdirs(parent, 0700, &err), ST_OK);
    assert_int_equal(file_mkdirs(parent, 0700, &err), ST_OK);
    assert_int_equal(file_write_atomic(path, "hello", 5, 0600, &err), ST_OK);
    struct buf b;
    buf_init(&b, 4);
    assert_int_equal(file_read(&b, path, &err), ST_LIMIT);
    buf_fini(&b);
    buf_init(&b, 100);
    assert_int_equal(file_read(&b, path, &err), ST_OK);
    assert_string_equal(buf_str(&b), "hello");
    char a[HASH_HEX_SIZE], c[HASH_HEX_SIZE];
    assert_int_equal(hash_file(a, path, &err), ST_OK);
    hash_bytes(c, "hello", 5);
    assert_string_equal(a, c);
    assert_string_equal(a, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    buf_fini(&b);
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    free(path);
    free(parent);
}

static void json_says_where(void **state)
{
    (void)state;
    struct json_object *obj = NULL;
    struct err err;
    assert_int_equal(json_parse(&obj, "{\"a\": 3", 7, "x.json", &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "ends at byte 7"));
    assert_int_equal(json_parse(&obj, "{\"a\": 3}", 8, "x.json", &err), ST_OK);
    assert_int_equal(json_get_int(obj, "a", 0), 3);
    assert_int_equal(json_get_int(obj, "b", 9), 9);
    json_object_put(obj);
}

/* Many that fail together: each waits longer from time to time, and no two of a few wait alike. */
static void waits_grow_and_differ(void **state)
{
    (void)state;
    static const int64_t most_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (int failed = 1; failed <= 8; failed++)
        for (uint64_t who = 0; who < 1000; who++) {
            int64_t ms = clock_backoff_ms(failed, who), most = most_ms[failed - 1];
            assert_in_range(ms, most - most / 4 + 1, most);
            assert_int_not_equal(ms, clock_backoff_ms(failed, who + 1));
        }
    assert_in_range(clock_backoff_ms(1000000, 1), 45000, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_keeps_values),       cmocka_unit_test(buf_stops_at_its_maximum),
        cmocka_unit_test(rng_is_a_pure_function), cmocka_unit_test(file_write_is_atomic),
        cmocka_unit_test(json_says_where),        cmocka_unit_test(waits_grow_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
