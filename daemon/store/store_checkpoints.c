/* store_checkpoints.c - checkpoints as rows, and the rule by which they are kept. See store.h. */
#include "jobfile/keep.h"
#include "store/sqlite.h"

#include <stdio.h>

#define KEEP_LAST 2 /* train.checkpoint_keep's default, for jobs of schema 1 */

enum status store_checkpoint_add(struct store *s, int64_t job_id, const struct stored_checkpoint *c,
                                 struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_CHECKPOINT_ADD);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, c->path, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 3, c->attempt);
    sqlite3_bind_int64(q, 4, c->total_step);
    sqlite3_bind_int64(q, 5, c->size_bytes);
    sqlite3_bind_text(q, 6, c->sha256, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 7, c->phase, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 8, c->metric_name, -1, SQLITE_STATIC);
    sqlite3_bind_double(q, 9, c->metric);
    sqlite3_bind_int(q, 10, c->pinned);
    sqlite3_bind_int64(q, 11, c->time_ms);
    return store_run(s, q, "adding a checkpoint", err);
}

enum status store_checkpoint_find(struct store *s, int64_t job_id, const char *name,
                                  char ret_path[JOB_FILE_MAX], struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_CHECKPOINT_FIND);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, name, -1, SQLITE_STATIC);
    TRY(store_row(s, q, "looking for a checkpoint", err));
    snprintf(ret_path, JOB_FILE_MAX, "%s", store_text(q, 0));
    sqlite3_reset(q);
    return ST_OK;
}

/* In the order of STORE_CHECKPOINT_SELECT. */
static struct stored_checkpoint read_checkpoint(sqlite3_stmt *q)
{
    return (struct stored_checkpoint){.path = store_text(q, 0),
                                      .attempt = sqlite3_column_int(q, 1),
                                      .total_step = sqlite3_column_int64(q, 2),
                                      .size_bytes = sqlite3_column_int64(q, 3),
                                      .sha256 = store_text(q, 4),
                                      .phase = store_text(q, 5),
                                      .metric_name = store_text(q, 6),
                                      .metric = sqlite3_column_double(q, 7),
                                      .pinned = sqlite3_column_int(q, 8) != 0,
                                      .time_ms = sqlite3_column_int64(q, 9)};
}

enum status store_checkpoint_load(struct store *s, int64_t job_id, const char *path,
                                  struct stored_checkpoint *ret_c, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_CHECKPOINT_LOAD);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, path, -1, SQLITE_TRANSIENT);
    TRY(store_row(s, q, "reading a checkpoint", err));
    *ret_c = read_checkpoint(q);
    return ST_OK;
}

enum status store_checkpoint_remove(struct store *s, int64_t job_id, const char *path,
                                    struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_CHECKPOINT_REMOVE);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, path, -1, SQLITE_STATIC);
    return store_run(s, q, "removing a checkpoint", err);
}

enum status store_checkpoints(struct store *s, int64_t job_id, store_checkpoint_f each, void *user,
                              struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_CHECKPOINTS);
    sqlite3_bind_int64(q, 1, job_id);
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading checkpoints", err)) == ST_OK) {
        struct stored_checkpoint c = read_checkpoint(q);
        more = each(&c, user);
    }
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}

enum status store_keep_rule_set(struct store *s, int64_t job_id, const struct keep_rule *rule,
                                struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_KEEP_RULE_SET);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int64(q, 2, rule->last);
    sqlite3_bind_int64(q, 3, rule->best);
    sqlite3_bind_text(q, 4, keep_metric_name(rule->by), -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 5, rule->quota_bytes);
    return store_run(s, q, "adding a job", err);
}

enum status store_keep_rule_load(struct store *s, int64_t job_id, struct keep_rule *ret_rule,
                                 struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_KEEP_RULE_LOAD);
    sqlite3_bind_int64(q, 1, job_id);
    enum status st = store_row(s, q, "reading a job's rule for checkpoints", err);
    *ret_rule = (struct keep_rule){.last = KEEP_LAST};
    if (st == ST_OK)
        *ret_rule = (struct keep_rule){.last = sqlite3_column_int64(q, 0),
                                       .best = sqlite3_column_int64(q, 1),
                                       .by = keep_metric_find(store_text(q, 2)),
                                       .quota_bytes = sqlite3_column_int64(q, 3)};
    sqlite3_reset(q);
    return st == ST_NOT_FOUND ? ST_OK : st;
}
