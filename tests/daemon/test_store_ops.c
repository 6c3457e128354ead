/* test_store_ops.c - what an administrator does with a store: migrates an older one, copies it while it is written, puts a
 * copy back; and what follows all jobs in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "store/backup.h"
#include "store/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct bed {
    char dir[64], path[96], copy[96];
    struct store *store;
    struct err err;
};

#define OK(call)                                                                                   \
    do {                                                                                           \
        enum status ok_st_ = (call);                                                               \
        if (ok_st_ != ST_OK)                                                                       \
            fail_msg("%s: %s: %s", #call, status_name(ok_st_), bed->err.text);                     \
    } while (0)

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);
    snprintf(bed->dir, sizeof bed->dir, "/tmp/espalier-store-XXXXXX");
    if (!mkdtemp(bed->dir))
        return -1;
    snprintf(bed->path, sizeof bed->path, "%s/espalier.db", bed->dir);
    snprintf(bed->copy, sizeof bed->copy, "%s/copy.db", bed->dir);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    static const char *const names[] = {"espalier.db", "copy.db", "espalier.db.before-restore",
                                        "fresh.db"};
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[160];
    store_close(bed->store);
    for (size_t i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "%s/%s%s", bed->dir, names[i / 3], ends[i % 3]);
        unlink(path);
    }
    int rc = rmdir(bed->dir); /* a temporary file that was left makes the test fail */
    free(bed);
    return rc;
}

/* ---- SQL, to look at files from outside -------------------------------------------------------- */

static sqlite3 *db_open(const char *path)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 1000);
    return db;
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = db_open(path);
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    sqlite3_close(db);
}

/* All rows of a query as text, one a line. */
static void ask(const char *path, const char *sql, struct buf *out)
{
    sqlite3 *db = db_open(path);
    sqlite3_stmt *q;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(q) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(q); i++)
            buf_printf(out, "%s%s", i ? "|" : "",
                       sqlite3_column_text(q, i) ? (const char *)sqlite3_column_text(q, i) : "");
        buf_puts(out, "\n");
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void expect(const char *path, const char *sql, const char *want)
{
    struct buf got;
    buf_init(&got, 1 << 20);
    ask(path, sql, &got);
    assert_string_equal(buf_str(&got), want);
    buf_fini(&got);
}

/* ---- jobs -------------------------------------------------------------------------------------- */

static int64_t add_job(struct bed *bed, const char *request)
{
    struct job job = {.state = JOB_QUEUED, .ranks = 1, .threads = 1};
    struct submission sub = {.request_id = request,
                             .job_file = "x",
                             .job_file_len = 1,
                             .file_name = "",
                             .folder = "/",
                             .overrides_json = "[]"};
    struct event e = {.kind = EVENT_STATE,
                      .from = JOB_NONE,
                      .to = JOB_QUEUED,
                      .actor = "test",
                      .reason = "",
                      .text = ""};
    OK(store_job_add(bed->store, &job, &sub, "d", &bed->err));
    e.job_id = job.id;
    OK(store_event_append(bed->store, &e, &bed->err));
    return job.id;
}

static bool count_job(const struct job *job, void *user)
{
    (void)job;
    ++*(int *)user;
    return true;
}

/* ---- migrations -------------------------------------------------------------------------------- */

static void read_fixture(struct bed *bed, int version)
{
    char path[512];
    struct buf sql;
    buf_init(&sql, 1 << 20);
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/daemon/stores/schema_%d.sql", version);
    OK(file_read(&sql, path, &bed->err));
    run_sql(bed->path, buf_str(&sql));
    buf_fini(&sql);
}

static const char rows_sql[] =
    "SELECT 'job', id, request_id, name, owner, state, over, reason, ranks, attempt FROM jobs "
    "UNION ALL SELECT 'attempt', job_id, attempt, reason, reported, done, '', '', '', '' FROM "
    "attempts "
    "UNION ALL SELECT 'event', cursor, job_id, kind, from_state, to_state, actor, reason, text, "
    "hex(body) "
    "FROM events "
    "UNION ALL SELECT 'submission', job_id, hex(job_file), folder, overrides, '', '', '', '', '' "
    "FROM submissions "
    "UNION ALL SELECT 'structure', job_id, version, digest, hex(json), '', '', '', '', '' FROM "
    "structures "
    "UNION ALL SELECT 'checkpoint', job_id, path, attempt, total_step, sha256, '', '', '', '' FROM "
    "checkpoints "
    "UNION ALL SELECT 'artifact', job_id, name, size_bytes, sha256, '', '', '', '', '' FROM "
    "artifacts "
    "UNION ALL SELECT 'phase', job_id, phase, ordinal, seconds, '', '', '', '', '' FROM "
    "phase_times";

static void same_schema_as_a_fresh_store(struct bed *bed)
{
    static const char sql[] = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name";
    char fresh[128];
    struct store *s = NULL;
    struct buf old, made;
    snprintf(fresh, sizeof fresh, "%s/fresh.db", bed->dir);
    buf_init(&old, 1 << 20);
    buf_init(&made, 1 << 20);
    OK(store_open(&s, fresh, &bed->err));
    store_close(s);
    ask(bed->path, sql, &old);
    ask(fresh, sql, &made);
    assert_string_equal(buf_str(&old), buf_str(&made));
    buf_fini(&old);
    buf_fini(&made);
}

/* From every schema that was ever released: all rows are there, the tables are those of a new store, and it works. */
static void test_migrations(void **state)
{
    struct bed *bed = *state;
    for (int version = 1; version < store_schema_version(); version++) {
        struct buf before, after;
        struct job job;
        int active = 0;
        buf_init(&before, 1 << 20);
        buf_init(&after, 1 << 20);
        unlink(bed->path);
        read_fixture(bed, version);
        ask(bed->path, rows_sql, &before);
        assert_int_equal(version == 1, strstr(buf_str(&before), "job|4|fixture-queued") != NULL);
        OK(store_open(&bed->store, bed->path, &bed->err));
        ask(bed->path, rows_sql, &after);
        assert_string_equal(buf_str(&after), buf_str(&before));
        expect(bed->path, "PRAGMA integrity_check", "ok\n");
        expect(bed->path, "PRAGMA foreign_key_check", "");
        same_schema_as_a_fresh_store(bed);
        OK(store_jobs_active(bed->store, count_job, &active, &bed->err));
        assert_int_equal(active, 2);
        OK(store_job_load(bed->store, 2, &job, &bed->err));
        assert_int_equal(job.state, JOB_FAILED);
        assert_int_equal(job.attempt.number, 2);
        assert_int_equal(add_job(bed, "after the migration"), 5);
        OK(store_commit(bed->store, &bed->err));
        store_close(bed->store);
        bed->store = NULL;
        buf_fini(&before);
        buf_fini(&after);
    }
}

/* A migration that cannot be done leaves the store as it was. */
static void test_failed_migration(void **state)
{
    struct bed *bed = *state;
    read_fixture(bed, 1);
    run_sql(bed->path, "CREATE TABLE marks (in_the_way INTEGER)");
    assert_int_not_equal(store_open(&bed->store, bed->path, &bed->err), ST_OK);
    expect(bed->path, "PRAGMA user_version", "1\n");
    expect(bed->path, "SELECT count(*) FROM pragma_table_info('attempts') WHERE name = 'host'",
           "0\n");
    run_sql(bed->path, "DROP TABLE marks");
    OK(store_open(&bed->store, bed->path, &bed->err));
}

/* Made by a daemon between two releases: the right version, other columns. */
static void test_unreleased_schema(void **state)
{
    struct bed *bed = *state;
    OK(store_open(&bed->store, bed->path, &bed->err));
    store_close(bed->store);
    bed->store = NULL;
    run_sql(bed->path, "ALTER TABLE keep_rules DROP COLUMN best_by");
    assert_int_equal(store_open(&bed->store, bed->path, &bed->err), ST_UNSUPPORTED);
    assert_non_null(strstr(bed->err.text, "best_by"));
    assert_non_null(strstr(bed->err.text, "never released"));
}

/* ---- followers --------------------------------------------------------------------------------- */

static void test_followers(void **state)
{
    struct bed *bed = *state;
    struct event e;
    int64_t at = -1, counts[JOB_STATE_COUNT];
    OK(store_open(&bed->store, bed->path, &bed->err));
    OK(store_cursor_last(bed->store, &at, &bed->err));
    assert_int_equal(at, 0);
    assert_int_equal(store_mark_load(bed->store, "webhook", &at, &bed->err), ST_NOT_FOUND);
    int64_t first = add_job(bed, "a"), second;
    struct event note = {.job_id = first, .kind = EVENT_NOTE, .body = "n", .body_len = 1};
    OK(store_event_append(bed->store, &note, &bed->err));
    second = add_job(bed, "b");
    OK(store_mark_set(bed->store, "webhook", 1, &bed->err));
    OK(store_mark_set(bed->store, "webhook", 2, &bed->err));
    OK(store_commit(bed->store, &bed->err));
    OK(store_cursor_last(bed->store, &at, &bed->err));
    assert_int_equal(at, 3);
    OK(store_mark_load(bed->store, "webhook", &at, &bed->err));
    assert_int_equal(at, 2);
    OK(store_change_next(bed->store, 0, &e, &bed->err));
    assert_int_equal(e.job_id, first);
    OK(store_change_next(bed->store, e.cursor, &e, &bed->err)); /* the note is passed over */
    assert_int_equal(e.job_id, second);
    assert_int_equal(store_change_next(bed->store, e.cursor, &e, &bed->err), ST_NOT_FOUND);
    OK(store_change_newest(bed->store, second, UINT64_MAX, &at, &bed->err));
    assert_int_equal(at, 3);
    OK(store_change_newest(bed->store, second, UINT64_C(1) << JOB_FAILED, &at, &bed->err));
    assert_int_equal(at, 0);
    OK(store_count_states(bed->store, counts, &bed->err));
    assert_int_equal(counts[JOB_QUEUED], 2);
    assert_int_equal(counts[JOB_RUNNING], 0);
}

/* ---- copies ------------------------------------------------------------------------------------ */

static void test_backup_while_written(void **state)
{
    struct bed *bed = *state;
    struct store_facts facts;
    struct stat sb;
    OK(store_open(&bed->store, bed->path, &bed->err));
    for (int i = 0; i < 20; i++) {
        char request[32];
        snprintf(request, sizeof request, "r%d", i);
        add_job(bed, request);
    }
    OK(store_commit(bed->store, &bed->err));
    add_job(bed, "not committed yet");
    OK(store_backup(bed->path, bed->copy, &facts, &bed->err)); /* a group is open: it is not in */
    OK(store_commit(bed->store, &bed->err));
    assert_int_equal(facts.jobs, 20);
    assert_int_equal(facts.events, 20);
    assert_int_equal(facts.schema, store_schema_version());
    assert_int_equal(stat(bed->copy, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    assert_int_equal(facts.size_bytes, sb.st_size);
    expect(bed->copy, "PRAGMA journal_mode", "delete\n");
    OK(store_backup(bed->path, bed->copy, &facts, &bed->err)); /* replaces the older copy */
    assert_int_equal(facts.jobs, 21);
}

static void test_restore(void **state)
{
    struct bed *bed = *state;
    struct store_facts facts;
    struct job job;
    char aside[128];
    OK(store_open(&bed->store, bed->path, &bed->err));
    add_job(bed, "kept");
    OK(store_commit(bed->store, &bed->err));
    OK(store_backup(bed->path, bed->copy, &facts, &bed->err));
    for (int i = 0; i < 5; i++) {
        char request[32];
        snprintf(request, sizeof request, "lost %d", i);
        add_job(bed, request);
    }
    OK(store_commit(bed->store, &bed->err));
    store_close(bed->store);
    bed->store = NULL;
    OK(store_restore(bed->path, bed->copy, 9, &facts, &bed->err));
    assert_int_equal(facts.jobs, 1);
    snprintf(aside, sizeof aside, "%s.before-restore", bed->path);
    expect(aside, "SELECT count(*) FROM jobs", "6\n");
    OK(store_open(&bed->store, bed->path, &bed->err));
    OK(store_job_load(bed->store, 1, &job, &bed->err));
    assert_int_equal(add_job(bed, "new"), 10); /* a folder 9 was there */
    OK(store_commit(bed->store, &bed->err));
    expect(bed->path, "SELECT max(cursor) FROM events", "7\n"); /* 6 had been given out */
}

/* What is no copy changes nothing. */
static void test_restore_refuses(void **state)
{
    struct bed *bed = *state;
    struct store_facts facts;
    OK(store_open(&bed->store, bed->path, &bed->err));
    add_job(bed, "kept");
    OK(store_commit(bed->store, &bed->err));
    store_close(bed->store);
    bed->store = NULL;
    assert_int_equal(store_restore(bed->path, bed->copy, 0, &facts, &bed->err), ST_NOT_FOUND);
    OK(file_write_atomic(bed->copy, "no database at all, but long enough to be looked at", 50, 0600,
                         &bed->err));
    assert_int_equal(store_restore(bed->path, bed->copy, 0, &facts, &bed->err), ST_CORRUPT);
    unlink(bed->copy);
    run_sql(bed->copy, "CREATE TABLE other (x)");
    assert_int_equal(store_restore(bed->path, bed->copy, 0, &facts, &bed->err), ST_CORRUPT);
    assert_non_null(strstr(bed->err.text, "is no job store"));
    OK(store_backup(bed->path, bed->copy, &facts, &bed->err));
    run_sql(bed->copy, "PRAGMA user_version = 900");
    assert_int_equal(store_restore(bed->path, bed->copy, 0, &facts, &bed->err), ST_UNSUPPORTED);
    OK(store_backup(bed->path, bed->copy, &facts, &bed->err));
    int fd = open(bed->copy, O_WRONLY); /* a hole in the middle */
    char zeros[8192] = {0};
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, 8192), (ssize_t)sizeof zeros);
    close(fd);
    assert_int_equal(store_restore(bed->path, bed->copy, 0, &facts, &bed->err), ST_CORRUPT);
    expect(bed->path, "SELECT count(*) FROM jobs", "1\n");
    assert_int_equal(store_backup("/nonexistent/espalier.db", bed->copy, &facts, &bed->err),
                     ST_NOT_FOUND);
    assert_int_not_equal(store_backup(bed->path, "/nonexistent/x/copy.db", &facts, &bed->err),
                         ST_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_migrations),           TEST(test_failed_migration), TEST(test_followers),
        TEST(test_backup_while_written), TEST(test_restore),          TEST(test_restore_refuses),
        TEST(test_unreleased_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
