/* test_dataset.c - annotation files: what is read, and every fault by its sentence. */
#include "engine/data/dataset.h"
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

#define IMAGE(id, caption)                                                                         \
    "{\"id\": " #id                                                                                \
    ", \"file_name\": \"a.png\", \"width\": 64, \"height\": 48, \"caption\": \"" caption "\"}"
#define BOX(id, image, bbox, spans)                                                                \
    "{\"id\": " #id ", \"image_id\": " #image ", \"bbox\": " bbox ", \"tokens_positive\": " spans  \
    "}"
#define FILE_OF(images, annotations)                                                               \
    "{\"images\": [" images "], \"annotations\": [" annotations "]}"
#define GOOD_BOX BOX(1, 5, "[1, 2, 3, 4]", "[[4, 7]]")

static enum status open_text(struct scratch *s, const char *text, bool images,
                             struct dataset **ret_set, struct err *err)
{
    const struct dataset_config cfg = {.path = scratch_text(s, "x.json", text),
                                       .check_images = images};
    return dataset_open(ret_set, &cfg, err);
}

static void reads_records_in_any_order_of_keys(void **state)
{
    (void)state;
    struct scratch s;
    struct dataset *set;
    struct record r;
    struct err err;
    scratch_init(&s);
    const char *text =
        "{\"annotations\": ["
        "{\"bbox\": [10.5, 2, 20, 4], \"tokens_positive\": [[0, 4], [5, 8]], \"segmentation\": "
        "[[1, 2], {\"x\": []}], \"iscrowd\": 0, \"image_id\": 9000000000, \"id\": 3},"
        "{\"id\": 4, \"image_id\": 7, \"bbox\": [0, 0, 1, 1], \"iscrowd\": 1},"
        "{\"id\": 5, \"image_id\": 9000000000, \"bbox\": [-0.5, 0, 64.9, 48.2]}],"
        "\"categories\": [{\"id\": 1}], \"info\": {\"blind\": {\"rel\": {\"random\": 0.25, "
        "\"head_noun\": 0.5}}, \"year\": 2021}, \"licenses\": null, \"images\": ["
        "{\"id\": 7, \"file_name\": \"b.png\", \"width\": 8, \"height\": 8, \"caption\": \"x\","
        "\"original_id\": 70, \"tokens_negative\": [[0, 1]], \"questionId\": \"17\"},"
        "{\"family\": \"rel\", \"caption\": \"caf\\u00e9 dog \xF0\x9F\x90\xB6\", \"height\": 48, "
        "\"width\": 64, \"file_name\": \"a.png\", \"id\": 9000000000}]}";
    assert_int_equal(open_text(&s, text, false, &set, &err), ST_OK);
    assert_int_equal(dataset_count(set), 2);
    assert_int_equal(dataset_images(set), 2);
    assert_int_equal(dataset_boxes(set), 2);
    dataset_get(set, 0, &r);
    assert_int_equal(r.id, 7);
    assert_int_equal(r.original_id, 70);
    assert_int_equal(r.boxes, 0);
    assert_int_equal(r.family, -1);
    dataset_get(set, 1, &r);
    assert_int_equal(r.id, 9000000000);
    assert_string_equal(r.caption, "caf\xC3\xA9 dog \xF0\x9F\x90\xB6");
    assert_int_equal(r.boxes, 2);
    assert_int_equal(r.box[0].spans, 2);
    assert_int_equal(r.box[0].span[1].begin, 5);
    assert_int_equal(r.box[0].span[1].end, 8);
    assert_true(r.box[0].x0 == 10.5f && r.box[0].x1 == 30.5f && r.box[0].y1 == 6);
    assert_int_equal(r.box[1].spans, 0);
    assert_true(r.box[1].x0 == 0 && r.box[1].x1 == 64 && r.box[1].y1 == 48); /* cut off */
    assert_int_equal(dataset_families(set), 1);
    const struct dataset_family *f = dataset_family(set, r.family);
    assert_string_equal(f->name, "rel");
    assert_int_equal(f->records, 1);
    assert_true(f->random == 0.25 && f->head_noun == 0.5 && isnan(f->attributes));
    assert_int_equal(dataset_require_one_box(set, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "record 7 has 0 boxes"));
    dataset_close(set);
    scratch_fini(&s);
}

static const struct fault {
    enum status code;
    const char *says;
    const char *text;
} faults[] = {
    {ST_CORRUPT, "is empty (0 bytes)", ""},
    {ST_CORRUPT, "is cut off", "{\"images\": ["},
    {ST_CORRUPT, "is cut off",
     "{\"images\": [" IMAGE(5, "the dog") "], \"annotations\": [" GOOD_BOX},
    {ST_CORRUPT, "not valid JSON at byte 12", "{\"images\": ]"},
    {ST_CORRUPT, "not valid JSON", "\x89PNG\r\n"},
    {ST_CORRUPT, "not valid JSON", FILE_OF(IMAGE(5, "\xC3("), GOOD_BOX)},
    {ST_CORRUPT, "not valid JSON", FILE_OF(IMAGE(5, "the dog"), GOOD_BOX) "x"},
    {ST_INVALID, "must hold one JSON object", "[1, 2]"},
    {ST_INVALID, "must hold one JSON object", "3"},
    {ST_INVALID, "\"images\" is missing", "{}"},
    {ST_INVALID, "\"annotations\" is missing", "{\"images\": []}"},
    {ST_INVALID, "lists of objects", "{\"images\": {}, \"annotations\": []}"},
    {ST_INVALID, "lists of objects", "{\"images\": 3, \"annotations\": []}"},
    {ST_INVALID, "entry 0 of \"images\": \"images\" and", "{\"images\": [3], \"annotations\": []}"},
    {ST_INVALID, "entry 1 of \"annotations\"", FILE_OF(IMAGE(5, "the dog"), GOOD_BOX ", null")},
    {ST_INVALID, "family's name", "{\"info\": {\"blind\": {\"\": {}}}}"},
    {ST_INVALID, "holds no records", "{\"images\": [], \"annotations\": []}"},
    {ST_INVALID, "entry 0 of \"images\": the key \"id\" is missing", FILE_OF("{}", "")},
    {ST_INVALID, "record 3: the key \"file_name\" is missing", FILE_OF("{\"id\": 3}", "")},
    {ST_INVALID, "must be integers", FILE_OF("{\"id\": \"3\"}", "")},
    {ST_INVALID, "must be texts", FILE_OF("{\"id\": 3, \"caption\": 4}", "")},
    {ST_INVALID, "wrong type", FILE_OF("{\"id\": 3, \"caption\": [\"x\"]}", "")},
    {ST_INVALID, "record 3: width and height must be 1 to 8192",
     FILE_OF("{\"id\": 3, \"width\": 0}", "")},
    {ST_INVALID, "width and height must be 1 to 8192",
     FILE_OF("{\"id\": 3, \"width\": 99999}", "")},
    {ST_INVALID, "not empty", FILE_OF(IMAGE(5, ""), "")},
    {ST_INVALID, "without NUL", FILE_OF(IMAGE(5, "a\\u0000b"), "")},
    {ST_INVALID, "record id 5 occurs twice",
     FILE_OF(IMAGE(5, "the dog") "," IMAGE(5, "the cat"), "")},
    {ST_INVALID, "annotation id 1 occurs twice",
     FILE_OF(IMAGE(5, "the dog"), GOOD_BOX "," GOOD_BOX)},
    {ST_INVALID, "annotation 1 names image_id 6",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 6, "[1, 2, 3, 4]", "[]"))},
    {ST_INVALID, "annotation 1: bbox must be [x, y, width, height]",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3]", "[]"))},
    {ST_INVALID, "bbox must be [x, y, width, height]",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, 4, 5]", "[]"))},
    {ST_INVALID, "bbox must be four numbers",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, \"4\"]", "[]"))},
    {ST_INVALID,
     "box [60, 2, 30, 4] (x y w h) is empty or lies outside the 64x48 image of record 5",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[60, 2, 30, 4]", "[]"))},
    {ST_INVALID, "outside", FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[-3, 2, 30, 4]", "[]"))},
    {ST_INVALID, "outside", FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 0, 4]", "[]"))},
    {ST_INVALID, "outside", FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, -3, 4]", "[]"))},
    {ST_INVALID, "outside", FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[64.5, 2, 0.4, 4]", "[]"))},
    {ST_INVALID, "annotation 1: span [4, 8) lies outside the caption of record 5, which has 7",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, 4]", "[[4, 8]]"))},
    {ST_INVALID, "which has 4 characters", /* 5 bytes */
     FILE_OF(IMAGE(5, "caf\xC3\xA9"), BOX(1, 5, "[1, 2, 3, 4]", "[[0, 5]]"))},
    {ST_INVALID, "span [4, 4)",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, 4]", "[[4, 4]]"))},
    {ST_INVALID, "lies outside the caption",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, 4]", "[[-1, 4]]"))},
    {ST_INVALID, "a span of tokens_positive must be [begin, end]",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, 4]", "[[4]]"))},
    {ST_INVALID, "list of [begin, end] integers",
     FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, 4]", "[4, 7]"))},
    {ST_INVALID, "disagree about its size",
     FILE_OF(
         IMAGE(5, "the dog") ",{\"id\": 6, \"file_name\": \"a.png\", \"width\": 63, \"height\": "
                             "48, \"caption\": \"x\"}",
         "")},
    {ST_INVALID, "must be a path inside the image folder",
     FILE_OF("{\"id\": 6, \"file_name\": \"../../etc/passwd\", \"width\": 63, \"height\": 48, "
             "\"caption\": \"x\"}",
             "")},
};

static void every_fault_has_its_sentence(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct dataset *set = NULL;
        struct err err = {0};
        enum status st = open_text(&s, faults[i].text, false, &set, &err);
        if (st != faults[i].code || !strstr(err.text, faults[i].says) ||
            !strstr(err.text, "x.json"))
            fail_msg("case %zu: %s says \"%s\", expected %s with \"%s\"", i, status_name(st),
                     err.text, status_name(faults[i].code), faults[i].says);
        assert_null(set);
    }
    scratch_fini(&s);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    char text[] = FILE_OF(IMAGE(5, "the dog"), GOOD_BOX);
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct dataset *set;
        struct err err = {0};
        struct dataset_config cfg = {.path = scratch_write(&s, "x.json", text, n)};
        assert_int_equal(dataset_open(&set, &cfg, &err), ST_CORRUPT);
    }
    scratch_fini(&s);
}

/* A record whose caption has n characters of two bytes each. */
static char *long_caption(int n)
{
    char *text = malloc((size_t)n * 2 + 256), *p = text;
    assert_non_null(text);
    p += sprintf(p, "{\"annotations\": [], \"images\": [{\"id\": 8, \"file_name\": \"a.png\", "
                    "\"width\": 4, \"height\": 4, \"caption\": \"");
    for (int i = 0; i < n; i++)
        p += sprintf(p, "\xC3\xA9");
    sprintf(p, "\"}]}");
    return text;
}

static void captions_have_a_limit_in_characters(void **state)
{
    (void)state;
    struct scratch s;
    struct dataset *set;
    struct err err = {0};
    scratch_init(&s);
    char *text = long_caption(DATASET_CAPTION_MAX);
    assert_int_equal(open_text(&s, text, false, &set, &err), ST_OK);
    dataset_close(set);
    free(text);
    text = long_caption(DATASET_CAPTION_MAX + 1);
    assert_int_equal(open_text(&s, text, false, &set, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "record 8: the caption has 4097 characters"));
    free(text);
    scratch_fini(&s);
}

static void deep_nesting_and_endless_values_are_refused(void **state)
{
    (void)state;
    struct scratch s;
    struct dataset *set;
    struct err err = {0};
    scratch_init(&s);
    char deep[4000];
    size_t n = (size_t)snprintf(deep, sizeof deep, "{\"other\": ");
    memset(deep + n, '[', sizeof deep - n - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(open_text(&s, deep, false, &set, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "nests deeper"));
    size_t len = 18u << 20;
    char *endless = malloc(len);
    assert_non_null(endless);
    memset(endless, 'x', len);
    memcpy(endless, "{\"other\": \"", 11);
    struct dataset_config cfg = {.path = scratch_write(&s, "x.json", endless, len)};
    assert_int_equal(dataset_open(&set, &cfg, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "longer than 16 MiB"));
    free(endless);
    scratch_fini(&s);
}

static void files_are_looked_at(void **state)
{
    (void)state;
    struct scratch s;
    struct dataset *set;
    struct err err = {0};
    scratch_init(&s);
    const char *text = FILE_OF(IMAGE(5, "the dog"), GOOD_BOX);
    assert_int_equal(open_text(&s, text, true, &set, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "record 5: picture "));
    assert_non_null(strstr(err.text, "a.png"));
    scratch_text(&s, "a.png", "\xFF\xD8\xFF\xE0 a photograph");
    assert_int_equal(open_text(&s, text, true, &set, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "is not a PNG file"));
    scratch_png(&s, "a.png", 48, 64, 0);
    assert_int_equal(open_text(&s, text, true, &set, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "says 64x48 pixels, but picture"));
    scratch_png(&s, "a.png", 64, 48, 0);
    assert_int_equal(open_text(&s, text, true, &set, &err), ST_OK);
    assert_int_equal(dataset_require_one_box(set, &err), ST_OK);
    dataset_close(set);
    struct dataset_config gone = {.path = scratch_path(&s, "gone.json")};
    assert_int_equal(dataset_open(&set, &gone, &err), ST_NOT_FOUND);
    assert_non_null(strstr(err.text, "gone.json"));
    scratch_fini(&s);
}

/* Found by fuzzing: without any span in the file there is no array of spans. */
static void boxes_may_belong_to_no_word(void **state)
{
    (void)state;
    struct scratch s;
    struct dataset *set;
    struct record r;
    struct err err = {0};
    scratch_init(&s);
    const char *text = FILE_OF(IMAGE(5, "the dog"), BOX(1, 5, "[1, 2, 3, 4]", "[]"));
    assert_int_equal(open_text(&s, text, false, &set, &err), ST_OK);
    dataset_get(set, 0, &r);
    assert_int_equal(r.boxes, 1);
    assert_int_equal(r.box[0].spans, 0);
    dataset_close(set);
    scratch_fini(&s);
}

static void digest_depends_on_bytes_and_order(void **state)
{
    (void)state;
    struct scratch s;
    struct err err = {0};
    scratch_init(&s);
    char *a = strdup(scratch_text(&s, "a", "xy")), *b = strdup(scratch_text(&s, "b", "z"));
    char one[HASH_HEX_SIZE], two[HASH_HEX_SIZE], three[HASH_HEX_SIZE];
    assert_int_equal(dataset_digest(one, (const char *[]){a, NULL, "", b}, 4, &err), ST_OK);
    assert_int_equal(dataset_digest(two, (const char *[]){a, b}, 2, &err), ST_OK);
    assert_int_equal(dataset_digest(three, (const char *[]){b, a}, 2, &err), ST_OK);
    assert_string_equal(one, two);
    assert_string_not_equal(one, three);
    hash_bytes(three, "\2\0\0\0\0\0\0\0xy\1\0\0\0\0\0\0\0z", 19);
    assert_string_equal(one, three);
    assert_int_equal(dataset_digest(one, (const char *[]){"/nowhere"}, 1, &err), ST_NOT_FOUND);
    free(a);
    free(b);
    scratch_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_records_in_any_order_of_keys),
        cmocka_unit_test(every_fault_has_its_sentence),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(captions_have_a_limit_in_characters),
        cmocka_unit_test(deep_nesting_and_endless_values_are_refused),
        cmocka_unit_test(files_are_looked_at),
        cmocka_unit_test(boxes_may_belong_to_no_word),
        cmocka_unit_test(digest_depends_on_bytes_and_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
