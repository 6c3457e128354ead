/* store_sqlite.c - the file: opening, migrations, the group's transaction. See store.h. */
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A foreign program (a backup, a shell) may hold the lock for a moment. The loop stands still
 * meanwhile, so the wait is short; what could not be written is refused with a sentence and may be
 * tried again. */
#define BUSY_MS 250
#define CACHE                                                                                      \
    "PRAGMA cache_size = -65536" /* KiB: the pages that Get and List of 100,000 jobs come back to */

#define STATEMENT_SQL(name, sql) sql,
static const char *const statement_sql[SQL_COUNT] = {STORE_STATEMENTS(STATEMENT_SQL)};
#undef STATEMENT_SQL

static enum status cannot_write(struct store *s, const char *why, const char *doing,
                                struct err *err)
{
    return err_set(err, ST_UNAVAILABLE,
                   "the job store %s cannot be written (%s) while %s; check that the file is "
                   "there, its permissions and its file system",
                   s->path, why, doing);
}

static enum status no_room(struct store *s, const char *doing, struct err *err)
{
    return err_set(err, ST_LIMIT,
                   "no room left for the job store %s while %s; free some and try again", s->path,
                   doing);
}

/* SQLite calls it an I/O error too when a file or a file system turns read-only under an open file, and of a commit it
 * keeps no errno; but nothing that succeeds afterwards touches the thread's. */
static enum status io_error(struct store *s, int error, const char *doing, struct err *err)
{
    if (error == EROFS || error == EPERM || error == EACCES)
        return cannot_write(s, strerror(error), doing, err);
    if (error == EDQUOT)
        return no_room(s, doing, err);
    return err_set(err, ST_IO,
                   "the job store %s: %s while %s; look at the disk and at the kernel's log",
                   s->path, error == EIO ? strerror(error) : sqlite3_errmsg(s->db), doing);
}

enum status store_error(struct store *s, const char *doing, struct err *err)
{
    int error = errno;
    const char *why = sqlite3_errmsg(s->db);
    switch (sqlite3_errcode(s->db) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(
            err, ST_UNAVAILABLE,
            "the job store %s is locked by another program while %s; nothing was changed, "
            "try again when it is free",
            s->path, doing);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return cannot_write(s, why, doing, err);
    case SQLITE_FULL:
        return no_room(s, doing, err);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, ST_CORRUPT,
                       "the job store %s is damaged (%s) while %s; docs/ops/backup.md says "
                       "how to restore it",
                       s->path, why, doing);
    case SQLITE_NOMEM:
        return err_set(err, ST_NOMEM, "out of memory in the job store while %s", doing);
    case SQLITE_IOERR:
        return io_error(s, error, doing, err);
    default:
        return err_set(err, ST_INTERNAL, "the job store %s: %s while %s", s->path, why, doing);
    }
}

sqlite3_stmt *store_use(struct store *s, enum store_statement which)
{
    sqlite3_stmt *q = s->statement[which];
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return q;
}

enum status store_run(struct store *s, sqlite3_stmt *q, const char *doing, struct err *err)
{
    errno = 0;
    enum status st = sqlite3_step(q) == SQLITE_DONE ? ST_OK : store_error(s, doing, err);
    sqlite3_reset(q);
    return st;
}

enum status store_row(struct store *s, sqlite3_stmt *q, const char *doing, struct err *err)
{
    errno = 0;
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return ST_OK;
    enum status st = rc == SQLITE_DONE ? ST_NOT_FOUND : store_error(s, doing, err);
    sqlite3_reset(q);
    return st;
}

const char *store_text(sqlite3_stmt *q, int column)
{
    const char *t = (const char *)sqlite3_column_text(q, column);
    return t ? t : "";
}

/* An open read would keep COMMIT from truncating the log and ROLLBACK from running. */
static void end_reads(struct store *s)
{
    for (int i = 0; i < SQL_COUNT; i++)
        if (sqlite3_stmt_busy(s->statement[i]))
            sqlite3_reset(s->statement[i]);
}

void store_read_begin(struct store *s)
{
    if (!s->writing && !s->reading)
        s->reading = store_run(s, store_use(s, SQL_BEGIN_READ), "beginning to read", NULL) == ST_OK;
}

void store_read_end(struct store *s)
{
    if (!s->reading)
        return;
    end_reads(s);
    store_run(s, store_use(s, SQL_COMMIT), "ending to read", NULL);
    s->reading = false;
}

/* A statement that meets a full disk or an I/O error may make SQLite roll back by itself: what were written now would be
 * half a group, each statement committed alone. */
static enum status still_writing(struct store *s, struct err *err)
{
    if (!sqlite3_get_autocommit(s->db))
        return ST_OK;
    return err_set(
        err, ST_IO,
        "the job store %s gave up what was being written after an earlier error, so this "
        "was not written either; try again",
        s->path);
}

enum status store_write(struct store *s, struct err *err)
{
    if (s->writing)
        return still_writing(s, err);
    store_read_end(s);
    end_reads(s); /* a read left open would pin BEGIN to its old snapshot */
    TRY(store_run(s, store_use(s, SQL_BEGIN), "opening a transaction", err));
    s->writing = true;
    return ST_OK;
}

enum status store_commit(struct store *s, struct err *err)
{
    if (!s->writing)
        return ST_OK;
    end_reads(s);
    enum status st = store_run(s, store_use(s, SQL_COMMIT), "committing", err);
    if (st == ST_OK)
        s->writing = false;
    else
        store_rollback(s);
    return st;
}

void store_rollback(struct store *s)
{
    end_reads(s);
    /* SQLite may have rolled back by itself (disk full); then there is nothing left to do. */
    if (!sqlite3_get_autocommit(s->db))
        store_run(s, store_use(s, SQL_ROLLBACK), "rolling back", NULL);
    s->writing = s->reading = false;
    memset(s->series, 0, sizeof s->series);
}

bool store_is_writing(const struct store *s)
{
    return s->writing;
}

int store_schema_version(void)
{
    return store_migration_count;
}

static enum status run_script(struct store *s, const char *sql, const char *doing, struct err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? ST_OK
                                                                   : store_error(s, doing, err);
}

static enum status read_version(struct store *s, int *ret_version, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;
    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK ||
        sqlite3_step(q) != SQLITE_ROW)
        st = store_error(s, "reading its version", err);
    else
        *ret_version = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return st;
}

static enum status migrate_one(struct store *s, int version, struct err *err)
{
    char set[64];
    snprintf(set, sizeof set, "PRAGMA user_version = %d", version);
    TRY(run_script(s, "BEGIN IMMEDIATE", "bringing its schema up to date", err));
    enum status st =
        run_script(s, store_migrations[version - 1], "bringing its schema up to date", err);
    if (st == ST_OK)
        st = run_script(s, set, "bringing its schema up to date", err);
    if (st == ST_OK)
        st = run_script(s, "COMMIT", "bringing its schema up to date", err);
    if (st != ST_OK)
        run_script(s, "ROLLBACK", "rolling back", NULL);
    return st;
}

static enum status migrate(struct store *s, struct err *err)
{
    int version = 0;
    TRY(read_version(s, &version, err));
    if (version > store_migration_count)
        return err_set(err, ST_UNSUPPORTED,
                       "the job store %s has schema %d, made by a newer espalierd; this one knows "
                       "schemas up to %d: install the newer version, or restore a backup",
                       s->path, version, store_migration_count);
    while (version < store_migration_count)
        TRY(migrate_one(s, ++version, err));
    return ST_OK;
}

/* Its version is ours, and a table or column that we need is not there. */
static enum status other_tables(const struct store *s, struct err *err)
{
    return err_set(err, ST_UNSUPPORTED,
                   "the job store %s says schema %d and has other tables (%s): it was made by an "
                   "espalierd that was never released; move its home aside and begin with an empty "
                   "one, or restore a backup",
                   s->path, store_migration_count, sqlite3_errmsg(s->db));
}

static enum status prepare_all(struct store *s, struct err *err)
{
    for (int i = 0; i < SQL_COUNT; i++)
        if (sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &s->statement[i], NULL) != SQLITE_OK)
            return sqlite3_errcode(s->db) == SQLITE_ERROR
                       ? other_tables(s, err)
                       : store_error(s, "preparing its statements", err);
    return ST_OK;
}

static enum status open_file(struct store *s, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    /* Counts that nobody reads, under a lock at every allocation. Refused once SQLite is in use: then it is set. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK)
        return s->db ? store_error(s, "opening it", err)
                     : err_set(err, ST_NOMEM, "out of memory opening %s", s->path);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    TRY(run_script(s, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; " CACHE, "opening it",
                   err));
    /* Reads the header, so a foreign or newer file is refused before anything in it is touched. */
    int version = 0;
    TRY(read_version(s, &version, err));
    if (version <= store_migration_count)
        TRY(run_script(s, "PRAGMA journal_mode = WAL", "opening it", err));
    TRY(migrate(s, err));
    return prepare_all(s, err);
}

enum status store_open(struct store **ret_store, const char *path, struct err *err)
{
    struct store *s = calloc(1, sizeof *s);
    if (s)
        s->path = strdup(path);
    if (!s || !s->path) {
        store_close(s);
        return err_set(err, ST_NOMEM, "out of memory opening %s", path);
    }
    enum status st = open_file(s, err);
    if (st == ST_OK && sqlite3_db_readonly(s->db, "main") == 1)
        st = err_set(err, ST_UNAVAILABLE,
                     "the job store %s is read-only; make the file and its folder writable for the "
                     "daemon's account",
                     path);
    if (st != ST_OK) {
        store_close(s);
        return st;
    }
    *ret_store = s;
    return ST_OK;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->writing)
        store_rollback(s);
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}
