/* test_loader.c - batches as pure functions of the step: restarts, ranks, micro-batches, parts, mixtures. */
#include "engine/data/loader.h"
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

#define RECORDS 23
#define PICTURES 12
#define SIDE 8

/* A set of RECORDS captions over PICTURES pictures of different colours; record i has i % 3 + 1 boxes. */
struct world {
    struct scratch s;
    struct dataset *set;
    struct image_cache *images;
    struct tokenizer *words;
};

static void write_set(struct world *w, const char *file)
{
    static char text[16384];
    char *p = text;
    p += sprintf(p, "{\"images\": [");
    for (int i = 0; i < RECORDS; i++)
        p += sprintf(p,
                     "%s{\"id\": %d, \"file_name\": \"%d.png\", \"width\": %d, \"height\": %d, "
                     "\"caption\": \"red dog%s\"}",
                     i ? "," : "", i + 100, i % PICTURES, SIDE, SIDE, i % 2 ? " on a mat" : "");
    p += sprintf(p, "], \"annotations\": [");
    for (int i = 0, id = 0; i < RECORDS; i++)
        for (int k = 0; k <= i % 3; k++, id++)
            p += sprintf(p,
                         "%s{\"id\": %d, \"image_id\": %d, \"bbox\": [%d, 1, 2, 4], "
                         "\"tokens_positive\": [[%d, 7]]}",
                         id ? "," : "", id, i + 100, k, k ? 4 : 0);
    sprintf(p, "]}");
    scratch_text(&w->s, file, text);
}

static void world_init(struct world *w, size_t budget)
{
    struct err err = {0};
    scratch_init(&w->s);
    for (int i = 0; i < PICTURES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.png", i);
        scratch_png(&w->s, name, SIDE, SIDE, (unsigned)i * 0x130705u);
    }
    write_set(w, "set.json");
    struct dataset_config cfg = {.path = scratch_path(&w->s, "set.json"), .check_images = true};
    if (dataset_open(&w->set, &cfg, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(image_cache_create(&w->images, w->set, SIDE, budget, &err), ST_OK);
    scratch_text(&w->s, "v.txt", "red\ndog\non\na\nmat\n");
    assert_int_equal(tokenizer_open_words(&w->words, scratch_path(&w->s, "v.txt"), &err), ST_OK);
}

static void world_fini(struct world *w)
{
    image_cache_destroy(w->images);
    dataset_close(w->set);
    tokenizer_destroy(w->words);
    scratch_fini(&w->s);
}

static struct loader_config config(const struct world *w, int64_t batch)
{
    return (struct loader_config){.source = {{w->set, w->images}},
                                  .sources = 1,
                                  .tokenizer = w->words,
                                  .side = SIDE,
                                  .max_tokens = 10,
                                  .batch = batch,
                                  .ranks = 1,
                                  .seed = 7};
}

static struct loader *create(const struct loader_config *cfg)
{
    struct loader *l = NULL;
    struct err err = {0};
    if (loader_create(&l, cfg, &err) != ST_OK)
        fail_msg("%s", err.text);
    return l;
}

static const struct batch *get(struct loader *l, int64_t step, int64_t m)
{
    const struct batch *b = NULL;
    struct err err = {0};
    if (loader_batch(l, step, m, &b, &err) != ST_OK)
        fail_msg("%s", err.text);
    return b;
}

/* Samples of a batch against those of the whole one from `at` on. */
static void expect_within(const struct batch *part, const struct batch *whole, int64_t at)
{
    size_t pixels = (size_t)(part->height * part->width * 3);
    assert_int_equal(part->sample0, at);
    assert_true(part->norm_boxes == whole->norm_boxes);
    assert_true(part->norm_samples == (double)whole->B);
    assert_int_equal(part->L, whole->L); /* the contrastive loss sums over padding */
    for (int64_t i = 0; i < part->B; i++) {
        int64_t j = at + i;
        assert_int_equal(part->record[i], whole->record[j]);
        assert_memory_equal(part->image + (size_t)i * pixels, whole->image + (size_t)j * pixels,
                            pixels * sizeof(real));
        int64_t boxes = part->first_box[i + 1] - part->first_box[i];
        assert_int_equal(boxes, whole->first_box[j + 1] - whole->first_box[j]);
        assert_memory_equal(part->box + 4 * part->first_box[i],
                            whole->box + 4 * whole->first_box[j], (size_t)boxes * 4 * sizeof(real));
        assert_memory_equal(part->token + i * part->L, whole->token + j * whole->L,
                            (size_t)whole->L * sizeof(int32_t));
    }
}

static void samples_are_what_the_file_says(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    struct loader_config cfg = config(&w, RECORDS);
    cfg.sequential = true;
    cfg.side = 10;
    struct loader *l = create(&cfg);
    const struct batch *b = get(l, 0, 0);
    assert_int_equal(b->B, RECORDS);
    assert_int_equal(b->L, 7);
    assert_int_equal(b->V, 9);
    assert_int_equal(b->height, 10);
    assert_true(b->norm_boxes == 45);
    assert_int_equal(b->valid[2], SIDE);
    /* picture 1 is (0x13, 0x07, 0x05) */
    const real *pixel = b->image + 1 * 10 * 10 * 3;
    assert_true(fabs(pixel[0] - (0x13 / 255.0 - 0.485) / 0.229) < 1e-5);
    assert_true(fabs(pixel[1] - (0x07 / 255.0 - 0.456) / 0.224) < 1e-5);
    assert_true(fabs(pixel[2] - (0x05 / 255.0 - 0.406) / 0.225) < 1e-5);
    assert_true(pixel[8 * 3] == 0 && pixel[8 * 10 * 3] == 0); /* padding */
    static const int32_t first[7] = {0, 4, 5, 2, 1, 1, 1}, second[7] = {0, 4, 5, 6, 7, 8, 2};
    assert_memory_equal(b->token, first, sizeof first);
    assert_memory_equal(b->token + 7, second, sizeof second);
    assert_memory_equal(b->token_mask, "\1\1\1\1\0\0\0\1\1\1\1\1\1\1", 14);
    const real *box = b->box + 4 * (b->first_box[1] + 1); /* [1, 1, 2, 4] of 8 */
    assert_true(box[0] == 0.25f && box[1] == 0.375f && box[2] == 0.25f && box[3] == 0.5f);
    assert_memory_equal(b->positive + 7 * b->first_box[1], "\0\1\1\0\0\0\0\0\0\1\0\0\0\0", 14);
    loader_destroy(l);
    world_fini(&w);
}

static void an_epoch_sees_each_record_once_and_the_next_in_another_order(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    struct loader_config cfg = config(&w, 4);
    struct loader *l = create(&cfg);
    assert_int_equal(loader_epoch_steps(l), 5);
    int64_t order[2][20];
    for (int e = 0; e < 2; e++) {
        int seen[RECORDS] = {0};
        for (int t = 0; t < 5; t++)
            for (int i = 0; i < 4; i++) {
                int64_t r = get(l, e * 5 + t, 0)->record[i];
                assert_int_equal(seen[r]++, 0);
                order[e][t * 4 + i] = r;
            }
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    cfg.stream = 1; /* another phase */
    struct loader *other = create(&cfg);
    assert_memory_not_equal(get(other, 0, 0)->record, order[0], 4 * sizeof(int64_t));
    loader_destroy(other);
    loader_destroy(l);
    world_fini(&w);
}

static void a_restart_changes_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    struct loader_config cfg = config(&w, 5);
    struct loader *whole = create(&cfg);
    for (int64_t step = 0; step < 14; step++) {
        struct loader *fresh = create(&cfg); /* begins in the middle */
        expect_within(get(fresh, step, 0), get(whole, step, 0), 0);
        loader_destroy(fresh);
    }
    int64_t first[5];
    memcpy(first, get(whole, 2, 0)->record, sizeof first);
    get(whole, 9, 0);
    assert_memory_equal(get(whole, 2, 0)->record, first, sizeof first); /* backwards */
    loader_destroy(whole);
    world_fini(&w);
}

static void ranks_and_micro_batches_make_up_the_batch(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    static const struct {
        int64_t batch, micro;
        int ranks;
    } cases[] = {{8, 0, 2}, {8, 2, 2}, {8, 3, 1}, {7, 2, 3}, {6, 1, 4}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct loader_config cfg = config(&w, cases[k].batch);
        struct loader *whole = create(&cfg);
        cfg.micro_batch = cases[k].micro;
        cfg.ranks = cases[k].ranks;
        for (int64_t step = 0; step < 7; step++) {
            int64_t at = 0;
            for (cfg.rank = 0; cfg.rank < cfg.ranks; cfg.rank++) {
                struct loader *l = create(&cfg);
                for (int64_t m = 0; m < loader_micros(l); m++) {
                    const struct batch *b = get(l, step, m);
                    assert_true(!cfg.micro_batch || b->B <= cfg.micro_batch);
                    if (b->B)
                        expect_within(b, get(whole, step, 0), at);
                    at += b->B;
                }
                loader_destroy(l);
            }
            assert_int_equal(at, cases[k].batch);
        }
        loader_destroy(whole);
    }
    world_fini(&w);
}

static void evaluation_sees_every_record_in_order(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 0); /* nothing is kept: every picture is decoded each time */
    struct loader_config cfg = config(&w, 6);
    cfg.sequential = true;
    cfg.ranks = 4;
    int64_t next = 0;
    for (int64_t step = 0; step < 4; step++)
        for (cfg.rank = 0; cfg.rank < 4; cfg.rank++) {
            struct loader *l = create(&cfg);
            assert_int_equal(loader_epoch_steps(l), 4);
            const struct batch *b = get(l, step, 0);
            for (int64_t i = 0; i < b->B; i++)
                assert_int_equal(b->record[i], next++);
            loader_destroy(l);
        }
    assert_int_equal(next, RECORDS);
    assert_int_equal(image_cache_bytes(w.images), 0);
    cfg.rank = 0;
    cfg.limit = 7;
    struct loader *l = create(&cfg);
    assert_int_equal(loader_records(l), 7);
    loader_destroy(l);
    world_fini(&w);
}

static void the_hold_out_shares_no_picture_with_the_rest(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    struct loader_config cfg = config(&w, 1);
    cfg.holdout = 0.3;
    cfg.split_seed = 3;
    int side[PICTURES] = {0};
    int64_t records = 0;
    for (int part = LOADER_TRAIN; part <= LOADER_HOLDOUT; part++) {
        cfg.part = (enum loader_part)part;
        struct loader *l = create(&cfg);
        records += loader_records(l);
        for (int64_t t = 0; t < loader_epoch_steps(l); t++)
            side[get(l, t, 0)->record[0] % PICTURES] |= part;
        loader_destroy(l);
    }
    assert_int_equal(records, RECORDS);
    int held = 0;
    for (int i = 0; i < PICTURES; i++) {
        assert_true(side[i] == LOADER_TRAIN || side[i] == LOADER_HOLDOUT);
        held += side[i] == LOADER_HOLDOUT;
    }
    assert_true(held >= 1 && held <= 7);
    world_fini(&w);
}

static void two_sets_take_turns(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    struct loader_config cfg = config(&w, 4);
    cfg.sources = 2;
    cfg.source[1] = cfg.source[0];
    struct loader *l = create(&cfg);
    assert_int_equal(loader_epoch_steps(l), 10);
    int first_is_second = 0;
    for (int64_t k = 0; k < 40; k++) {
        assert_int_equal(loader_source_of(l, 2 * k) + loader_source_of(l, 2 * k + 1), 1);
        first_is_second += loader_source_of(l, 2 * k);
    }
    assert_true(first_is_second > 8 && first_is_second < 32);
    int seen[2][RECORDS] = {{0}};
    for (int64_t step = 0; step < 10; step++)
        for (int i = 0; i < 4; i++)
            assert_int_equal(seen[loader_source_of(l, step)][get(l, step, 0)->record[i]]++, 0);
    loader_destroy(l);
    world_fini(&w);
}

static void expect_refusal(const struct loader_config *cfg, enum status code, const char *says)
{
    struct loader *l;
    struct err err = {0};
    assert_int_equal(loader_create(&l, cfg, &err), code);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    struct loader_config cfg = config(&w, RECORDS + 1);
    expect_refusal(&cfg, ST_INVALID, "has 23 records, fewer than a batch of 24");
    cfg = config(&w, 4);
    cfg.max_tokens = 6;
    expect_refusal(&cfg, ST_LIMIT, "record 101: the caption has 7 tokens, the model takes 6");
    cfg = config(&w, 4);
    cfg.rank = 1;
    expect_refusal(&cfg, ST_INVALID, "rank 1 of 1");
    cfg = config(&w, 4);
    cfg.part = LOADER_TRAIN;
    expect_refusal(&cfg, ST_INVALID, "hold-out must lie between 0 and 1");
    cfg = config(&w, 4);
    cfg.side = SIDE - 1; /* the cache was made for SIDE */
    struct loader *l = create(&cfg);
    const struct batch *b;
    struct err err = {0};
    assert_int_equal(loader_batch(l, 0, 0, &b, &err), ST_INVALID);
    loader_destroy(l);
    world_fini(&w);
}

static void bad_pictures_name_their_record(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1u << 20);
    struct loader_config cfg = config(&w, RECORDS);
    cfg.sequential = true;
    struct loader *l = create(&cfg);
    const struct batch *b;
    struct err err = {0};
    scratch_png(&w.s, "3.png", SIDE, SIDE + 1, 0);
    assert_int_equal(loader_batch(l, 0, 0, &b, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "record 103 says 8x8 pixels"));
    scratch_text(&w.s, "3.png", "");
    assert_int_equal(loader_batch(l, 0, 0, &b, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "record 103"));
    assert_non_null(strstr(err.text, "is empty"));
    assert_int_equal(remove(scratch_path(&w.s, "3.png")), 0);
    assert_int_equal(loader_batch(l, 0, 0, &b, &err), ST_NOT_FOUND);
    scratch_png(&w.s, "3.png", SIDE, SIDE, 0); /* mended: the loader goes on */
    assert_int_equal(loader_batch(l, 0, 0, &b, &err), ST_OK);
    loader_destroy(l);
    world_fini(&w);
}

/* ---- batches ahead of the step --------------------------------------------------------------- */

/* Every array of two batches of the same records. */
static void expect_equal(const struct batch *a, const struct batch *b)
{
    assert_int_equal(a->B, b->B);
    assert_int_equal(a->sample0, b->sample0);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->L, b->L);
    assert_true(a->norm_boxes == b->norm_boxes && a->norm_samples == b->norm_samples);
    size_t B = (size_t)a->B, L = (size_t)a->L, boxes = (size_t)a->first_box[B];
    assert_memory_equal(a->first_box, b->first_box, (B + 1) * sizeof *a->first_box);
    assert_memory_equal(a->record, b->record, B * sizeof *a->record);
    assert_memory_equal(a->valid, b->valid, 2 * B * sizeof *a->valid);
    assert_memory_equal(a->image, b->image,
                        B * (size_t)(a->height * a->width) * 3 * sizeof *a->image);
    assert_memory_equal(a->token, b->token, B * L * sizeof *a->token);
    assert_memory_equal(a->token_mask, b->token_mask, B * L);
    assert_memory_equal(a->box, b->box, boxes * 4 * sizeof *a->box);
    assert_memory_equal(a->positive, b->positive, boxes * L);
}

/* In order, and with jumps: back, forwards, the same again, another micro-batch. */
static void threads_change_nothing(void **state)
{
    (void)state;
    static const int64_t jumps[][2] = {{3, 1}, {3, 1}, {0, 0}, {0, 1}, {40, 2}, {2, 0}, {2, 1}};
    for (size_t budget = 0; budget < 2000; budget += 1000) {
        struct world w;
        world_init(&w, budget); /* no picture is kept; five are */
        struct loader_config cfg = config(&w, 7);
        cfg.micro_batch = 3;
        struct loader *plain = create(&cfg);
        for (cfg.threads = 1; cfg.threads <= 5; cfg.threads += 2) {
            struct loader *l = create(&cfg);
            for (int64_t step = 0; step < 12; step++)
                for (int64_t m = 0; m < 3; m++)
                    expect_equal(get(l, step, m), get(plain, step, m));
            for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++)
                expect_equal(get(l, jumps[i][0], jumps[i][1]),
                             get(plain, jumps[i][0], jumps[i][1]));
            loader_destroy(l); /* while its threads are at the next ones */
        }
        loader_destroy(plain);
        world_fini(&w);
    }
}

static void threads_read_an_evaluation_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 0);
    struct loader_config cfg = config(&w, 4);
    cfg.sequential = true;
    struct loader *plain = create(&cfg);
    cfg.threads = 3;
    struct loader *l = create(&cfg);
    for (int64_t step = 0; step < loader_epoch_steps(l); step++)
        expect_equal(get(l, step, 0), get(plain, step, 0));
    loader_destroy(l);
    loader_destroy(plain);
    world_fini(&w);
}

/* Two loaders over one cache: training data and hold-out. */
static void loaders_share_a_cache(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1000);
    struct loader_config cfg = config(&w, 2);
    cfg.holdout = 0.3;
    cfg.split_seed = 3;
    struct loader *l[2], *plain[2];
    for (int i = 0; i < 2; i++) {
        cfg.part = i ? LOADER_HOLDOUT : LOADER_TRAIN;
        cfg.threads = 0;
        plain[i] = create(&cfg);
        cfg.threads = 2;
        l[i] = create(&cfg);
    }
    for (int64_t step = 0; step < 20; step++)
        for (int i = 0; i < 2; i++)
            expect_equal(get(l[i], step, 0), get(plain[i], step, 0));
    for (int i = 0; i < 2; i++) {
        loader_destroy(l[i]);
        loader_destroy(plain[i]);
    }
    world_fini(&w);
}

/* A picture that cannot be read is told by the step that it belongs to, and by no step before, in the same words. */
static void a_bad_picture_waits_for_its_step(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 0);
    struct loader_config cfg = config(&w, 2);
    cfg.sequential = true;
    scratch_png(&w.s, "7.png", SIDE, SIDE + 1, 0); /* of record 107, in step 3 */
    struct loader *plain = create(&cfg);
    cfg.threads = 3;
    struct loader *l = create(&cfg);
    const struct batch *b;
    struct err err = {0}, same = {0};
    for (int64_t step = 0; step < 3; step++)
        get(l, step, 0);
    assert_int_equal(loader_batch(l, 3, 0, &b, &err), ST_INVALID);
    assert_int_equal(loader_batch(plain, 3, 0, &b, &same), ST_INVALID);
    assert_string_equal(err.text, same.text);
    assert_int_equal(loader_batch(l, 3, 0, &b, &err), ST_INVALID);
    expect_equal(get(l, 4, 0), get(plain, 4, 0)); /* who can do without it goes on */
    scratch_png(&w.s, "7.png", SIDE, SIDE, 0);
    expect_equal(get(l, 3, 0), get(plain, 3, 0));
    loader_destroy(l);
    loader_destroy(plain);
    world_fini(&w);
}

static void pictures_are_scaled_to_the_side(void **state)
{
    (void)state;
    struct world w;
    struct err err = {0};
    world_init(&w, 1u << 20);
    image_cache_destroy(w.images);
    assert_int_equal(image_cache_create(&w.images, w.set, 5, 100, &err), ST_OK);
    struct loader_config cfg = config(&w, 4);
    cfg.side = 5;
    struct loader *l = create(&cfg);
    const struct batch *b = get(l, 0, 0);
    assert_int_equal(b->valid[0], 5);
    assert_int_equal(b->width, 5);
    assert_true(image_cache_bytes(w.images) == 75); /* one of 5x5x3 fits into 100 */
    loader_destroy(l);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_what_the_file_says),
        cmocka_unit_test(an_epoch_sees_each_record_once_and_the_next_in_another_order),
        cmocka_unit_test(a_restart_changes_nothing),
        cmocka_unit_test(ranks_and_micro_batches_make_up_the_batch),
        cmocka_unit_test(evaluation_sees_every_record_in_order),
        cmocka_unit_test(the_hold_out_shares_no_picture_with_the_rest),
        cmocka_unit_test(two_sets_take_turns),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(bad_pictures_name_their_record),
        cmocka_unit_test(pictures_are_scaled_to_the_side),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(threads_read_an_evaluation_once),
        cmocka_unit_test(loaders_share_a_cache),
        cmocka_unit_test(a_bad_picture_waits_for_its_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
