/* store_follow.c - for those who follow all jobs: changes of state, how far a reader has come, counts. See store.h. */
#include "store/sqlite.h"

#include <string.h>

enum status store_cursor_last(struct store *s, int64_t *ret_cursor, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_CURSOR_LAST);
    TRY(store_row(s, q, "reading events", err));
    *ret_cursor = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return ST_OK;
}

enum status store_change_newest(struct store *s, int64_t job_id, uint64_t states,
                                int64_t *ret_cursor, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_CHANGE_NEWEST);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int64(q, 2, (int64_t)states);
    TRY(store_row(s, q, "reading events", err));
    *ret_cursor = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return ST_OK;
}

enum status store_mark_set(struct store *s, const char *name, int64_t cursor, struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_MARK_SET);
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, cursor);
    return store_run(s, q, "noting how far a reader has come", err);
}

enum status store_mark_load(struct store *s, const char *name, int64_t *ret_cursor, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_MARK);
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    TRY(store_row(s, q, "reading how far a reader has come", err));
    *ret_cursor = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return ST_OK;
}

enum status store_count_states(struct store *s, int64_t ret_counts[JOB_STATE_COUNT],
                               struct err *err)
{
    int64_t counts[JOB_STATE_COUNT] = {0};
    sqlite3_stmt *q = store_use(s, SQL_STATE_COUNTS);
    enum status st;
    while ((st = store_row(s, q, "counting jobs", err)) == ST_OK) {
        int state = sqlite3_column_int(q, 0);
        if (state >= 0 && state < JOB_STATE_COUNT)
            counts[state] = sqlite3_column_int64(q, 1);
    }
    if (st != ST_NOT_FOUND)
        return st;
    memcpy(ret_counts, counts, sizeof counts);
    return ST_OK;
}
