/* test_safetensors.c - what is written is read, by us and by a script (read_safetensors.py); hostile files. */
#include "base/bf16.h"
#include "base/file.h"
#include "engine/ckpt/safetensors.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const float f32[6] = {0, -1.5f, 3.25f, 1e-8f, 65504, -0.1f};
static const double f64[3] = {1.0 / 3, -2, 1e300};
static const int32_t i32[4] = {1, -2, 2147483647, 0};
static const uint8_t u8[3] = {0, 1, 255};

static const struct safetensors_out all[] = {
    {.name = "z.half",
     .dtype = DTYPE_F16,
     .from = DTYPE_F32,
     .dims = 2,
     .dim = {2, 3},
     .data = f32},
    {.name = "u8", .dtype = DTYPE_U8, .from = DTYPE_U8, .dims = 1, .dim = {3}, .data = u8},
    {.name = "w\"quoted\"",
     .dtype = DTYPE_F32,
     .from = DTYPE_F32,
     .dims = 2,
     .dim = {3, 2},
     .data = f32},
    {.name = "double", .dtype = DTYPE_F64, .from = DTYPE_F64, .dims = 1, .dim = {3}, .data = f64},
    {.name = "int", .dtype = DTYPE_I32, .from = DTYPE_I32, .dims = 1, .dim = {4}, .data = i32},
    {.name = "bf", .dtype = DTYPE_BF16, .from = DTYPE_F32, .dims = 1, .dim = {6}, .data = f32},
    {.name = "narrowed", .dtype = DTYPE_F32, .from = DTYPE_F64, .dims = 1, .dim = {2}, .data = f64},
    {.name = "scalar", .dtype = DTYPE_F32, .from = DTYPE_F32, .dims = 0, .data = &f32[1]},
    {.name = "empty", .dtype = DTYPE_F32, .from = DTYPE_F32, .dims = 2, .dim = {0, 7}},
};
static const struct safetensors_meta meta[] = {{"format", "espalier"},
                                               {"text", "a \"b\"\n\xC3\xA9"}};
#define ALL ((int)(sizeof all / sizeof all[0]))

static void write_all(const char *path, char sha[HASH_HEX_SIZE])
{
    struct err err = {0};
    if (safetensors_write(path, all, ALL, meta, 2, sha, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct scratch s;
    struct safetensors *f;
    struct err err = {0};
    char sha[HASH_HEX_SIZE], again[HASH_HEX_SIZE];
    scratch_init(&s);
    const char *path = scratch_path(&s, "x.safetensors");
    write_all(path, sha);
    assert_int_equal(hash_file(again, path, &err), ST_OK);
    assert_string_equal(sha, again);
    if (safetensors_open(&f, path, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(safetensors_count(f), ALL);
    assert_string_equal(safetensors_metadata(f, "text"), "a \"b\"\n\xC3\xA9");
    assert_null(safetensors_metadata(f, "none"));
    assert_null(safetensors_find(f, "none"));
    for (int i = 0; i < ALL; i++) {
        const struct safetensor *t = safetensors_at(f, i);
        assert_true(t->begin % dtype_bytes(t->dtype) == 0);
        if (i)
            assert_true(strcmp(safetensors_at(f, i - 1)->name, t->name) < 0);
    }
    float back[6];
    double wide[6];
    const int64_t six[2] = {3, 2}, three[1] = {3}, two[1] = {2};
    assert_int_equal(safetensors_load(f, "w\"quoted\"", DTYPE_F32, 2, six, back, &err), ST_OK);
    assert_memory_equal(back, f32, sizeof f32);
    assert_int_equal(safetensors_load(f, "double", DTYPE_F64, 1, three, wide, &err), ST_OK);
    assert_memory_equal(wide, f64, sizeof f64);
    assert_int_equal(safetensors_load(f, "narrowed", DTYPE_F64, 1, two, wide, &err), ST_OK);
    assert_true(wide[0] == (double)(float)f64[0]);
    const struct safetensor *half = safetensors_find(f, "z.half");
    assert_int_equal(safetensors_read(f, half, DTYPE_F32, 1, 5, back, &err), ST_OK);
    assert_true(back[0] == -1.5f && back[1] == 3.25f && back[3] == 65504 && back[2] == 0);
    assert_true(fabsf(back[4] + 0.1f) < 1e-4f);
    uint8_t bytes[3];
    assert_int_equal(safetensors_load(f, "u8", DTYPE_U8, 1, three, bytes, &err), ST_OK);
    assert_memory_equal(bytes, u8, 3);
    assert_int_equal(safetensors_load(f, "scalar", DTYPE_F32, 0, NULL, back, &err), ST_OK);
    assert_true(back[0] == -1.5f);
    assert_int_equal(safetensors_load(f, "empty", DTYPE_F32, 2, (int64_t[]){0, 7}, back, &err),
                     ST_OK);
    safetensors_close(f);
    scratch_fini(&s);
}

/* Finite in memory, infinite in the file's type: the old file stays. What is infinite in memory is written so. */
static void what_would_become_infinite_is_refused(void **state)
{
    (void)state;
    static const float large[3] = {INFINITY, 65519, 65520};
    static const struct {
        struct safetensors_out tensor;
        const char *text;
    } rows[] = {
        {{"w", DTYPE_F16, DTYPE_F32, 1, {3}, large, NULL, NULL},
         "'w' holds 65520, which is more than F16 can"},
        {{"d", DTYPE_F32, DTYPE_F64, 1, {3}, f64, NULL, NULL},
         "'d' holds 1e+300, which is more than F32 can"},
    };
    struct scratch s;
    scratch_init(&s);
    const char *path = scratch_path(&s, "x.safetensors");
    char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
    write_all(path, before);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        assert_int_equal(safetensors_write(path, &rows[i].tensor, 1, NULL, 0, NULL, &err),
                         ST_UNSUPPORTED);
        if (!strstr(err.text, rows[i].text))
            fail_msg("%s", err.text);
    }
    assert_int_equal(hash_file(after, path, NULL), ST_OK);
    assert_string_equal(before, after);
    struct safetensors_out fits = rows[0].tensor;
    fits.dim[0] = 2;
    assert_int_equal(safetensors_write(path, &fits, 1, NULL, 0, NULL, NULL), ST_OK);
    scratch_fini(&s);
}

static void wrong_uses_are_named(void **state)
{
    (void)state;
    struct scratch s;
    struct safetensors *f;
    struct err err = {0};
    float back[8];
    scratch_init(&s);
    write_all(scratch_path(&s, "x"), NULL);
    assert_int_equal(safetensors_open(&f, s.path, &err), ST_OK);
    assert_int_equal(safetensors_load(f, "none", DTYPE_F32, 0, NULL, back, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "has no tensor 'none'"));
    assert_int_equal(safetensors_load(f, "u8", DTYPE_F32, 1, (int64_t[]){3}, back, &err),
                     ST_INVALID);
    assert_non_null(strstr(err.text, "tensor 'u8' holds U8, where F32 is needed"));
    assert_int_equal(safetensors_load(f, "bf", DTYPE_F32, 2, (int64_t[]){2, 3}, back, &err),
                     ST_INVALID);
    assert_non_null(strstr(err.text, "shape [6], the model needs [2x3]"));
    const struct safetensor *t = safetensors_find(f, "bf");
    assert_int_equal(safetensors_read(f, t, DTYPE_F32, 4, 3, back, &err), ST_INVALID);
    assert_int_equal(safetensors_read(f, t, DTYPE_F32, -1, 1, back, &err), ST_INVALID);
    safetensors_close(f);
    struct safetensors_out twice[] = {all[0], all[0]};
    twice[1].dtype = DTYPE_F32;
    assert_int_equal(safetensors_write(s.path, twice, 2, NULL, 0, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "given twice"));
    struct safetensors_out odd = all[4];
    odd.dtype = DTYPE_F32;
    assert_int_equal(safetensors_write(s.path, &odd, 1, NULL, 0, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "cannot become F32 from I32"));
    assert_int_equal(safetensors_open(&f, s.path, &err), ST_OK); /* the old file is whole */
    safetensors_close(f);
    assert_int_equal(safetensors_write("/nowhere/x", all, ALL, NULL, 0, NULL, &err), ST_NOT_FOUND);
    assert_int_equal(safetensors_open(&f, "/nowhere/x", &err), ST_NOT_FOUND);
    assert_int_equal(safetensors_open(&f, "/dev/zero", &err), ST_INVALID);
    scratch_fini(&s);
}

/* A file of this header (padding added) and data bytes. */
static enum status open_header(struct scratch *s, const char *json, int data, struct err *err)
{
    unsigned char bytes[4096] = {0};
    size_t len = strlen(json);
    bytes[0] = (unsigned char)len;
    bytes[1] = (unsigned char)(len >> 8);
    memcpy(bytes + 8, json, len);
    struct safetensors *f = NULL;
    enum status st =
        safetensors_open(&f, scratch_write(s, "x", bytes, 8 + len + (size_t)data), err);
    safetensors_close(f);
    return st;
}

#define T(name, dtype, shape, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
        int data;
    } cases[] = {
        {"{" T("a", "F32", "[2]", 0, 8) "," T("a", "F32", "[2]", 8, 16) "}", "'a' occurs twice",
         16},
        {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 4, 12) "}", "overlap or leave",
         12},
        {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 0, 8) "}", "overlap or leave", 8},
        {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 9, 17) "}", "overlap or leave",
         17},
        {"{" T("a", "F32", "[2]", 8, 16) "}", "overlap or leave", 16},
        {"{" T("a", "F32", "[2]", 0, 8) "}", "cut off: tensor 'a' ends at data byte 8 of 7", 7},
        {"{" T("a", "F32", "[2]", 0, 8) "}", "1 bytes after its last", 9},
        {"{" T("a", "F32", "[2]", 0, 7) "}", "do not fit its shape", 7},
        {"{" T("a", "F32", "[2]", 8, 0) "}", "do not fit its shape", 8},
        {"{" T("a", "F99", "[2]", 0, 8) "}", "'F99' is not known", 8},
        {"{" T("a", "F32", "[-2]", 0, 8) "}", "negative", 8},
        {"{" T("a", "F32", "[2.5]", 0, 8) "}", "not an integer", 8},
        {"{" T("a", "F32", "[4294967296,4294967296]", 0, 8) "}", "more elements than", 8},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", "more than 8 dimensions", 4},
        {"{" T("a", "F32", "[99999999999999999999]", 0, 8) "}", "not valid JSON", 8},
        {"{" T("", "F32", "[2]", 0, 8) "}", "name that is empty", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "lacks dtype", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", "or one twice", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "two numbers", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", "two numbers", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]}}", "list where none",
         8},
        {"{\"a\":3}", "number where none", 0},
        {"{\"a\":null}", "null, true or false", 0},
        {"{\"a\":[]}", "list where none", 0},
        {"{\"__metadata__\":{\"a\":1}}", "number where none", 0},
        {"{\"__metadata__\":\"x\"}", "text where none", 0},
        {"[]", "list where none", 0},
        {"{} x", "not valid JSON", 0},
        {"{}", "1 bytes after its last", 1},
        {"{\"a\":", "not valid JSON", 0},
        {"\xFF\xFF", "not valid JSON", 0},
    };
    struct scratch s;
    scratch_init(&s);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        enum status st = open_header(&s, cases[i].json, cases[i].data, &err);
        if (st != ST_CORRUPT || !strstr(err.text, cases[i].says))
            fail_msg("case %zu: %s \"%s\" does not say \"%s\"", i, status_name(st), err.text,
                     cases[i].says);
    }
    struct err err = {0};
    assert_int_equal(open_header(&s, "{}", 0, &err), ST_OK);
    assert_int_equal(open_header(&s, "{" T("a", "F32", "[2]", 0, 8) "}   ", 8, &err), ST_OK);
    static const unsigned char huge[16] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, '{'};
    struct safetensors *f;
    assert_int_equal(safetensors_open(&f, scratch_write(&s, "x", huge, 16), &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "header would have"));
    scratch_fini(&s);
}

static void damage_never_crashes(void **state)
{
    (void)state;
    struct scratch s;
    struct err err = {0};
    struct buf b;
    scratch_init(&s);
    buf_init(&b, 1u << 20);
    write_all(scratch_path(&s, "x"), NULL);
    assert_int_equal(file_read(&b, s.path, &err), ST_OK);
    for (size_t n = 0; n < b.len; n += n < 64 ? 1 : 7) {
        struct safetensors *f;
        assert_int_equal(safetensors_open(&f, scratch_write(&s, "cut", b.data, n), &err),
                         ST_CORRUPT);
    }
    uint32_t r = 1;
    for (int i = 0; i < 600; i++) {
        r = r * 1664525u + 1013904223u;
        size_t at = r % b.len;
        char old = b.data[at];
        b.data[at] ^= (char)(1u << (r >> 28 & 7));
        struct safetensors *f = NULL;
        if (safetensors_open(&f, scratch_write(&s, "flip", b.data, b.len), &err) == ST_OK)
            for (int k = 0; k < safetensors_count(f); k++) {
                const struct safetensor *t = safetensors_at(f, k);
                void *out = malloc((size_t)t->size * 8 + 1);
                assert_non_null(out);
                safetensors_read(f, t, t->dtype, 0, t->size, out, &err);
                free(out);
            }
        safetensors_close(f);
        b.data[at] = old;
    }
    buf_fini(&b);
    scratch_fini(&s);
}

static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = half_to_float((uint16_t)h), y = bf16_to_float((uint16_t)h);
        if (!isnan(x))
            assert_int_equal(float_to_half(x), h);
        if (!isnan(y))
            assert_int_equal(bf16_of(y), h);
        assert_int_equal(isnan(x), isnan(half_to_float(float_to_half(x))));
        assert_int_equal(isnan(y), isnan(bf16_to_float(bf16_of(y))));
        if ((h & 0x7FFF) >= 0x7BFF) /* the largest finite one, infinity, NaN */
            continue;
        float up = half_to_float((uint16_t)(h + 1)), mid = (x + up) / 2;
        assert_int_equal(float_to_half(mid), h + (h & 1));
        assert_int_equal(float_to_half(nextafterf(mid, x)), h);
        assert_int_equal(float_to_half(nextafterf(mid, up)), h + 1);
    }
    assert_int_equal(float_to_half(65519.996f), 0x7BFF);
    assert_int_equal(float_to_half(65520), 0x7C00);
    assert_int_equal(float_to_half(-1e30f), 0xFC00);
    assert_int_equal(float_to_half(0x1p-25f), 0);
    assert_int_equal(float_to_half(nextafterf(0x1p-25f, 1)), 1);
    assert_int_equal(bf16_of(1.00390625f), 0x3F80); /* half way between even and odd */
    assert_int_equal(bf16_of(1.01171875f), 0x3F82);
}

/* Leaves the file for the script that reads it: argv[1] = where. */
int main(int argc, char **argv)
{
    if (argc > 1) {
        write_all(argv[1], NULL);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_would_become_infinite_is_refused),
        cmocka_unit_test(wrong_uses_are_named),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(damage_never_crashes),
        cmocka_unit_test(halves_round_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
