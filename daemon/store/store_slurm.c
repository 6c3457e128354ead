/* store_slurm.c - what a job wants of Slurm, and what its attempts brought. See store.h. */
#include "store/sqlite.h"

enum status store_slurm_set(struct store *s, int64_t job_id, const char *json, struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_SLURM_SET);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, json, -1, SQLITE_STATIC);
    return store_run(s, q, "writing a request to Slurm", err);
}

enum status store_slurm_load(struct store *s, int64_t job_id, struct buf *json, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_SLURM_LOAD);
    sqlite3_bind_int64(q, 1, job_id);
    TRY(store_row(s, q, "reading a request to Slurm", err));
    buf_puts(json, store_text(q, 0));
    sqlite3_reset(q);
    return buf_ok(json) ? ST_OK
                        : err_set(err, ST_NOMEM, "out of memory reading a request to Slurm");
}

enum status store_attempt_saved(struct store *s, int64_t job_id, int attempt, bool *ret_saved,
                                struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_ATTEMPT_SAVED);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int(q, 2, attempt);
    TRY(store_row(s, q, "counting checkpoints", err));
    *ret_saved = sqlite3_column_int64(q, 0) > 0;
    sqlite3_reset(q);
    return ST_OK;
}
