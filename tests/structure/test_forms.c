/* test_forms.c - a structure as JSON, text and SVG; the model's numbers by formula. */
#include "random_structure.h"

#include "structure/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL_ON 0x37u

static void json_comes_back_equal(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        struct frame *f = frame_of(3, 5, 6, 3, 300, options_of(bits, 3)), *f2 = NULL;
        struct structure *st = structure_random(f, bits, 0.7, 0.3), *st2 = NULL;
        struct buf b;
        struct err err = {0};
        buf_init(&b, 1 << 20);
        structure_write_json(st, &b);
        assert_true(buf_ok(&b));
        assert_int_equal(structure_read_json(&f2, &st2, b.data, b.len, &err), ST_OK);
        assert_true(frame_equal(f, f2));
        assert_true(structure_equal(st, st2));
        buf_fini(&b);
        structure_destroy(st2);
        frame_destroy(f2);
        structure_destroy(st);
        frame_destroy(f);
    }
}

/* Replaces the first `from` in a good file by `to` and expects the sentence. */
static void refuse(const char *good, const char *from, const char *to, enum status code,
                   const char *says)
{
    const char *at = strstr(good, from);
    assert_non_null(at);
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_add(&b, good, (size_t)(at - good));
    buf_puts(&b, to);
    buf_puts(&b, at + strlen(from));
    struct frame *f = NULL;
    struct structure *st = NULL;
    struct err err = {0};
    enum status got = structure_read_json(&f, &st, b.data, b.len, &err);
    if (got != code || !strstr(err.text, says))
        fail_msg("%s -> %s: %s, \"%s\"", from, to, status_name(got), err.text);
    assert_null(f);
    assert_null(st);
    buf_fini(&b);
}

static void json_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct frame *f = frame_of(2, 2, 6, 3, 4, options_of(ALL_ON, 2));
    struct structure *st = structure_full(f);
    struct buf b;
    buf_init(&b, 1 << 20);
    structure_write_json(st, &b);
    const char *good = buf_str(&b);
    refuse(good, "espalier-structure", "x", ST_CORRUPT, "not a structure");
    refuse(good, "\"version\": 1", "\"version\": 2", ST_UNSUPPORTED, "version 2");
    refuse(good, "\"layers\": 2", "\"layers\": 2000000000", ST_INVALID, "vision.layers");
    refuse(good, "\"layers\": 2", "\"layers\": -1", ST_CORRUPT, "out of range: -1");
    refuse(good, "\"layers\": 2", "\"layers\": 1e400", ST_CORRUPT, "vision.layers");
    refuse(good, "\"ffn\": 4", "\"ffn\": 99999999999999999999", ST_CORRUPT, "vision.ffn");
    refuse(good, "\"ffn\": 4", "\"ffn\": \"4\"", ST_CORRUPT, "vision.ffn");
    refuse(good, "\"vision\"", "\"sight\"", ST_CORRUPT, "vision.layers");
    refuse(good, "\"prune\": true", "\"prune\": 1", ST_CORRUPT, "options.prune");
    refuse(good, "\"dense_whole\": ", "\"dense_whole\": -", ST_INVALID, "cannot hold");
    refuse(good, "\"dense_whole\": ", "\"dense_whole\": 99999999999999", ST_LIMIT, "more than");
    refuse(good, "\"m\": \"111\"", "\"m\": \"11\"", ST_CORRUPT,
           "\"m\" of vision.0.msa must have 3");
    refuse(good, "\"m\": \"111\"", "\"m\": \"121\"", ST_CORRUPT, "see character 2");
    refuse(good, "\"m\": \"111\"", "\"m\": \"110\"", ST_CORRUPT, "the bits give");
    refuse(good, "\"m\": \"111\"", "\"n\": \"111\"", ST_CORRUPT, "no string \"m\"");
    refuse(good, "\"m\": \"111\"", "\"m\": \"111\", \"s\": \"000\"", ST_CORRUPT, "has no source");
    refuse(good, "vision.1.msa", "vision.1.ffn", ST_CORRUPT, "vision.1.msa expected");
    refuse(good, "\"sites\": [", "\"sites\": [1, ", ST_CORRUPT, "must be a list of 8");
    refuse(good, "]}", "", ST_CORRUPT, "not complete");
    buf_fini(&b);
    structure_destroy(st);
    frame_destroy(f);
}

static void every_prefix_of_a_file_is_refused(void **state)
{
    (void)state;
    struct frame *f = frame_of(1, 2, 4, 2, 2, options_of(ALL_ON, 2)), *f2 = NULL;
    struct structure *st = structure_full(f), *st2 = NULL;
    struct buf b;
    buf_init(&b, 1 << 20);
    structure_write_json(st, &b);
    for (size_t n = 0; n + 2 < b.len; n++)
        assert_int_not_equal(structure_read_json(&f2, &st2, b.data, n, NULL), ST_OK);
    buf_fini(&b);
    structure_destroy(st);
    frame_destroy(f);
}

static size_t count_of(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

static size_t longest_line(const char *text)
{
    size_t longest = 0, now = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        now = *c == '\n' ? 0 : now + ((*c & 0xc0) != 0x80); /* code points */
        longest = now > longest ? now : longest;
    }
    return longest;
}

static void text_shows_every_group(void **state)
{
    (void)state;
    struct frame *f = frame_of(1, 2, 4, 4, 8, options_of(ALL_ON, 2));
    struct structure *st = structure_full(f);
    int v = f->site[0].first, b = f->site[2].first, k = f->site[4].first;
    st->m[v] = 0; /* pruned there, stored for text.0 */
    st->s[b] = 1;
    st->m[v + 1] = 0; /* pruned for everybody */
    st->s[k + 2] = 1; /* text.1 takes from text.0's own */
    struct buf out;
    buf_init(&out, 1 << 20);
    structure_draw_text(st, 48, false, &out);
    const char *text = buf_str(&out);
    assert_non_null(strstr(text, "vision.0.msa   ░░░░ ···· ████ ████"));
    assert_non_null(strstr(text, "text.0.msa     ▓▓▓▓ ████ ████ ████"));
    assert_non_null(strstr(text, "text.1.msa     ████ ████ ▒▒▒▒ ████"));
    assert_non_null(strstr(text, "2/4\n"));
    assert_non_null(strstr(text, "2 of 36 pruned; 2 of 24 in text shared"));
    assert_int_equal(count_of(text, "\033["), 0);
    buf_clear(&out);
    structure_draw_text(st, 80, true, &out);
    assert_true(count_of(buf_str(&out), "\033[0m") > 12);
    buf_fini(&out);
    structure_destroy(st);
    frame_destroy(f);
}

static void text_fits_any_width(void **state)
{
    (void)state;
    struct frame *f = frame_of(3, 5, 64, 64, 1000, options_of(ALL_ON, 3));
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct structure *st = structure_random(f, seed, 0.1 * (double)seed, 0.5);
        for (int columns = 0; columns < 260; columns += 13) {
            struct buf out;
            buf_init(&out, 1 << 20);
            structure_draw_text(st, columns, false, &out);
            assert_true(buf_ok(&out));
            /* legend and totals are as long as they are; the map keeps to the width */
            char *legend = strstr(out.data, "\n\n");
            legend = strstr(legend + 2, "\n\n");
            *legend = '\0';
            assert_true(longest_line(out.data) <= (size_t)(columns < 48 ? 48 : columns));
            buf_fini(&out);
        }
        structure_destroy(st);
    }
    frame_destroy(f);
}

static void svg_is_closed_and_escaped(void **state)
{
    (void)state;
    struct frame *f = frame_of(4, 3, 8, 4, 500, options_of(ALL_ON, 3));
    struct structure *st = structure_random(f, 1, 0.7, 0.5);
    struct buf out;
    buf_init(&out, 1 << 20);
    structure_draw_svg(st, "a <b> & \001\"c\"", &out);
    const char *text = buf_str(&out);
    assert_non_null(strstr(text, "a &lt;b&gt; &amp; \"c\""));
    assert_string_equal(text + out.len - 7, "</svg>\n");
    assert_int_equal(count_of(text, "<text"), count_of(text, "</text>"));
    assert_int_equal(count_of(text, "<path"), count_of(text, "</path>"));
    assert_true(count_of(text, "<path") >= 6);
    buf_fini(&out);
    buf_init(&out, 100); /* what does not fit fails, it is not cut */
    structure_draw_svg(st, NULL, &out);
    assert_false(buf_ok(&out));
    buf_fini(&out);
    structure_destroy(st);
    frame_destroy(f);
}

static const struct model_shape tiny = {
    .image = 64,
    .patch = 8,
    .width = 96,
    .heads = 4,
    .ffn = 384,
    .vision_layers = 4,
    .text_layers = 4,
    .fusion_width = 64,
    .fusion_heads = 4,
    .fusion_ffn = 256,
    .encoder_layers = 1,
    .decoder_layers = 1,
    .queries = 8,
    .slots = 48,
    .max_tokens = 48,
    .contrast = 64,
    .stem = STEM_CONV,
    .vocabulary = 100,
};

static void tiny_counts_by_hand(void **state)
{
    (void)state;
    struct model_count c;
    struct err err;
    assert_int_equal(model_shape_check(&tiny, &err), ST_OK);
    model_shape_count(&tiny, &c);
    int64_t layer = 4 * (96 * 96 + 96) + (384 * 96 + 384) + (96 * 384 + 96) + 4 * 96;
    int64_t stem = (24 * 27 + 3 * 24) + (48 * 216 + 3 * 48) + (96 * 432 + 3 * 96) + 96 * 97;
    int64_t vision = stem + 64 * 96 + 4 * layer + 2 * 96, text = 148 * 96 + 2 * 96 + 4 * layer;
    int64_t ffn = 256 * 65 + 64 * 257, msa = 4 * 64 * 65;
    int64_t fusion =
        64 * 97 + 128 + 64 * 97 + (msa + ffn + 256) + (2 * msa + ffn + 384) + 128 + 512;
    int64_t heads = 48 * 65 + 2 * 64 * 65 + 4 * 65 + 2 * 64 * 65;
    assert_int_equal(c.backbones, vision + text);
    assert_int_equal(c.whole, vision + text + fusion + heads);
    assert_int_equal(c.backbone_matrices, 8 * 12 * 96 * 96);
    assert_true((double)c.backbone_matrices >= 0.7 * (double)c.whole);
}

static void macs_fall_with_pruning_alone(void **state)
{
    (void)state;
    struct frame_options options = options_of(ALL_ON, 3);
    struct frame *f = NULL;
    assert_int_equal(model_shape_frame(&tiny, &options, &f, NULL), ST_OK);
    struct model_count c;
    model_shape_count(&tiny, &c);
    assert_int_equal(f->total, c.whole);
    struct structure *st = structure_full(f);
    assert_int_equal(model_shape_macs(&tiny, st), c.macs);
    int text = f->site[8].first; /* text.0.msa */
    memset(st->s + text, 1, 4);
    assert_int_equal(model_shape_macs(&tiny, st), c.macs);
    st->m[text] = 0; /* one head of 24 channels on 48 tokens: four projections, scores and values */
    assert_int_equal(model_shape_macs(&tiny, st), c.macs - 4 * 48 * 96 * 24 - 2 * 48 * 48 * 24);
    structure_destroy(st);
    frame_destroy(f);
}

static void impossible_shapes_are_refused(void **state)
{
    (void)state;
    struct err err;
    struct model_shape s;
#define REFUSES(change, says)                                                                      \
    do {                                                                                           \
        s = tiny;                                                                                  \
        s.change;                                                                                  \
        assert_int_equal(model_shape_check(&s, &err), ST_INVALID);                                 \
        if (!strstr(err.text, says))                                                               \
            fail_msg("%s: %s", #change, err.text);                                                 \
    } while (0)
    REFUSES(heads = 5, "model.heads 5 does not divide model.width 96");
    REFUSES(fusion_heads = 3, "model.fusion_heads 3 does not divide");
    REFUSES(patch = 7, "model.patch 7 does not divide model.image 64");
    REFUSES(patch = 1, "a power of two from 2 on");
    REFUSES(width = 100; s.patch = 16, "must be a multiple of");
    REFUSES(image = 0, "model.image must be 1 to 8192, got 0");
    REFUSES(slots = 40, "model.max_tokens 48 needs model.slots 48");
    REFUSES(dropout = 1, "model.dropout");
    REFUSES(vocabulary = -3, "model.vocabulary");
    REFUSES(text_layers = 1000, "model.text_layers");
#undef REFUSES
    s = tiny;
    s.stem = STEM_PATCH;
    s.patch = 32;
    assert_int_equal(model_shape_check(&s, &err), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_comes_back_equal),
        cmocka_unit_test(json_that_contradicts_itself_is_refused),
        cmocka_unit_test(every_prefix_of_a_file_is_refused),
        cmocka_unit_test(text_shows_every_group),
        cmocka_unit_test(text_fits_any_width),
        cmocka_unit_test(svg_is_closed_and_escaped),
        cmocka_unit_test(tiny_counts_by_hand),
        cmocka_unit_test(macs_fall_with_pruning_alone),
        cmocka_unit_test(impossible_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
