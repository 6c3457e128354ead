/* commit.c - what SQLite alone can do: the rows of a Submit, written in groups.
 *
 *     bench_commit DATABASE SCHEMA JOB GROUP SECONDS
 *
 * Makes DATABASE with the daemon's own schema file (WAL, synchronous = FULL as in the daemon), then
 * inserts a job, its submission with the bytes of the file JOB, and its first event, GROUP of them
 * a transaction. Prints {"jobs", "seconds", "per_second", "commits_per_second"}.
 */
#include "base/clock.h"
#include "base/file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

struct commits {
    sqlite3 *db;
    sqlite3_stmt *job, *submission, *event;
    struct buf file;
    int64_t jobs, commits;
};

static enum status fault(struct commits *c, const char *doing, struct err *err)
{
    return err_set(err, ST_IO, "%s: %s", doing, sqlite3_errmsg(c->db));
}

static enum status run_sql(struct commits *c, const char *sql, struct err *err)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? ST_OK : fault(c, sql, err);
}

static enum status prepare(struct commits *c, sqlite3_stmt **ret, const char *sql, struct err *err)
{
    return sqlite3_prepare_v2(c->db, sql, -1, ret, NULL) == SQLITE_OK ? ST_OK : fault(c, sql, err);
}

static enum status open_database(struct commits *c, const char *path, const char *schema,
                                 struct err *err)
{
    if (sqlite3_open(path, &c->db) != SQLITE_OK)
        return fault(c, path, err);
    TRY(run_sql(c, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL",
                err));
    TRY(run_sql(c, schema, err));
    TRY(prepare(c, &c->job,
                "INSERT INTO jobs (request_id, digest, name, owner, state, over, reason, text, "
                "priority, ranks, threads, gpus_per_rank, cores, gpus, memory_bytes, "
                "time_limit_ms, submitted_ms, started_ms, ended_ms, changed_ms, exit_code, "
                "attempt) VALUES ('bench-peer-0-' || ?1, "
                "'b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c', 'benchmark', "
                "'somebody', 1, 0, '', '', 50, 1, 1, 0, 1, 0, 268435456, 0, 1700000000000, 0, 0, "
                "1700000000000, 0, 0)",
                err));
    TRY(prepare(c, &c->submission,
                "INSERT INTO submissions (job_id, job_file, file_name, folder, overrides) "
                "VALUES (?1, ?2, 'job.yaml', '/', '[ ]')",
                err));
    return prepare(c, &c->event,
                   "INSERT INTO events (job_id, time_ms, kind, attempt, from_state, to_state, "
                   "actor, reason, text) VALUES (?1, 1700000000000, 4, 0, 0, 1, 'user', '', '')",
                   err);
}

static enum status insert(struct commits *c, sqlite3_stmt *q, int64_t id, struct err *err)
{
    sqlite3_bind_int64(q, 1, id);
    if (q == c->submission)
        sqlite3_bind_blob64(q, 2, c->file.data, c->file.len, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? ST_OK : fault(c, "inserting", err);
}

static enum status commit_group(struct commits *c, int64_t group, struct err *err)
{
    TRY(run_sql(c, "BEGIN IMMEDIATE", err));
    for (int64_t i = 0; i < group; i++) {
        int64_t id = ++c->jobs;
        TRY(insert(c, c->job, id, err));
        TRY(insert(c, c->submission, id, err));
        TRY(insert(c, c->event, id, err));
    }
    c->commits++;
    return run_sql(c, "COMMIT", err);
}

static enum status measure(struct commits *c, int64_t group, double seconds, struct err *err)
{
    for (int i = 0; i < 5; i++)
        TRY(commit_group(c, group, err)); /* the log file grows */
    int64_t jobs = c->jobs, commits = c->commits, begun = clock_mono_ns();
    int64_t now = begun, end = begun + (int64_t)(seconds * 1e9);
    for (; now < end; now = clock_mono_ns())
        TRY(commit_group(c, group, err));
    double took = 1e-9 * (double)(now - begun);
    jobs = c->jobs - jobs;
    printf("{\"jobs\":%lld,\"seconds\":%.4f,\"per_second\":%.2f,\"commits_per_second\":%.2f}\n",
           (long long)jobs, took, (double)jobs / took, (double)(c->commits - commits) / took);
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct commits c = {0};
    struct err err;
    struct buf schema;
    int64_t group = argc == 6 ? strtoll(argv[4], NULL, 10) : 0;
    if (group < 1) {
        fputs("usage: bench_commit DATABASE SCHEMA JOB GROUP SECONDS\n", stderr);
        return 2;
    }
    buf_init(&schema, 1u << 20);
    buf_init(&c.file, 1u << 20);
    enum status st = file_read(&schema, argv[2], &err);
    if (st == ST_OK)
        st = file_read(&c.file, argv[3], &err);
    if (st == ST_OK)
        st = open_database(&c, argv[1], buf_str(&schema), &err);
    if (st == ST_OK)
        st = measure(&c, group, strtod(argv[5], NULL), &err);
    if (st != ST_OK)
        fprintf(stderr, "bench_commit: %s\n", err.text);
    sqlite3_finalize(c.job);
    sqlite3_finalize(c.submission);
    sqlite3_finalize(c.event);
    sqlite3_close(c.db);
    buf_fini(&schema);
    buf_fini(&c.file);
    return status_exit_code(st);
}
