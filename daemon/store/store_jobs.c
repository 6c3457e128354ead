/* store_jobs.c - jobs, submissions, attempts. See store.h. */
#include "store/sqlite.h"

#include <stdio.h>
#include <string.h>

/* Binds in the order of the columns, so that each list of columns is written once. */
struct binder {
    sqlite3_stmt *q;
    int at;
};

static void put_int(struct binder *b, int64_t v)
{
    sqlite3_bind_int64(b->q, ++b->at, v);
}

static void put_text(struct binder *b, const char *v)
{
    sqlite3_bind_text(b->q, ++b->at, v, -1, SQLITE_STATIC);
}

static enum status add_submission(struct store *s, int64_t id, const struct submission *sub,
                                  struct err *err)
{
    struct binder b = {store_use(s, SQL_SUBMISSION_ADD), 0};
    put_int(&b, id);
    sqlite3_bind_blob64(b.q, ++b.at, sub->job_file_len ? sub->job_file : "", sub->job_file_len,
                        SQLITE_STATIC);
    put_text(&b, sub->file_name);
    put_text(&b, sub->folder);
    put_text(&b, sub->overrides_json);
    sqlite3_bind_blob64(b.q, ++b.at, sub->structure_len ? sub->structure : "", sub->structure_len,
                        SQLITE_STATIC);
    return store_run(s, b.q, "adding a job", err);
}

enum status store_job_add(struct store *s, struct job *job, const struct submission *sub,
                          const char *digest, struct err *err)
{
    TRY(store_write(s, err));
    struct binder b = {store_use(s, SQL_JOB_ADD), 0};
    put_text(&b, sub->request_id);
    put_text(&b, digest);
    put_text(&b, job->name);
    put_text(&b, job->owner);
    put_int(&b, job->state);
    put_int(&b, job_state_is_over(job->state));
    put_text(&b, job_reason_name(job->reason));
    put_text(&b, job->text);
    put_int(&b, job->priority);
    put_int(&b, job->ranks);
    put_int(&b, job->threads);
    put_int(&b, job->gpus_per_rank);
    put_int(&b, job->need.cores);
    put_int(&b, job->need.gpus);
    put_int(&b, job->need.memory_bytes);
    put_int(&b, job->time_limit_ms);
    put_int(&b, job->submitted_ms);
    put_int(&b, job->started_ms);
    put_int(&b, job->ended_ms);
    put_int(&b, job->changed_ms);
    put_int(&b, job->exit_code);
    put_int(&b, job->attempt.number);
    put_int(&b, job->retries);
    put_int(&b, job->restart_stalled);
    put_int(&b, job->stall_ms);
    sqlite3_bind_double(b.q, ++b.at, job->stall_factor);
    TRY(store_run(s, b.q, "adding a job", err));
    int64_t id = sqlite3_last_insert_rowid(s->db);
    TRY(add_submission(s, id, sub, err));
    job->id = id;
    return ST_OK;
}

enum status store_job_save(struct store *s, const struct job *job, struct err *err)
{
    TRY(store_write(s, err));
    struct binder b = {store_use(s, SQL_JOB_SAVE), 0};
    put_int(&b, job->id);
    put_int(&b, job->state);
    put_int(&b, job_state_is_over(job->state));
    put_text(&b, job_reason_name(job->reason));
    put_text(&b, job->text);
    put_int(&b, job->priority);
    put_int(&b, job->started_ms);
    put_int(&b, job->ended_ms);
    put_int(&b, job->changed_ms);
    put_int(&b, job->exit_code);
    put_int(&b, job->attempt.number);
    put_int(&b, job->counted_from);
    put_int(&b, job->not_before_ms);
    put_text(&b, job->resume_from);
    put_int(&b, job->resume_since);
    return store_run(s, b.q, "saving a job", err);
}

enum status store_attempt_save(struct store *s, const struct job *job, struct err *err)
{
    const struct attempt *a = &job->attempt;
    TRY(store_write(s, err));
    struct binder b = {store_use(s, SQL_ATTEMPT_SAVE), 0};
    put_int(&b, job->id);
    put_int(&b, a->number);
    put_text(&b, a->token);
    put_int(&b, a->started_ms);
    put_int(&b, a->ended_ms);
    put_int(&b, a->exit_code);
    put_int(&b, a->signal);
    put_text(&b, job_reason_name(a->reason));
    put_int(&b, (int64_t)a->reported);
    put_int(&b, a->done);
    put_int(&b, a->done_success);
    put_text(&b, a->done_reason);
    put_text(&b, a->done_text);
    put_text(&b, a->host);
    put_int(&b, a->resumed_step);
    put_text(&b, a->text);
    return store_run(s, b.q, "saving an attempt", err);
}

/* Reads in the order of STORE_JOB_SELECT. */
struct reader {
    sqlite3_stmt *q;
    int at;
};

static int64_t take_int(struct reader *r)
{
    return sqlite3_column_int64(r->q, r->at++);
}

static void take_text(struct reader *r, char *to, size_t size)
{
    snprintf(to, size, "%s", store_text(r->q, r->at++));
}

static enum job_reason take_reason(struct reader *r)
{
    enum job_reason reason = REASON_NONE;
    job_reason_find(store_text(r->q, r->at++), &reason);
    return reason;
}

static void read_attempt(struct reader *r, struct attempt *a)
{
    take_text(r, a->token, sizeof a->token);
    a->started_ms = take_int(r);
    a->ended_ms = take_int(r);
    a->exit_code = (int)take_int(r);
    a->signal = (int)take_int(r);
    a->reason = take_reason(r);
    a->reported = (uint64_t)take_int(r);
    a->done = take_int(r) != 0;
    a->done_success = take_int(r) != 0;
    take_text(r, a->done_reason, sizeof a->done_reason);
    take_text(r, a->done_text, sizeof a->done_text);
    take_text(r, a->host, sizeof a->host);
    a->resumed_step = take_int(r);
    take_text(r, a->text, sizeof a->text);
}

static void read_job(sqlite3_stmt *q, struct job *j)
{
    struct reader r = {q, 0};
    *j = (struct job){.id = take_int(&r)};
    take_text(&r, j->name, sizeof j->name);
    take_text(&r, j->owner, sizeof j->owner);
    j->state = (enum job_state)take_int(&r);
    j->reason = take_reason(&r);
    take_text(&r, j->text, sizeof j->text);
    j->priority = (int)take_int(&r);
    j->ranks = (int)take_int(&r);
    j->threads = (int)take_int(&r);
    j->gpus_per_rank = (int)take_int(&r);
    j->need.cores = take_int(&r);
    j->need.gpus = take_int(&r);
    j->need.memory_bytes = take_int(&r);
    j->time_limit_ms = take_int(&r);
    j->submitted_ms = take_int(&r);
    j->started_ms = take_int(&r);
    j->ended_ms = take_int(&r);
    j->changed_ms = take_int(&r);
    j->exit_code = (int)take_int(&r);
    j->retries = (int)take_int(&r);
    j->counted_from = (int)take_int(&r);
    j->not_before_ms = take_int(&r);
    j->restart_stalled = take_int(&r) != 0;
    j->stall_ms = take_int(&r);
    j->stall_factor = sqlite3_column_double(r.q, r.at++);
    take_text(&r, j->resume_from, sizeof j->resume_from);
    j->resume_since = (int)take_int(&r);
    j->in_slurm = take_int(&r) != 0;
    j->attempt.number = (int)take_int(&r);
    read_attempt(&r, &j->attempt);
}

static enum status run_for(struct store *s, enum store_statement which, int64_t id,
                           const char *doing, struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, which);
    sqlite3_bind_int64(q, 1, id);
    return store_run(s, q, doing, err);
}

enum status store_job_remove(struct store *s, int64_t id, struct err *err)
{
    TRY(run_for(s, SQL_JOB_REMOVE, id, "removing a job", err));
    return run_for(s, SQL_REMOVAL_ADD, id, "removing a job", err);
}

int store_removals(struct store *s, int64_t *ret_ids, int most)
{
    sqlite3_stmt *q = store_use(s, SQL_REMOVALS);
    sqlite3_bind_int(q, 1, most);
    int n = 0;
    while (n < most && store_row(s, q, "reading removals", NULL) == ST_OK)
        ret_ids[n++] = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return n;
}

enum status store_removal_done(struct store *s, int64_t id, struct err *err)
{
    return run_for(s, SQL_REMOVAL_DONE, id, "removing a job's folder", err);
}

enum status store_attempts(struct store *s, int64_t job_id, int after, store_attempt_f each,
                           void *user, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_ATTEMPTS);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int(q, 2, after);
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading attempts", err)) == ST_OK) {
        struct reader r = {q, 0};
        struct attempt a = {.number = (int)take_int(&r)};
        read_attempt(&r, &a);
        more = each(&a, user);
    }
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}

enum status store_job_load(struct store *s, int64_t id, struct job *ret_job, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_JOB_LOAD);
    sqlite3_bind_int64(q, 1, id);
    enum status st = store_row(s, q, "reading a job", err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "no job %lld", (long long)id);
    TRY(st);
    read_job(q, ret_job);
    sqlite3_reset(q);
    return ST_OK;
}

enum status store_job_newest(struct store *s, const char *owner, int64_t *ret_id, struct err *err)
{
    sqlite3_stmt *q = store_use(s, owner ? SQL_JOB_NEWEST_OF : SQL_JOB_NEWEST);
    if (owner)
        sqlite3_bind_text(q, 1, owner, -1, SQLITE_STATIC);
    TRY(store_row(s, q, "reading the newest job", err));
    int64_t id = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    if (id == 0)
        return err_set(err, ST_NOT_FOUND, "there is no job yet");
    *ret_id = id;
    return ST_OK;
}

enum status store_job_owner(struct store *s, int64_t id, char ret_owner[JOB_OWNER_MAX],
                            struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_JOB_OWNER);
    sqlite3_bind_int64(q, 1, id);
    enum status st = store_row(s, q, "reading a job's owner", err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "no job %lld", (long long)id);
    TRY(st);
    snprintf(ret_owner, JOB_OWNER_MAX, "%s", store_text(q, 0));
    sqlite3_reset(q);
    return ST_OK;
}

enum status store_job_by_request(struct store *s, const char *request_id, int64_t *ret_id,
                                 char ret_digest[65], struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_JOB_BY_REQUEST);
    sqlite3_bind_text(q, 1, request_id, -1, SQLITE_STATIC);
    enum status st = store_row(s, q, "looking for a request", err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "no job of the request %s", request_id);
    TRY(st);
    *ret_id = sqlite3_column_int64(q, 0);
    snprintf(ret_digest, 65, "%s", store_text(q, 1));
    sqlite3_reset(q);
    return ST_OK;
}

static void copy_column(struct buf *to, sqlite3_stmt *q, int column)
{
    if (to)
        buf_add(to, sqlite3_column_blob(q, column), (size_t)sqlite3_column_bytes(q, column));
}

enum status store_submission_load(struct store *s, int64_t id, struct buf *job_file,
                                  struct buf *folder, struct buf *overrides_json, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_SUBMISSION_LOAD);
    sqlite3_bind_int64(q, 1, id);
    enum status st = store_row(s, q, "reading a job file", err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "no job %lld", (long long)id);
    TRY(st);
    copy_column(job_file, q, 0);
    copy_column(folder, q, 1);
    copy_column(overrides_json, q, 2);
    sqlite3_reset(q);
    if ((job_file && !buf_ok(job_file)) || (folder && !buf_ok(folder)) ||
        (overrides_json && !buf_ok(overrides_json)))
        return err_set(err, ST_NOMEM, "out of memory reading the file of job %lld", (long long)id);
    return ST_OK;
}

enum status store_start_structure_load(struct store *s, int64_t id, struct buf *json,
                                       struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_START_STRUCTURE_LOAD);
    sqlite3_bind_int64(q, 1, id);
    enum status st = store_row(s, q, "reading a job's structure", err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "no job %lld", (long long)id);
    TRY(st);
    copy_column(json, q, 0);
    sqlite3_reset(q);
    return buf_ok(json) ? ST_OK : err_set(err, ST_NOMEM, "out of memory reading a structure");
}

static enum status each_job(struct store *s, sqlite3_stmt *q, store_job_f each, void *user,
                            struct err *err)
{
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading jobs", err)) == ST_OK) {
        struct job job;
        read_job(q, &job);
        more = each(&job, user);
    }
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}

enum status store_jobs_active(struct store *s, store_job_f each, void *user, struct err *err)
{
    return each_job(s, store_use(s, SQL_JOBS_ACTIVE), each, user, err);
}

enum status store_jobs_page(struct store *s, int64_t before, const char *owner, uint64_t states,
                            int limit, store_job_f each, void *user, struct err *err)
{
    sqlite3_stmt *q = store_use(s, owner ? SQL_JOBS_PAGE_OF : SQL_JOBS_PAGE);
    if (owner)
        sqlite3_bind_text(q, 4, owner, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 1, before);
    sqlite3_bind_int64(q, 2, (int64_t)states);
    sqlite3_bind_int(q, 3, limit);
    return each_job(s, q, each, user, err);
}
