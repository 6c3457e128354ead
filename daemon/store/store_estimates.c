/* store_estimates.c - the planned steps of jobs' phases, beside what they took. See store.h. */
#include "store/sqlite.h"

enum status store_phase_plan_add(struct store *s, int64_t job_id, const char *phase,
                                 const char *shape, int64_t steps, struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_PHASE_PLAN_ADD);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, phase, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, shape, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, steps);
    return store_run(s, q, "writing a phase's steps", err);
}

enum status store_phase_plans(struct store *s, const char *shape, store_phase_plan_f each,
                              void *user, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_PHASE_PLANS);
    sqlite3_bind_text(q, 1, shape, -1, SQLITE_STATIC);
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading phases' times", err)) == ST_OK)
        more = each(sqlite3_column_int64(q, 0), store_text(q, 1), sqlite3_column_int64(q, 2),
                    sqlite3_column_double(q, 3), user);
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}
