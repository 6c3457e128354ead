/* test_image.c - PNG in and out, hostile files, and the resize against figures from PIL. */
#include "engine/data/image.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fill(struct image *image)
{
    for (int i = 0; i < image->width * image->height * 3; i++)
        image->rgb[i] = (uint8_t)(i * 37 + i / 7 * 11);
}

static void png_comes_back_as_it_was(void **state)
{
    (void)state;
    static const int sides[][2] = {{1, 1}, {7, 3}, {64, 64}, {129, 33}};
    for (size_t k = 0; k < sizeof sides / sizeof sides[0]; k++) {
        struct image in, out;
        struct buf b;
        struct err err = {0};
        buf_init(&b, 1u << 20);
        assert_int_equal(image_create(&in, sides[k][0], sides[k][1], &err), ST_OK);
        fill(&in);
        assert_int_equal(image_encode_png(&b, &in, 1, &err), ST_OK);
        assert_int_equal(image_decode_png(&out, b.data, b.len, "x", &err), ST_OK);
        assert_int_equal(out.width, in.width);
        assert_int_equal(out.height, in.height);
        assert_memory_equal(out.rgb, in.rgb, (size_t)in.width * (size_t)in.height * 3);
        image_fini(&in);
        image_fini(&out);
        buf_fini(&b);
    }
}

/* Small files of other kinds, put together by hand: RFC 2083. */
/* clang-format off */
static const uint8_t grey_alpha[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 1, 8, 4, 0, 0, 0, 94, 43, 183, 1, 0, 0, 0, 13, 73, 68, 65, 84, 120, 156, 99, 56, 241, 255, 4, 3, 0, 7, 178, 2, 144, 53, 238, 120, 248, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
static const uint8_t palette[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 1, 8, 3, 0, 0, 0, 195, 252, 143, 184, 0, 0, 0, 6, 80, 76, 84, 69, 1, 2, 3, 250, 251, 252, 253, 94, 230, 163, 0, 0, 0, 11, 73, 68, 65, 84, 120, 156, 99, 96, 100, 0, 0, 0, 5, 0, 2, 209, 102, 51, 120, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
static const uint8_t deep[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 1, 16, 2, 0, 0, 0, 43, 208, 52, 158, 0, 0, 0, 21, 73, 68, 65, 84, 120, 156, 99, 248, 255, 159, 129, 129, 157, 189, 129, 129, 153, 129, 129, 1, 0, 26, 107, 2, 144, 190, 8, 43, 120, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
static const uint8_t bits[] = {137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 9, 0, 0, 0, 1, 1, 0, 0, 0, 0, 36, 185, 185, 208, 0, 0, 0, 11, 73, 68, 65, 84, 120, 156, 99, 88, 208, 0, 0, 1, 195, 1, 33, 197, 150, 221, 167, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130};
/* clang-format on */

static void expect_pixels(const uint8_t *png, size_t len, int width, const uint8_t *rgb)
{
    struct image image;
    struct err err = {0};
    if (image_decode_png(&image, png, len, "x", &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(image.width, width);
    assert_memory_equal(image.rgb, rgb, (size_t)width * 3);
    image_fini(&image);
}

static void every_colour_type_becomes_rgb(void **state)
{
    (void)state;
    expect_pixels(grey_alpha, sizeof grey_alpha, 2, (const uint8_t[]){200, 200, 200, 0, 0, 0});
    expect_pixels(palette, sizeof palette, 2, (const uint8_t[]){250, 251, 252, 1, 2, 3});
    expect_pixels(deep, sizeof deep, 2, (const uint8_t[]){255, 0, 7, 128, 3, 0});
    uint8_t nine[27] = {0};
    memset(nine, 255, 3);
    memset(nine + 6, 255, 3);
    memset(nine + 24, 255, 3);
    expect_pixels(bits, sizeof bits, 9, nine);
}

static void expect_corrupt(const void *data, size_t len, const char *says)
{
    struct image image;
    struct err err = {0};
    assert_int_equal(image_decode_png(&image, data, len, "pic.png", &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "pic.png"));
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    uint8_t copy[sizeof deep];
    expect_corrupt("", 0, "is empty (0 bytes)");
    expect_corrupt("GIF89a..........", 16, "is not a PNG");
    for (size_t n = 1; n + 12 < sizeof deep; n++) /* the last chunk carries nothing but the end */
        expect_corrupt(deep, n, n < 8 ? "is not a PNG" : "cut off");
    memcpy(copy, deep, sizeof deep);
    copy[45] ^= 0x40; /* compressed data */
    expect_corrupt(copy, sizeof copy, "cannot be decoded");
    memcpy(copy, deep, sizeof deep);
    copy[19] ^= 1; /* width, under a checksum */
    expect_corrupt(copy, sizeof copy, "cannot be decoded");
}

static void flipped_bytes_never_crash(void **state)
{
    (void)state;
    uint8_t copy[sizeof grey_alpha];
    int refused = 0;
    for (size_t i = 0; i < sizeof copy; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct image image = {0};
            memcpy(copy, grey_alpha, sizeof copy);
            copy[i] ^= (uint8_t)(1u << bit);
            if (image_decode_png(&image, copy, sizeof copy, "x", NULL) != ST_OK)
                refused++;
            image_fini(&image);
        }
    assert_true(refused > (int)sizeof copy * 4);
}

static void sides_are_limited(void **state)
{
    (void)state;
    struct image image;
    struct err err = {0};
    assert_int_equal(image_create(&image, IMAGE_SIDE_MAX + 1, 1, &err), ST_LIMIT);
    assert_int_equal(image_create(&image, 0, 1, &err), ST_LIMIT);
    struct scratch s;
    scratch_init(&s);
    assert_int_equal(image_read_png(&image, scratch_text(&s, "empty.png", ""), &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "empty.png"));
    assert_int_equal(image_read_png(&image, scratch_path(&s, "none.png"), &err), ST_NOT_FOUND);
    scratch_fini(&s);
}

/* The first 24 bytes that PIL 9.4 gives for fill()'s picture; rounding may differ by one. */
static const struct resized {
    int width, height, to_width, to_height;
    uint8_t first[24];
} resized[] = {
    {7, 5, 4, 3, {71,  101, 138, 123, 90,  127, 159, 139, 106, 148, 179, 153,
                  130, 143, 119, 113, 145, 137, 122, 129, 145, 100, 134, 118}},
    {16, 16, 5, 7, {116, 114, 142, 119, 132, 121, 123, 140, 138, 136, 125, 123,
                    117, 145, 120, 124, 127, 140, 126, 132, 116, 129, 142, 122}},
    {5, 4, 11, 9, {0,   37, 74,  20,  57, 94, 71,  108, 145, 121, 136, 173,
                   172, 75, 112, 222, 14, 51, 161, 64,  101, 100, 115, 152}},
};

static void resize_agrees_with_pil(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof resized / sizeof resized[0]; k++) {
        const struct resized *c = &resized[k];
        struct image in, out;
        struct err err = {0};
        assert_int_equal(image_create(&in, c->width, c->height, &err), ST_OK);
        fill(&in);
        assert_int_equal(image_resize(&out, &in, c->to_width, c->to_height, &err), ST_OK);
        for (int i = 0; i < 24; i++)
            if (abs(out.rgb[i] - c->first[i]) > 1)
                fail_msg("case %zu byte %d: %d, PIL has %d", k, i, out.rgb[i], c->first[i]);
        image_fini(&in);
        image_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_comes_back_as_it_was),
        cmocka_unit_test(every_colour_type_becomes_rgb),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(flipped_bytes_never_crash),
        cmocka_unit_test(sides_are_limited),
        cmocka_unit_test(resize_agrees_with_pil),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
