/* store_results.c - what workers leave: structures, artifacts, phase times. See
 * store.h. */
#include "store/sqlite.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

static enum status newest_structure(struct store *s, int64_t job_id, int *ret_version,
                                    bool *ret_same, const char *digest, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_STRUCTURE_NEWEST);
    sqlite3_bind_int64(q, 1, job_id);
    enum status st = store_row(s, q, "reading structures", err);
    *ret_version = st == ST_OK ? sqlite3_column_int(q, 0) : 0;
    *ret_same = st == ST_OK && strcmp(store_text(q, 1), digest) == 0;
    sqlite3_reset(q);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static enum status insert_structure(struct store *s, int64_t job_id,
                                    const struct stored_structure *at, const char *digest,
                                    const void *json, size_t len, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_STRUCTURE_ADD);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int(q, 2, at->version);
    sqlite3_bind_int64(q, 3, at->total_step);
    sqlite3_bind_text(q, 4, digest, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(q, 5, len ? json : "", len, SQLITE_STATIC);
    sqlite3_bind_double(q, 6, at->params_kept);
    sqlite3_bind_double(q, 7, at->pruned);
    sqlite3_bind_double(q, 8, at->shared);
    return store_run(s, q, "adding a structure", err);
}

enum status store_structure_add(struct store *s, int64_t job_id, const struct stored_structure *at,
                                const void *json, size_t len, int *ret_version, bool *ret_new,
                                struct err *err)
{
    char digest[HASH_HEX_SIZE];
    struct stored_structure next = *at;
    bool same;
    hash_bytes(digest, json, len);
    TRY(store_write(s, err));
    TRY(newest_structure(s, job_id, &next.version, &same, digest, err));
    if (!same) {
        next.version++;
        TRY(insert_structure(s, job_id, &next, digest, json, len, err));
    }
    *ret_version = next.version;
    *ret_new = !same;
    return ST_OK;
}

enum status store_structures(struct store *s, int64_t job_id, store_structure_f each, void *user,
                             struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_STRUCTURES);
    sqlite3_bind_int64(q, 1, job_id);
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading structures", err)) == ST_OK) {
        struct stored_structure one = {.version = sqlite3_column_int(q, 0),
                                       .total_step = sqlite3_column_int64(q, 1),
                                       .sha256 = store_text(q, 2),
                                       .params_kept = sqlite3_column_double(q, 3),
                                       .pruned = sqlite3_column_double(q, 4),
                                       .shared = sqlite3_column_double(q, 5)};
        more = each(&one, user);
    }
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}

enum status store_structure_load(struct store *s, int64_t job_id, int version, struct buf *json,
                                 int *ret_version, int64_t *ret_total_step, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_STRUCTURE_LOAD);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_int(q, 2, version);
    enum status st = store_row(s, q, "reading a structure", err);
    if (st == ST_NOT_FOUND && version == 0)
        return err_set(err, st, "job %lld has no structure yet", (long long)job_id);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "job %lld has no structure version %d", (long long)job_id, version);
    TRY(st);
    *ret_version = sqlite3_column_int(q, 0);
    *ret_total_step = sqlite3_column_int64(q, 1);
    buf_add(json, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
    sqlite3_reset(q);
    return buf_ok(json) ? ST_OK : err_set(err, ST_NOMEM, "out of memory reading a structure");
}

enum status store_artifact_add(struct store *s, int64_t job_id, const struct stored_file *f,
                               struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_ARTIFACT_ADD);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, f->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, f->size_bytes);
    sqlite3_bind_text(q, 4, f->sha256, -1, SQLITE_STATIC);
    return store_run(s, q, "adding an artifact", err);
}

enum status store_artifacts(struct store *s, int64_t job_id, store_file_f each, void *user,
                            struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_ARTIFACTS);
    sqlite3_bind_int64(q, 1, job_id);
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading artifacts", err)) == ST_OK) {
        struct stored_file f = {.name = store_text(q, 0),
                                .size_bytes = sqlite3_column_int64(q, 1),
                                .sha256 = store_text(q, 2)};
        more = each(&f, user);
    }
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}

enum status store_phase_set(struct store *s, int64_t job_id, const char *phase, double seconds,
                            struct err *err)
{
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_PHASE_SET);
    sqlite3_bind_int64(q, 1, job_id);
    sqlite3_bind_text(q, 2, phase, -1, SQLITE_STATIC);
    sqlite3_bind_double(q, 3, seconds);
    return store_run(s, q, "writing a phase's time", err);
}

enum status store_phases(struct store *s, int64_t job_id, store_phase_f each, void *user,
                         struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_PHASES);
    sqlite3_bind_int64(q, 1, job_id);
    enum status st;
    bool more = true;
    while (more && (st = store_row(s, q, "reading phase times", err)) == ST_OK)
        more = each(store_text(q, 0), sqlite3_column_double(q, 1), user);
    sqlite3_reset(q);
    return !more || st == ST_NOT_FOUND ? ST_OK : st;
}
