/* insert.c - what SQLite alone can do: rows of metrics, written in groups.
 *
 *     bench_insert DATABASE GROUP SECONDS SCHEMA...
 *
 * Makes DATABASE with the daemon's own schema files (WAL, synchronous = FULL as in the daemon) and one job, then inserts
 * points as the daemon stores them, GROUP of them a transaction. Prints {"points", "seconds", "per_second"}.
 */
#include "base/clock.h"
#include "base/file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static enum status fault(sqlite3 *db, const char *doing, struct err *err)
{
    return err_set(err, ST_IO, "%s: %s", doing, sqlite3_errmsg(db));
}

static enum status run_sql(sqlite3 *db, const char *sql, struct err *err)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? ST_OK : fault(db, sql, err);
}

static enum status run_files(sqlite3 *db, char **paths, struct err *err)
{
    enum status st = ST_OK;
    for (; st == ST_OK && *paths; paths++) {
        struct buf sql;
        buf_init(&sql, 1u << 20);
        st = file_read(&sql, *paths, err);
        if (st == ST_OK)
            st = run_sql(db, buf_str(&sql), err);
        buf_fini(&sql);
    }
    return st;
}

static enum status open_database(sqlite3 **ret_db, const char *path, char **schema, struct err *err)
{
    if (sqlite3_open(path, ret_db) != SQLITE_OK)
        return fault(*ret_db, path, err);
    TRY(run_sql(*ret_db,
                "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL",
                err));
    TRY(run_files(*ret_db, schema, err));
    return run_sql(*ret_db,
                   "INSERT INTO jobs (id, request_id, digest, name, owner, state, over, reason, "
                   "text, priority, ranks, threads, gpus_per_rank, cores, gpus, memory_bytes, "
                   "time_limit_ms, submitted_ms, started_ms, ended_ms, changed_ms, exit_code, "
                   "attempt) VALUES (1, 'r', 'd', 'n', 'o', 4, 0, '', '', 50, 1, 1, 0, 1, 0, 1, 0, "
                   "1, 1, 0, 1, 0, 1)",
                   err);
}

static enum status insert_group(sqlite3 *db, sqlite3_stmt *q, int64_t group, int64_t *points,
                                struct err *err)
{
    static const char body[] = "\x0a\x07"
                               "bench.0\x11\0\0\0\0\0\0\x45\x40\x20\x2a";
    char series[16];
    TRY(run_sql(db, "BEGIN IMMEDIATE", err));
    for (int64_t i = 0; i < group; i++, ++*points) {
        snprintf(series, sizeof series, "bench.%d", (int)(*points % 8));
        sqlite3_bind_text(q, 1, series, -1, SQLITE_STATIC);
        sqlite3_bind_blob(q, 2, body, sizeof body - 1, SQLITE_STATIC);
        int rc = sqlite3_step(q);
        sqlite3_reset(q);
        if (rc != SQLITE_DONE)
            return fault(db, "inserting", err);
    }
    return run_sql(db, "COMMIT", err);
}

static enum status measure(sqlite3 *db, int64_t group, double seconds, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int64_t points = 0, begun = clock_mono_ns(), end = begun + (int64_t)(1e9 * seconds);
    if (sqlite3_prepare_v2(db,
                           "INSERT INTO events (job_id, time_ms, kind, series, attempt, body) "
                           "VALUES (1, 1700000000000, 6, ?1, 1, ?2)",
                           -1, &q, NULL) != SQLITE_OK)
        return fault(db, "preparing", err);
    enum status st = ST_OK;
    while (st == ST_OK && clock_mono_ns() < end)
        st = insert_group(db, q, group, &points, err);
    sqlite3_finalize(q);
    double took = 1e-9 * (double)(clock_mono_ns() - begun);
    if (st == ST_OK)
        printf("{\"points\":%lld,\"seconds\":%.4f,\"per_second\":%.2f}\n", (long long)points, took,
               (double)points / took);
    return st;
}

int main(int argc, char **argv)
{
    sqlite3 *db = NULL;
    struct err err;
    int64_t group = argc > 4 ? strtoll(argv[2], NULL, 10) : 0;
    if (group < 1) {
        fputs("usage: bench_insert DATABASE GROUP SECONDS SCHEMA...\n", stderr);
        return 2;
    }
    enum status st = open_database(&db, argv[1], argv + 4, &err);
    if (st == ST_OK)
        st = measure(db, group, strtod(argv[3], NULL), &err);
    if (st != ST_OK)
        fprintf(stderr, "bench_insert: %s\n", err.text);
    sqlite3_close(db);
    return status_exit_code(st);
}
