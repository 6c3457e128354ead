/* backup.c - see backup.h. */
#include "store/backup.h"

#include "base/file.h"
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 10000
#define TEMP_MAX 4352

/* ---- connections ------------------------------------------------------------------------------ */

static enum status failed(sqlite3 *db, const char *path, const char *doing, struct err *err)
{
    int code = sqlite3_errcode(db) & 0xff;
    enum status st = code == SQLITE_FULL                               ? ST_LIMIT
                     : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ST_CORRUPT
                     : code == SQLITE_NOMEM                            ? ST_NOMEM
                     : code == SQLITE_BUSY || code == SQLITE_LOCKED    ? ST_UNAVAILABLE
                                                                       : ST_IO;
    return err_set(err, st, "%s %s: %s", doing, path, sqlite3_errmsg(db));
}

static enum status open_db(sqlite3 **ret_db, const char *path, int flags, struct err *err)
{
    sqlite3 *db = NULL;
    if (!(flags & SQLITE_OPEN_CREATE) && access(path, F_OK) != 0)
        return err_errno(err, "cannot open %s", path);
    if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        enum status st = db ? failed(db, path, "opening", err)
                            : err_set(err, ST_NOMEM, "out of memory opening %s", path);
        sqlite3_close(db);
        return st;
    }
    sqlite3_busy_timeout(db, BUSY_MS);
    *ret_db = db;
    return ST_OK;
}

/* The one number that a query gives; a NULL counts as 0. */
static enum status number(sqlite3 *db, const char *path, const char *sql, int64_t *ret_n,
                          struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        *ret_n = sqlite3_column_int64(q, 0);
    else
        st = failed(db, path, "reading", err);
    sqlite3_finalize(q);
    return st;
}

/* ---- is it a store, and a whole one? ---------------------------------------------------------- */

static enum status check_pages(sqlite3 *db, const char *path, struct err *err)
{
    sqlite3_stmt *q = NULL;
    enum status st = ST_OK;
    if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &q, NULL) != SQLITE_OK ||
        sqlite3_step(q) != SQLITE_ROW)
        st = failed(db, path, "checking", err);
    else if (strcmp(store_text(q, 0), "ok") != 0)
        st = err_set(err, ST_CORRUPT, "%s is damaged: %.200s", path, store_text(q, 0));
    sqlite3_finalize(q);
    return st;
}

static enum status read_facts(sqlite3 *db, const char *path, struct store_facts *ret_facts,
                              struct err *err)
{
    struct store_facts f = {0};
    struct stat sb;
    int64_t version = 0, tables = 0;
    TRY(check_pages(db, path, err));
    TRY(number(db, path, "PRAGMA user_version", &version, err));
    TRY(number(db, path,
               "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN "
               "('jobs', 'events', 'attempts', 'submissions')",
               &tables, err));
    if (version < 1 || tables != 4)
        return err_set(err, ST_CORRUPT, "%s is no job store of espalierd", path);
    if (version > store_migration_count)
        return err_set(
            err, ST_UNSUPPORTED,
            "%s has schema %lld, made by a newer espalierd; this one knows schemas up to "
            "%d",
            path, (long long)version, store_migration_count);
    f.schema = (int)version;
    TRY(number(db, path, "SELECT count(*) FROM jobs", &f.jobs, err));
    TRY(number(db, path, "SELECT count(*) FROM events", &f.events, err));
    f.size_bytes = stat(path, &sb) == 0 ? sb.st_size : 0;
    *ret_facts = f;
    return ST_OK;
}

/* ---- copying ---------------------------------------------------------------------------------- */

/* All pages in one step: one read transaction, so one moment; in WAL mode the writer is not held up. */
static enum status copy_pages(sqlite3 *from, const char *from_path, sqlite3 *to,
                              const char *to_path, struct err *err)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (!b)
        return failed(to, to_path, "writing", err);
    int rc = sqlite3_backup_step(b, -1);
    if (sqlite3_backup_finish(b) != SQLITE_OK || rc != SQLITE_DONE)
        return sqlite3_errcode(to) != SQLITE_OK ? failed(to, to_path, "writing", err)
                                                : failed(from, from_path, "reading", err);
    /* One file, without a log beside it. */
    return sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) == SQLITE_OK
               ? ST_OK
               : failed(to, to_path, "writing", err);
}

static enum status copy(const char *path, const char *temp, struct err *err)
{
    sqlite3 *from = NULL, *to = NULL;
    /* Created here, not by SQLite: closed to others from its first byte on. */
    int fd = open(temp, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "cannot write %s", temp);
    close(fd);
    enum status st = open_db(&from, path, SQLITE_OPEN_READWRITE, err);
    if (st == ST_OK)
        st = open_db(&to, temp, SQLITE_OPEN_READWRITE, err);
    if (st == ST_OK)
        st = copy_pages(from, path, to, temp, err);
    sqlite3_close(to);
    sqlite3_close(from);
    return st;
}

static enum status facts_of(const char *path, struct store_facts *ret_facts, struct err *err)
{
    sqlite3 *db = NULL;
    TRY(open_db(&db, path, SQLITE_OPEN_READONLY, err));
    enum status st = read_facts(db, path, ret_facts, err);
    sqlite3_close(db);
    return st;
}

static enum status sync_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status st = fd < 0 || fsync(fd) < 0 ? err_errno(err, "cannot sync %s", path) : ST_OK;
    if (fd >= 0)
        close(fd);
    return st;
}

static enum status move_file(const char *from, const char *to, struct err *err)
{
    if (rename(from, to) < 0)
        return err_errno(err, "cannot rename %s to %s", from, to);
    return file_sync_parent(to, err);
}

static enum status temp_name(char ret[TEMP_MAX], const char *beside, struct err *err)
{
    int n = snprintf(ret, TEMP_MAX, "%s.tmp.%d", beside, (int)getpid());
    return n < TEMP_MAX ? ST_OK
                        : err_set(err, ST_INVALID, "the path %.100s... is too long", beside);
}

enum status store_backup(const char *path, const char *to, struct store_facts *ret_facts,
                         struct err *err)
{
    char temp[TEMP_MAX];
    struct store_facts facts;
    TRY(temp_name(temp, to, err));
    enum status st = copy(path, temp, err);
    if (st == ST_OK)
        st = facts_of(temp, &facts, err);
    if (st == ST_OK)
        st = sync_file(temp, err);
    if (st == ST_OK)
        st = move_file(temp, to, err);
    if (st == ST_OK)
        *ret_facts = facts;
    else
        unlink(temp);
    return st;
}

/* ---- the way back ----------------------------------------------------------------------------- */

/* Later numbers than those of `table` may have been given out: at least `least` counts as given. */
static enum status raise_sequence(sqlite3 *db, const char *path, const char *table, int64_t least,
                                  struct err *err)
{
    static const char *const sql[] = {
        "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 WHERE NOT EXISTS "
        "(SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
        "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1"};
    enum status st = ST_OK;
    for (int i = 0; st == ST_OK && i < 2; i++) {
        sqlite3_stmt *q = NULL;
        if (sqlite3_prepare_v2(db, sql[i], -1, &q, NULL) == SQLITE_OK) {
            sqlite3_bind_text(q, 1, table, -1, SQLITE_STATIC);
            if (i == 1)
                sqlite3_bind_int64(q, 2, least);
        }
        if (!q || sqlite3_step(q) != SQLITE_DONE)
            st = failed(db, path, "writing", err);
        sqlite3_finalize(q);
    }
    return st;
}

/* What the store in the way has given out, as far as that can be told. */
static void raise_to_old(const char *path, int64_t *job, int64_t *cursor)
{
    sqlite3 *db = NULL;
    int64_t n = 0;
    if (open_db(&db, path, SQLITE_OPEN_READWRITE, NULL) != ST_OK)
        return;
    if (number(db, path, "SELECT seq FROM sqlite_sequence WHERE name = 'jobs'", &n, NULL) == ST_OK)
        *job = n > *job ? n : *job;
    if (number(db, path, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", &n, NULL) ==
        ST_OK)
        *cursor = n > *cursor ? n : *cursor;
    sqlite3_close(db);
}

enum status store_reserve(const char *path, int64_t last_job, struct err *err)
{
    sqlite3 *db = NULL;
    if (last_job == 0)
        return ST_OK;
    TRY(open_db(&db, path, SQLITE_OPEN_READWRITE, err));
    enum status st = raise_sequence(db, path, "jobs", last_job, err);
    sqlite3_close(db);
    return st;
}

/* Who restores it says to which home it belongs from now on. */
static enum status forget_home(sqlite3 *db, const char *path, struct err *err)
{
    int64_t marks = 0;
    TRY(number(db, path, "SELECT count(*) FROM sqlite_master WHERE name = 'marks'", &marks, err));
    bool gone =
        marks == 0 || sqlite3_exec(db, "DELETE FROM marks WHERE name = '" STORE_MARK_HOME "'", NULL,
                                   NULL, NULL) == SQLITE_OK;
    return gone ? ST_OK : failed(db, path, "writing", err);
}

static enum status reserve(const char *temp, const char *old, int64_t last_job, struct err *err)
{
    sqlite3 *db = NULL;
    int64_t cursor = 0;
    raise_to_old(old, &last_job, &cursor);
    TRY(open_db(&db, temp, SQLITE_OPEN_READWRITE, err));
    enum status st = raise_sequence(db, temp, "jobs", last_job, err);
    if (st == ST_OK)
        st = raise_sequence(db, temp, "events", cursor, err);
    if (st == ST_OK)
        st = forget_home(db, temp, err);
    sqlite3_close(db);
    return st;
}

/* The store and its log move together; a log without its store, or the other way round, would be a trap. */
static enum status set_aside(const char *path, struct err *err)
{
    static const char *const ends[] = {"-shm", "-wal", ""};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char from[TEMP_MAX], to[TEMP_MAX];
        snprintf(from, sizeof from, "%s%s", path, ends[i]);
        snprintf(to, sizeof to, "%s.before-restore%s", path, ends[i]);
        unlink(to);
        if (access(from, F_OK) == 0)
            TRY(move_file(from, to, err));
    }
    return ST_OK;
}

enum status store_restore(const char *path, const char *from, int64_t last_job,
                          struct store_facts *ret_facts, struct err *err)
{
    char temp[TEMP_MAX];
    struct store_facts facts;
    TRY(temp_name(temp, path, err));
    enum status st = copy(from, temp, err);
    if (st == ST_OK)
        st = facts_of(temp, &facts, err);
    if (st == ST_OK)
        st = reserve(temp, path, last_job, err);
    if (st == ST_OK)
        st = sync_file(temp, err);
    if (st == ST_OK)
        st = set_aside(path, err);
    if (st == ST_OK)
        st = move_file(temp, path, err);
    if (st == ST_OK)
        *ret_facts = facts;
    else
        unlink(temp);
    return st;
}
