/* test_publish.c - an attempt that sleeps while a newer one works changes nothing of it, wherever it falls asleep. */
#include "base/file.h"
#include "run/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static void (*asleep)(void); /* what happens right behind the next rename */

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    int rc = __real_rename(from, to);
    void (*then)(void) = asleep;
    asleep = NULL;
    if (then)
        then();
    return rc;
}

/* ---- a job's folder -------------------------------------------------------------------------- */

static char *at(const char *name)
{
    return path_join(dir, name);
}

static void put(const char *name, const char *text)
{
    char *path = at(name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), ST_OK);
    free(path);
}

static bool has(const char *name)
{
    char *path = at(name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/espalier-publish-XXXXXX");
    char *checkpoints = mkdtemp(dir) ? at("checkpoints") : NULL;
    int rc = checkpoints ? mkdir(checkpoints, 0700) : -1;
    free(checkpoints);
    asleep = NULL;
    return rc;
}

static int remove_folder(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static enum status write_one(int attempt, const char *text)
{
    struct job_folder f = {.dir = dir, .attempt = attempt};
    char *pending = NULL, *path = at("checkpoints/step-1.safetensors");
    char sha[HASH_HEX_SIZE];
    struct err err;
    enum status st = publish_begin(&f, "checkpoints", &pending, &err);
    if (st == ST_OK)
        st = file_write_atomic(pending, text, strlen(text), 0600, &err);
    hash_bytes(sha, text, strlen(text));
    if (st == ST_OK)
        st = publish_summed(&f, pending, path, sha, &err);
    free(pending);
    free(path);
    return st;
}

static void expect_whole(const char *text)
{
    struct buf b;
    struct err err;
    char *path = at("checkpoints/step-1.safetensors");
    assert_int_equal(publish_check_sum(path, &err), ST_OK);
    buf_init(&b, 64);
    assert_int_equal(file_read(&b, path, &err), ST_OK);
    assert_string_equal(buf_str(&b), text);
    buf_fini(&b);
    free(path);
}

/* ---- the newer attempt ----------------------------------------------------------------------- */

static void newer_writes(void)
{
    put("checkpoints/fence", "2\n");
    assert_int_equal(write_one(2, "newer"), ST_OK);
}

static void asleep_behind_the_rename(void **state)
{
    (void)state;
    struct job_folder f = {.dir = dir, .attempt = 1};
    char *pending = NULL, *path = at("checkpoints/step-1.safetensors");
    char sha[HASH_HEX_SIZE];
    put("checkpoints/fence", "1\n");
    hash_bytes(sha, "older", 5);
    assert_int_equal(publish_begin(&f, "checkpoints", &pending, NULL), ST_OK);
    assert_int_equal(file_write_atomic(pending, "older", 5, 0600, NULL), ST_OK);
    asleep = newer_writes;
    assert_int_equal(publish_summed(&f, pending, path, sha, NULL), ST_STATE);
    expect_whole("newer");
    free(pending);
    free(path);
}

/* file_write_atomic()'s own rename is the last thing before the fence is read again. */
static void asleep_while_writing(void **state)
{
    (void)state;
    put("checkpoints/fence", "1\n");
    asleep = newer_writes;
    assert_int_equal(write_one(1, "older"), ST_STATE);
    expect_whole("newer");
    assert_false(has("checkpoints/pending-1.safetensors"));
}

static void awake_it_replaces_what_is_there(void **state)
{
    (void)state;
    assert_int_equal(write_one(1, "older"), ST_OK);
    put("checkpoints/fence", "2\n");
    assert_int_equal(write_one(2, "newer"), ST_OK);
    expect_whole("newer");
    assert_int_equal(write_one(1, "older"), ST_STATE);
    expect_whole("newer");
}

/* ---- the fence, and what kills leave --------------------------------------------------------- */

static void a_fence_that_says_nothing_stops(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "\n", "two\n", "2", "0\n", "-1\n", "1 2\n", "1\n\n"};
    struct job_folder f = {.dir = dir, .attempt = 7};
    struct err err;
    assert_int_equal(job_folder_check_fence(&f, &err), ST_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("checkpoints/fence", bad[i]);
        assert_int_equal(job_folder_check_fence(&f, &err), ST_CORRUPT);
        assert_non_null(strstr(err.text, "checkpoints/fence does not hold"));
    }
    put("checkpoints/fence", "7\n");
    assert_int_equal(job_folder_check_fence(&f, &err), ST_OK);
    char *path = at("checkpoints/fence");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(job_folder_check_fence(&f, &err), ST_IO);
    free(path);
}

static void what_was_being_written_goes(void **state)
{
    (void)state;
    const struct job_folder f = {.dir = dir, .attempt = 2};
    static const char *const goes[] = {"checkpoints/pending-1.safetensors.tmp.77",
                                       "checkpoints/pending-2.safetensors",
                                       "export/pending-1.safetensors"},
                             *const stays[] = {"checkpoints/pending-3.safetensors.tmp.9",
                                               "checkpoints/pending-.safetensors",
                                               "checkpoints/pending-1", "checkpoints/fence",
                                               "checkpoints/step-1.safetensors"};
    char *folder = at("export");
    assert_int_equal(mkdir(folder, 0700), 0);
    free(folder);
    for (size_t i = 0; i < sizeof goes / sizeof *goes; i++)
        put(goes[i], "1\n");
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++)
        put(stays[i], "1\n");
    publish_sweep(&f);
    for (size_t i = 0; i < sizeof goes / sizeof *goes; i++)
        assert_false(has(goes[i]));
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++)
        assert_true(has(stays[i]));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(asleep_behind_the_rename),        IN_FOLDER(asleep_while_writing),
        IN_FOLDER(awake_it_replaces_what_is_there), IN_FOLDER(a_fence_that_says_nothing_stops),
        IN_FOLDER(what_was_being_written_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
