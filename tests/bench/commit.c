/* commit.c - what SQLite alone can do: the rows of a Submit, written in groups.
 *
 *     bench_commit DATABASE JOB GROUP SECONDS [SCHEMA...]
 *
 * Makes DATABASE with the daemon's own schema files, or takes a store that is there (WAL, synchronous = FULL as in
 * the daemon), then inserts what a Submit of bench_submit leaves there, GROUP jobs a transaction: the job, its
 * submission with the bytes of the file JOB, its first event, what it keeps of checkpoints, and the phases it plans.
 * Prints {"jobs", "seconds", "per_second", "commits_per_second"}.
 */
#include "base/clock.h"
#include "base/file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define SHAPE                                                                                      \
    "mdetr i64 p8 s0 c96 h4 f384 v4 t4 d64 H4 F256 e2 D2 q8 S48 L48 k64 V5 batch 32 micro 0 "      \
    "ranks 1 threads 1 gpus 0"
#define PLAN(phase, steps)                                                                         \
    "INSERT OR REPLACE INTO phase_plans (job_id, phase, shape, steps) "                            \
    "VALUES (?1, '" phase "', '" SHAPE "', " steps ")"

/* Of each, the job's number is the first parameter. */
static const char *const inserts[] = {
    "INSERT INTO jobs (request_id, digest, name, owner, state, over, reason, text, priority, "
    "ranks, threads, gpus_per_rank, cores, gpus, memory_bytes, time_limit_ms, submitted_ms, "
    "started_ms, ended_ms, changed_ms, exit_code, attempt, retries, on_stall, stall_ms, "
    "stall_factor) VALUES ('bench-12345-' || ?1, "
    "'b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c', "
    "'steps=1000000 step_ms=1000', 'somebody', 1, 0, '', '', 50, 1, 1, 0, 1, 0, 268435456, 0, "
    "1700000000000, 0, 0, 1700000000000, 0, 0, -1, 0, 300000, 10)",
    "INSERT INTO submissions (job_id, job_file, file_name, folder, overrides, structure) "
    "VALUES (?1, ?2, 'job.yaml', '/', '[ ]', '')",
    "INSERT INTO events (job_id, time_ms, kind, attempt, from_state, to_state, actor, reason, "
    "text) VALUES (?1, 1700000000000, 4, 0, 0, 1, 'user', '', '')",
    "INSERT OR REPLACE INTO keep_rules (job_id, last, best, best_by, quota_bytes) "
    "VALUES (?1, 2, 0, 'loss', 0)",
    PLAN("pretrain", "1000"),
    PLAN("evaluate", "0"),
    PLAN("export", "0"),
};
enum { INSERTS = sizeof inserts / sizeof *inserts };

struct commits {
    sqlite3 *db;
    sqlite3_stmt *statement[INSERTS];
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

static enum status run_file(struct commits *c, const char *path, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 1u << 20);
    enum status st = file_read(&sql, path, err);
    if (st == ST_OK)
        st = run_sql(c, buf_str(&sql), err);
    buf_fini(&sql);
    return st;
}

static enum status newest(struct commits *c, struct err *err)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(c->db, "SELECT coalesce(max(id), 0) FROM jobs", -1, &q, NULL) ==
                  SQLITE_OK &&
              sqlite3_step(q) == SQLITE_ROW;
    enum status st = ok ? ST_OK : fault(c, "finding the newest job", err);
    if (ok)
        c->jobs = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return st;
}

static enum status open_database(struct commits *c, const char *path, char **schema, int n,
                                 struct err *err)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (sqlite3_open(path, &c->db) != SQLITE_OK)
        return fault(c, path, err);
    TRY(run_sql(c, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL",
                err));
    for (int i = 0; i < n; i++)
        TRY(run_file(c, schema[i], err));
    for (int i = 0; i < INSERTS; i++)
        if (sqlite3_prepare_v2(c->db, inserts[i], -1, &c->statement[i], NULL) != SQLITE_OK)
            return fault(c, inserts[i], err);
    return newest(c, err);
}

static enum status insert(struct commits *c, sqlite3_stmt *q, int64_t id, struct err *err)
{
    sqlite3_bind_int64(q, 1, id);
    if (sqlite3_bind_parameter_count(q) == 2)
        sqlite3_bind_blob64(q, 2, c->file.data, c->file.len, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? ST_OK : fault(c, "inserting", err);
}

static enum status commit_group(struct commits *c, int64_t group, struct err *err)
{
    TRY(run_sql(c, "BEGIN IMMEDIATE", err));
    for (int64_t k = 0; k < group; k++) {
        int64_t id = ++c->jobs;
        for (int i = 0; i < INSERTS; i++)
            TRY(insert(c, c->statement[i], id, err));
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
    int64_t group = argc >= 5 ? strtoll(argv[3], NULL, 10) : 0;
    if (group < 1) {
        fputs("usage: bench_commit DATABASE JOB GROUP SECONDS [SCHEMA...]\n", stderr);
        return 2;
    }
    buf_init(&c.file, 1u << 20);
    enum status st = file_read(&c.file, argv[2], &err);
    if (st == ST_OK)
        st = open_database(&c, argv[1], argv + 5, argc - 5, &err);
    if (st == ST_OK)
        st = measure(&c, group, strtod(argv[4], NULL), &err);
    if (st != ST_OK)
        fprintf(stderr, "bench_commit: %s\n", err.text);
    for (int i = 0; i < INSERTS; i++)
        sqlite3_finalize(c.statement[i]);
    sqlite3_close(c.db);
    buf_fini(&c.file);
    return status_exit_code(st);
}
