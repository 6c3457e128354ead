/* store_placements.c - where the ranks of an attempt are. See store.h. */
#include "store/sqlite.h"

enum status store_placement_set(struct store *s, int64_t job_id, int attempt, const char *json,
                                struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_PLACEMENT_SET);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int(q, 2, attempt);
    sqlite3_bind_text(q, 3, json, -1, SQLITE_STATIC);
    return store_run(s, q, "writing a placement", err);
}

enum status store_placement_load(struct store *s, int64_t job_id, int attempt, struct buf *json,
                                 struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_PLACEMENT_LOAD);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int(q, 2, attempt);
    TRY(store_row(s, q, "reading a placement", err));
    buf_puts(json, store_text(q, 0));
    sqlite3_reset(q);
    return buf_ok(json) ? ST_OK : err_set(err, ST_NOMEM, "out of memory reading a placement");
}

enum status store_node_drain(struct store *s, const char *host, bool drain, struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, drain ? SQL_NODE_DRAIN : SQL_NODE_RESUME);
    sqlite3_bind_text(q, 1, host, -1, SQLITE_STATIC);
    return store_run(s, q, "draining a node", err);
}

enum status store_nodes_drained(struct store *s, bool (*each)(const char *host, void *user),
                                void *user, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_NODES_DRAINED);
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading drained nodes", err)) == ST_OK)
        more = each(store_text(q, 0), user);
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}
