/* The store: what every implementation must do, on real files; and what a bad file or disk does to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "store/sqlite.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct bed {
    char dir[64], path[96];
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
    strcpy(bed->dir, "/tmp/espalier-store-XXXXXX");
    if (!mkdtemp(bed->dir))
        return -1;
    snprintf(bed->path, sizeof bed->path, "%s/espalier.db", bed->dir);
    *state = bed;
    return store_open(&bed->store, bed->path, &bed->err) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[128];
    store_close(bed->store);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(path, sizeof path, "%s%s", bed->path, ends[i]);
        unlink(path);
    }
    rmdir(bed->dir);
    free(bed);
    return 0;
}

static void reopen(struct bed *bed)
{
    store_close(bed->store);
    bed->store = NULL;
    OK(store_open(&bed->store, bed->path, &bed->err));
}

static struct job sample_job(void)
{
    struct job job = {.name = "a job",
                      .owner = "me",
                      .state = JOB_QUEUED,
                      .priority = 50,
                      .ranks = 2,
                      .threads = 1,
                      .need = {2, 0, 1000},
                      .retries = 3,
                      .restart_stalled = true,
                      .stall_ms = 4000,
                      .stall_factor = 2.5,
                      .submitted_ms = 5,
                      .changed_ms = 5};
    return job;
}

static enum status add_job(struct bed *bed, const char *request, struct job *ret_job)
{
    struct submission sub = {.request_id = request,
                             .job_file = "name: x\n",
                             .job_file_len = 8,
                             .file_name = "x.yaml",
                             .folder = "/data",
                             .overrides_json = "[]"};
    *ret_job = sample_job();
    return store_job_add(bed->store, ret_job, &sub, "digest", &bed->err);
}

static void jobs_come_back(void **state)
{
    struct bed *bed = *state;
    struct job job, back;
    OK(add_job(bed, "r1", &job));
    job.state = JOB_RUNNING;
    job.reason = REASON_STALLED;
    strcpy(job.text, "text");
    job.attempt = (struct attempt){.number = 2,
                                   .token = "t",
                                   .started_ms = 9,
                                   .reported = 7,
                                   .done = true,
                                   .done_success = true,
                                   .done_reason = "",
                                   .done_text = "well",
                                   .host = "here",
                                   .resumed_step = 40,
                                   .text = "why"};
    job.counted_from = 1;
    job.not_before_ms = 99;
    strcpy(job.resume_from, "checkpoints/x");
    job.resume_since = 2;
    OK(store_job_save(bed->store, &job, &bed->err));
    OK(store_attempt_save(bed->store, &job, &bed->err));
    OK(store_commit(bed->store, &bed->err));
    reopen(bed);
    OK(store_job_load(bed->store, job.id, &back, &bed->err));
    assert_memory_equal(&job, &back, sizeof job);

    struct buf file, folder, over;
    buf_init(&file, 100);
    buf_init(&folder, 100);
    buf_init(&over, 100);
    OK(store_submission_load(bed->store, job.id, &file, &folder, &over, &bed->err));
    assert_string_equal(buf_str(&file), "name: x\n");
    assert_string_equal(buf_str(&folder), "/data");
    buf_fini(&file);
    buf_fini(&folder);
    buf_fini(&over);
}

static bool note_attempt(const struct attempt *a, void *user)
{
    int *seen = user;
    *seen = *seen * 10 + a->number;
    return true;
}

static void attempts_are_listed(void **state)
{
    struct bed *bed = *state;
    struct job job;
    int seen = 0;
    OK(add_job(bed, "r1", &job));
    for (int n = 1; n <= 3; n++) {
        job.attempt = (struct attempt){.number = n};
        OK(store_attempt_save(bed->store, &job, &bed->err));
    }
    OK(store_attempts(bed->store, job.id, 1, note_attempt, &seen, &bed->err));
    assert_int_equal(seen, 23);
}

static void a_request_is_one_job(void **state)
{
    struct bed *bed = *state;
    struct job job;
    int64_t id;
    char digest[65];
    OK(add_job(bed, "r1", &job));
    OK(store_job_by_request(bed->store, "r1", &id, digest, &bed->err));
    assert_int_equal(id, job.id);
    assert_string_equal(digest, "digest");
    assert_int_equal(store_job_by_request(bed->store, "r2", &id, digest, &bed->err), ST_NOT_FOUND);
    struct job again;
    assert_int_not_equal(add_job(bed, "r1", &again), ST_OK);
}

static bool count_one(const struct job *job, void *user)
{
    (void)job;
    ++*(int *)user;
    return true;
}

static void a_group_is_all_or_nothing(void **state)
{
    struct bed *bed = *state;
    struct job a, b;
    int n = 0;
    OK(add_job(bed, "r1", &a));
    OK(store_commit(bed->store, &bed->err));
    assert_false(store_is_writing(bed->store));
    OK(add_job(bed, "r2", &b));
    struct event e = {.job_id = b.id, .kind = EVENT_NOTE, .body = "x", .body_len = 1};
    OK(store_event_append(bed->store, &e, &bed->err));
    assert_true(store_is_writing(bed->store));
    store_rollback(bed->store);
    OK(store_jobs_active(bed->store, count_one, &n, &bed->err));
    assert_int_equal(n, 1);
    assert_int_equal(store_job_load(bed->store, b.id, &b, &bed->err), ST_NOT_FOUND);
}

struct page {
    int64_t ids[16];
    int n;
};

static bool page_one(const struct job *job, void *user)
{
    struct page *p = user;
    p->ids[p->n++] = job->id;
    return true;
}

/* SQLite rolls back by itself when a statement meets a full disk: what follows must not be committed alone. */
static void a_group_that_was_given_up_takes_no_more(void **state)
{
    struct bed *bed = *state;
    struct job a, b, got;
    OK(add_job(bed, "r1", &a));
    assert_int_equal(sqlite3_exec(bed->store->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(add_job(bed, "r2", &b), ST_IO);
    store_rollback(bed->store);
    OK(add_job(bed, "r2", &b));
    OK(store_commit(bed->store, &bed->err));
    reopen(bed);
    OK(store_job_load(bed->store, b.id, &got, &bed->err));
    assert_int_equal(store_job_load(bed->store, b.id + 1, &got, &bed->err), ST_NOT_FOUND);
}

static void pages_are_newest_first(void **state)
{
    struct bed *bed = *state;
    for (int i = 0; i < 7; i++) {
        struct job job;
        char request[16];
        snprintf(request, sizeof request, "r%d", i);
        OK(add_job(bed, request, &job));
        job.state = i % 2 ? JOB_COMPLETED : JOB_QUEUED;
        OK(store_job_save(bed->store, &job, &bed->err));
    }
    struct page p = {.n = 0};
    OK(store_jobs_page(bed->store, INT64_MAX, NULL, 0, 3, page_one, &p, &bed->err));
    assert_int_equal(p.n, 3);
    assert_int_equal(p.ids[0], 7);
    OK(store_jobs_page(bed->store, p.ids[2], NULL, 0, 10, page_one, &p, &bed->err));
    assert_int_equal(p.n, 7);
    assert_int_equal(p.ids[6], 1);
    p.n = 0;
    OK(store_jobs_page(bed->store, INT64_MAX, NULL, (uint64_t)1 << JOB_COMPLETED, 10, page_one, &p,
                       &bed->err));
    assert_int_equal(p.n, 3);
    p.n = 0;
    OK(store_jobs_active(bed->store, page_one, &p, &bed->err));
    assert_int_equal(p.n, 4);
}

static void events_are_read_from_a_cursor(void **state)
{
    struct bed *bed = *state;
    struct job a, b;
    OK(add_job(bed, "r1", &a));
    OK(add_job(bed, "r2", &b));
    int64_t cursors[4];
    for (int i = 0; i < 4; i++) {
        struct event e = {.job_id = i % 2 ? b.id : a.id,
                          .time_ms = i,
                          .kind = EVENT_NOTE,
                          .body = "body",
                          .body_len = 4};
        OK(store_event_append(bed->store, &e, &bed->err));
        cursors[i] = e.cursor;
    }
    OK(store_commit(bed->store, &bed->err));
    reopen(bed);
    struct event e;
    OK(store_event_next(bed->store, a.id, cursors[0], &e, &bed->err));
    assert_int_equal(e.cursor, cursors[2]);
    assert_int_equal(e.body_len, 4);
    assert_memory_equal(e.body, "body", 4);
    assert_int_equal(store_event_next(bed->store, a.id, cursors[2], &e, &bed->err), ST_NOT_FOUND);
    OK(store_event_next(bed->store, 0, cursors[2], &e, &bed->err));
    assert_int_equal(e.job_id, b.id);
    assert_int_equal(store_event_last(bed->store, b.id), cursors[3]);
    /* A cursor is never given twice, not even after a rollback and a restart. */
    struct event lost = {.job_id = a.id, .kind = EVENT_NOTE};
    OK(store_event_append(bed->store, &lost, &bed->err));
    assert_true(lost.cursor > cursors[3]);
}

static void a_long_series_is_thinned(void **state)
{
    struct bed *bed = *state;
    struct job job;
    OK(add_job(bed, "r1", &job));
    struct event keep = {.job_id = job.id, .kind = EVENT_STRUCTURE, .body = "s", .body_len = 1};
    OK(store_event_append(bed->store, &keep, &bed->err));
    int64_t newest = 0;
    for (int i = 0; i < 3 * STORE_SERIES_MAX; i++) {
        struct event e = {.job_id = job.id,
                          .time_ms = i,
                          .kind = EVENT_PROGRESS,
                          .series = "",
                          .body = "p",
                          .body_len = 1};
        OK(store_event_append(bed->store, &e, &bed->err));
        newest = e.cursor;
        if (i == STORE_SERIES_MAX) { /* the count is found again after a restart */
            OK(store_commit(bed->store, &bed->err));
            reopen(bed);
        }
    }
    int n = 0, structures = 0, gap = 0;
    int64_t at = 0, last = -1;
    struct event e;
    while (store_event_next(bed->store, job.id, at, &e, &bed->err) == ST_OK) {
        at = e.cursor;
        structures += e.kind == EVENT_STRUCTURE;
        if (e.kind != EVENT_PROGRESS)
            continue;
        n++;
        if (last >= 0 && e.time_ms > 3 * STORE_SERIES_MAX - STORE_SERIES_MAX / 2)
            gap |= e.time_ms != last + 1;
        last = e.time_ms;
    }
    assert_int_equal(structures, 1);
    assert_true(n > STORE_SERIES_MAX / 2 && n <= STORE_SERIES_MAX);
    assert_false(gap); /* what is recent is whole */
    assert_int_equal(at, newest);
    OK(store_event_newest(bed->store, job.id, "", &e, &bed->err));
    assert_int_equal(e.cursor, newest);
}

static void structures_are_versions(void **state)
{
    struct bed *bed = *state;
    struct job job;
    int version;
    bool is_new;
    int64_t step;
    struct buf json;
    buf_init(&json, 100);
    OK(add_job(bed, "r1", &job));
    assert_int_equal(store_structure_load(bed->store, job.id, 0, &json, &version, &step, &bed->err),
                     ST_NOT_FOUND);
    OK(store_structure_add(bed->store, job.id, &(struct stored_structure){.total_step = 10}, "{1}",
                           3, &version, &is_new, &bed->err));
    assert_true(version == 1 && is_new);
    OK(store_structure_add(bed->store, job.id, &(struct stored_structure){.total_step = 20}, "{1}",
                           3, &version, &is_new, &bed->err));
    assert_true(version == 1 && !is_new);
    OK(store_structure_add(bed->store, job.id, &(struct stored_structure){.total_step = 30}, "{2}",
                           3, &version, &is_new, &bed->err));
    assert_true(version == 2 && is_new);
    OK(store_structure_load(bed->store, job.id, 0, &json, &version, &step, &bed->err));
    assert_string_equal(buf_str(&json), "{2}");
    assert_int_equal(step, 30);
    buf_clear(&json);
    OK(store_structure_load(bed->store, job.id, 1, &json, &version, &step, &bed->err));
    assert_string_equal(buf_str(&json), "{1}");
    assert_int_equal(store_structure_load(bed->store, job.id, 9, &json, &version, &step, &bed->err),
                     ST_NOT_FOUND);
    buf_fini(&json);
}

static bool sum_phase(const char *phase, double seconds, void *user)
{
    *(double *)user += seconds + (strcmp(phase, "pretrain") == 0 ? 100 : 0);
    return true;
}

static void a_phase_ended_twice_has_the_later_time(void **state)
{
    struct bed *bed = *state;
    struct job job;
    double sum = 0;
    OK(add_job(bed, "r1", &job));
    OK(store_phase_set(bed->store, job.id, "warmup", 1, &bed->err));
    OK(store_phase_set(bed->store, job.id, "pretrain", 2, &bed->err));
    OK(store_phase_set(bed->store, job.id, "warmup", 3, &bed->err));
    OK(store_phases(bed->store, job.id, sum_phase, &sum, &bed->err));
    assert_true(sum == 105);
}

/* ---- replay --------------------------------------------------------------------------------- */

/* A life of many turns. After each one the snapshot is what its events add up to. */
static void replay_gives_the_snapshot(void **state)
{
    struct bed *bed = *state;
    static const enum job_event life[] = {
        ON_PLACE,     ON_START, ON_HELLO, ON_STALL,  ON_STEP,         ON_LOSE,   ON_FIND,
        ON_END_RETRY, ON_PLACE, ON_HELLO, ON_PAUSE,  ON_END_PAUSED,   ON_RESUME, ON_HOLD,
        ON_RELEASE,   ON_PLACE, ON_START, ON_CANCEL, ON_END_CANCELLED};
    struct job job, back;
    OK(add_job(bed, "r1", &job));
    struct event first = {.job_id = job.id,
                          .kind = EVENT_STATE,
                          .from = JOB_NONE,
                          .to = JOB_QUEUED,
                          .actor = "user",
                          .reason = "",
                          .text = ""};
    OK(store_event_append(bed->store, &first, &bed->err));
    for (size_t i = 0; i < sizeof life / sizeof *life; i++) {
        const struct job_edge *edge = job_next(job.state, life[i]);
        assert_non_null(edge);
        struct event e = {.job_id = job.id,
                          .kind = EVENT_STATE,
                          .from = job.state,
                          .to = edge->to,
                          .actor = "daemon",
                          .reason = "",
                          .text = ""};
        job.state = edge->to;
        OK(store_event_append(bed->store, &e, &bed->err));
        OK(store_job_save(bed->store, &job, &bed->err));
        OK(store_commit(bed->store, &bed->err));
        reopen(bed);
        enum job_state replayed = JOB_NONE;
        int64_t at = 0;
        while (store_event_next(bed->store, job.id, at, &e, &bed->err) == ST_OK) {
            assert_int_equal(e.from, replayed);
            replayed = e.to;
            at = e.cursor;
        }
        OK(store_job_load(bed->store, job.id, &back, &bed->err));
        assert_int_equal(replayed, back.state);
        assert_int_equal(back.state, job.state);
    }
}

/* ---- bad files, bad disks ------------------------------------------------------------------- */

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void a_newer_schema_is_refused(void **state)
{
    struct bed *bed = *state;
    struct store *s = NULL;
    store_close(bed->store);
    bed->store = NULL;
    run_sql(bed->path, "PRAGMA user_version = 99");
    assert_int_equal(store_open(&s, bed->path, &bed->err), ST_UNSUPPORTED);
    assert_non_null(strstr(bed->err.text, "has schema 99, made by a newer espalierd"));
    assert_null(s);
}

/* The tables of schema 1 with one job that has had an attempt, as an older daemon would have left them. */
static void make_schema_1(struct bed *bed)
{
    struct buf sql;
    buf_init(&sql, 1u << 20);
    store_close(bed->store);
    bed->store = NULL;
    unlink(bed->path);
    OK(file_read(&sql, TEST_SOURCE_DIR "/../daemon/store/schema/001_initial.sql", &bed->err));
    run_sql(bed->path, buf_str(&sql));
    run_sql(bed->path,
            "PRAGMA user_version = 1;"
            "INSERT INTO jobs VALUES (7, 'r', 'd', 'old', 'me', 4, 0, '', '', 50, 2, 1, 0, 2, 0, "
            "1000, 0, 5, 6, 0, 7, 0, 1);"
            "INSERT INTO submissions VALUES (7, 'name: old', 'x.yaml', '/data', '[]');"
            "INSERT INTO attempts VALUES (7, 1, 'token', 6, 0, 0, 0, '', 3, 0, 0, '', '');"
            "INSERT INTO events VALUES (9, 7, 5, 4, NULL, 0, 0, 1, 'user', '', '', NULL);");
    buf_fini(&sql);
}

static void an_older_schema_is_brought_up_to_date(void **state)
{
    struct bed *bed = *state;
    struct job job;
    struct event e;
    make_schema_1(bed);
    OK(store_open(&bed->store, bed->path, &bed->err));
    OK(store_job_load(bed->store, 7, &job, &bed->err));
    assert_string_equal(job.name, "old");
    assert_int_equal(job.state, JOB_RUNNING);
    assert_string_equal(job.attempt.token, "token");
    assert_int_equal(job.attempt.reported, 3);
    assert_int_equal(job.retries, -1);
    assert_int_equal(job.stall_ms, 300000);
    assert_float_equal(job.stall_factor, 10, 0);
    OK(store_event_next(bed->store, 7, 0, &e, &bed->err));
    assert_int_equal(e.cursor, 9);
    OK(store_job_save(bed->store, &job, &bed->err));
    OK(store_attempt_save(bed->store, &job, &bed->err));
    OK(store_commit(bed->store, &bed->err));
    reopen(bed);
    OK(store_job_load(bed->store, 7, &job, &bed->err));
}

static void a_foreign_file_is_refused(void **state)
{
    struct bed *bed = *state;
    struct store *s = NULL;
    char text[9000];
    store_close(bed->store);
    bed->store = NULL;
    memset(text, 'x', sizeof text);
    OK(file_write_atomic(bed->path, text, sizeof text, 0600, &bed->err));
    assert_int_equal(store_open(&s, bed->path, &bed->err), ST_CORRUPT);
    assert_non_null(strstr(bed->err.text, "is damaged"));
}

static void a_locked_file_refuses_and_recovers(void **state)
{
    struct bed *bed = *state;
    struct job job;
    sqlite3 *other;
    OK(add_job(bed, "r1", &job));
    OK(store_commit(bed->store, &bed->err));
    assert_int_equal(sqlite3_open(bed->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct job refused;
    assert_int_equal(add_job(bed, "r2", &refused), ST_UNAVAILABLE);
    assert_non_null(strstr(bed->err.text, "is locked by another program"));
    assert_non_null(strstr(bed->err.text, bed->path));
    store_rollback(bed->store);
    OK(store_job_load(bed->store, job.id, &job, &bed->err)); /* reading goes on */
    sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(other);
    OK(add_job(bed, "r2", &refused));
    OK(store_commit(bed->store, &bed->err));
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    struct bed *bed = *state;
    struct job job;
    struct rlimit old, small;
    OK(add_job(bed, "r1", &job));
    OK(store_commit(bed->store, &bed->err));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum status st = add_job(bed, "r2", &job);
    if (st == ST_OK)
        st = store_commit(bed->store, &bed->err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_true(st == ST_LIMIT || st == ST_IO);
    store_rollback(bed->store);
    reopen(bed);
    OK(store_job_load(bed->store, 1, &job, &bed->err));
    assert_int_equal(store_job_load(bed->store, 2, &job, &bed->err), ST_NOT_FOUND);
    OK(add_job(bed, "r2", &job));
    OK(store_commit(bed->store, &bed->err));
}

/* Read-only means something only to an account that permissions bind. */
static void a_read_only_file_is_refused(void **state)
{
    struct bed *bed = *state;
    store_close(bed->store);
    bed->store = NULL;
    chmod(bed->path, 0444);
    chmod(bed->dir, 0555);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s = NULL;
        if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(2);
        enum status st = store_open(&s, bed->path, &bed->err);
        _exit(st == ST_UNAVAILABLE && strstr(bed->err.text, bed->path) ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    chmod(bed->dir, 0700);
    chmod(bed->path, 0600);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What was committed is there after the process is killed, and nothing else. */
static void a_kill_loses_nothing_committed(void **state)
{
    struct bed *bed = *state;
    store_close(bed->store);
    bed->store = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s = NULL;
        struct job job;
        if (store_open(&s, bed->path, &bed->err) != ST_OK)
            _exit(1);
        bed->store = s;
        if (add_job(bed, "r1", &job) != ST_OK || store_commit(s, NULL) != ST_OK ||
            add_job(bed, "r2", &job) != ST_OK)
            _exit(2);
        kill(getpid(), SIGKILL);
    }
    int status, n = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    OK(store_open(&bed->store, bed->path, &bed->err));
    OK(store_jobs_active(bed->store, count_one, &n, &bed->err));
    assert_int_equal(n, 1);
}

static bool token_one(const struct token *t, void *user)
{
    char *list = user;
    size_t n = strlen(list);
    return snprintf(list + n, 256 - n, "%s:%d:%s ", t->name, t->role,
                    t->revoked_ms ? "revoked" : "in force") > 0;
}

static void a_name_has_one_token_in_force(void **state)
{
    struct bed *bed = *state;
    struct token a = {.name = "anna", .role = 2, .created_ms = 5}, b = a, got;
    memset(a.sha256, 'a', 64);
    memset(b.sha256, 'b', 64);
    OK(store_token_add(bed->store, &a, &got, &bed->err));
    a.created_ms = 9; /* the answer was lost, the request comes again */
    OK(store_token_add(bed->store, &a, &got, &bed->err));
    assert_int_equal(got.created_ms, 5);
    assert_int_equal(store_token_add(bed->store, &b, &got, &bed->err), ST_EXISTS);
    assert_int_equal(store_token_revoke(bed->store, "bert", 7, &got, &bed->err), ST_NOT_FOUND);
    OK(store_token_revoke(bed->store, "anna", 7, &got, &bed->err));
    assert_int_equal(got.revoked_ms, 7);
    assert_int_equal(store_token_revoke(bed->store, "anna", 8, &got, &bed->err), ST_NOT_FOUND);
    assert_int_equal(store_token_add(bed->store, &a, &got, &bed->err), ST_EXISTS); /* for ever */
    OK(store_token_add(bed->store, &b, &got, &bed->err));
    OK(store_commit(bed->store, &bed->err));
    char list[256] = "";
    OK(store_tokens(bed->store, token_one, list, &bed->err));
    assert_string_equal(list, "anna:2:in force anna:2:revoked ");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(jobs_come_back),
        T(attempts_are_listed),
        T(a_request_is_one_job),
        T(a_group_is_all_or_nothing),
        T(a_group_that_was_given_up_takes_no_more),
        T(pages_are_newest_first),
        T(events_are_read_from_a_cursor),
        T(a_long_series_is_thinned),
        T(structures_are_versions),
        T(a_phase_ended_twice_has_the_later_time),
        T(replay_gives_the_snapshot),
        T(a_name_has_one_token_in_force),
        T(a_newer_schema_is_refused),
        T(an_older_schema_is_brought_up_to_date),
        T(a_foreign_file_is_refused),
        T(a_locked_file_refuses_and_recovers),
        T(a_full_disk_refuses_and_recovers),
        T(a_read_only_file_is_refused),
        T(a_kill_loses_nothing_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
