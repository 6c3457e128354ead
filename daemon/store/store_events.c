/* store_events.c - the events, and how a long series is thinned. See store.h. */
#include "store/sqlite.h"

#include "base/rng.h"

#include <string.h>

static uint64_t series_key(int64_t job_id, const char *series)
{
    return (rng_hash(series) ^ ((uint64_t)job_id * 0x9E3779B97F4A7C15u)) | 1;
}

/* Counts what another run of the daemon wrote; counts nothing for a series that is known. */
static enum status series_length(struct store *s, const struct event *e,
                                 struct series_length **ret_entry, struct err *err)
{
    uint64_t key = series_key(e->job_id, e->series);
    struct series_length *entry = &s->series[(key >> 8) & (SERIES_KNOWN - 1)];
    *ret_entry = entry;
    if (entry->key == key)
        return ST_OK;
    sqlite3_stmt *q = store_use(s, SQL_SERIES_COUNT);
    sqlite3_bind_int64(q, 1, e->job_id);
    sqlite3_bind_text(q, 2, e->series, -1, SQLITE_STATIC);
    TRY(store_row(s, q, "counting a series", err));
    *entry = (struct series_length){key, sqlite3_column_int64(q, 0)};
    sqlite3_reset(q);
    return ST_OK;
}

/* Every second point of the older half goes: 1024 deletes by primary key, about 5 ms, once in 1024
 * appends. What is recent stays whole, what is old grows coarse, the first point stays. */
static enum status thin(struct store *s, const struct event *e, struct err *err)
{
    struct series_length *entry;
    TRY(series_length(s, e, &entry, err));
    if (++entry->points <= STORE_SERIES_MAX)
        return ST_OK;
    sqlite3_stmt *q = store_use(s, SQL_SERIES_THIN);
    sqlite3_bind_int64(q, 1, e->job_id);
    sqlite3_bind_text(q, 2, e->series, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 3, STORE_SERIES_MAX / 2);
    TRY(store_run(s, q, "thinning a series", err));
    entry->points -= sqlite3_changes(s->db);
    return ST_OK;
}

static void bind_change(sqlite3_stmt *q, const struct event *e)
{
    sqlite3_bind_int(q, 6, (int)e->from);
    sqlite3_bind_int(q, 7, (int)e->to);
    sqlite3_bind_text(q, 8, e->actor, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 9, e->reason, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 10, e->text, -1, SQLITE_STATIC);
}

enum status store_event_append(struct store *s, struct event *e, struct err *err)
{
    TRY(store_write(s, err));
    if (e->series)
        TRY(thin(s, e, err));
    sqlite3_stmt *q = store_use(s, SQL_EVENT_ADD);
    sqlite3_bind_int64(q, 1, e->job_id);
    sqlite3_bind_int64(q, 2, e->time_ms);
    sqlite3_bind_int(q, 3, (int)e->kind);
    if (e->series)
        sqlite3_bind_text(q, 4, e->series, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 5, e->attempt);
    if (e->kind == EVENT_STATE)
        bind_change(q, e);
    else
        sqlite3_bind_blob64(q, 11, e->body_len ? e->body : "", e->body_len, SQLITE_STATIC);
    TRY(store_run(s, q, "appending an event", err));
    e->cursor = sqlite3_last_insert_rowid(s->db);
    return ST_OK;
}

/* In the order of STORE_EVENT_SELECT. */
static void read_event(sqlite3_stmt *q, struct event *e)
{
    *e = (struct event){
        .cursor = sqlite3_column_int64(q, 0),
        .job_id = sqlite3_column_int64(q, 1),
        .time_ms = sqlite3_column_int64(q, 2),
        .kind = (enum event_kind)sqlite3_column_int(q, 3),
        .attempt = sqlite3_column_int(q, 4),
        .from = (enum job_state)sqlite3_column_int(q, 5),
        .to = (enum job_state)sqlite3_column_int(q, 6),
        .actor = store_text(q, 7),
        .reason = store_text(q, 8),
        .text = store_text(q, 9),
        .body = sqlite3_column_blob(q, 10),
        .body_len = (size_t)sqlite3_column_bytes(q, 10),
        .series = (const char *)sqlite3_column_text(q, 11),
    };
}

static enum status one_event(struct store *s, sqlite3_stmt *q, struct event *ret_event,
                             struct err *err)
{
    enum status st = store_row(s, q, "reading events", err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "no such event yet");
    TRY(st);
    read_event(q, ret_event);
    return ST_OK;
}

enum status store_event_next(struct store *s, int64_t job_id, int64_t after,
                             struct event *ret_event, struct err *err)
{
    sqlite3_stmt *q = store_use(s, job_id ? SQL_EVENT_NEXT_JOB : SQL_EVENT_NEXT_ALL);
    if (job_id)
        sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int64(q, 2, after);
    return one_event(s, q, ret_event, err);
}

enum status store_change_next(struct store *s, int64_t after, struct event *ret_event,
                              struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_CHANGE_NEXT);
    sqlite3_bind_int64(q, 1, after);
    return one_event(s, q, ret_event, err);
}

enum status store_event_newest(struct store *s, int64_t job_id, const char *series,
                               struct event *ret_event, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_EVENT_NEWEST);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, series, -1, SQLITE_STATIC);
    return one_event(s, q, ret_event, err);
}

int64_t store_event_last(struct store *s, int64_t job_id)
{
    sqlite3_stmt *q = store_use(s, SQL_EVENT_LAST);
    sqlite3_bind_int64(q, 1, job_id);
    int64_t cursor =
        store_row(s, q, "reading events", NULL) == ST_OK ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_reset(q);
    return cursor;
}
