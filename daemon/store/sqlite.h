/* sqlite.h - inside store/ only: the connection, its prepared statements, the translation of
 * errors. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/store.h"

#include <sqlite3.h>

/* Every statement of the store: name, SQL. Prepared once, at open. */
#define STORE_STATEMENTS(X)                                                                        \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(BEGIN_READ, "BEGIN DEFERRED")                                                                \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(JOB_ADD,                                                                                     \
      "INSERT INTO jobs (request_id, digest, name, owner, state, over, reason, text, priority, "   \
      "ranks, threads, gpus_per_rank, cores, gpus, memory_bytes, time_limit_ms, submitted_ms, "    \
      "started_ms, ended_ms, changed_ms, exit_code, attempt, retries, on_stall, stall_ms, "        \
      "stall_factor) "                                                                             \
      "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")                              \
    X(SUBMISSION_ADD, "INSERT INTO submissions (job_id, job_file, file_name, folder, overrides, "  \
                      "structure) VALUES (?,?,?,?,?,?)")                                           \
    X(JOB_SAVE,                                                                                    \
      "UPDATE jobs SET state = ?2, over = ?3, reason = ?4, text = ?5, priority = ?6, "             \
      "started_ms = ?7, ended_ms = ?8, changed_ms = ?9, exit_code = ?10, attempt = ?11, "          \
      "counted_from = ?12, not_before_ms = ?13, resume_from = ?14, resume_since = ?15 "            \
      "WHERE id = ?1")                                                                             \
    X(ATTEMPT_SAVE,                                                                                \
      "INSERT OR REPLACE INTO attempts (job_id, attempt, token, started_ms, ended_ms, exit_code, " \
      "signal, reason, reported, done, done_success, done_reason, done_text, host, resumed_step, " \
      "text) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")                                            \
    X(ATTEMPTS, "SELECT a.attempt, " STORE_ATTEMPT_COLUMNS " FROM attempts a WHERE a.job_id = ?1 " \
                "AND a.attempt > ?2 ORDER BY a.attempt")                                           \
    X(JOB_REMOVE, "DELETE FROM jobs WHERE id = ?1")                                                \
    X(REMOVAL_ADD, "INSERT INTO removals (job_id) VALUES (?1)")                                    \
    X(REMOVALS, "SELECT job_id FROM removals ORDER BY job_id LIMIT ?1")                            \
    X(REMOVAL_DONE, "DELETE FROM removals WHERE job_id = ?1")                                      \
    X(CHECKPOINT_FIND,                                                                             \
      "SELECT path FROM checkpoints WHERE job_id = ?1 AND (path = ?2 OR "                          \
      "substr(path, -length(?2) - 1) = '/' || ?2 OR total_step = ?2) ORDER BY path DESC LIMIT 1")  \
    X(JOB_LOAD, STORE_JOB_SELECT " WHERE j.id = ?1")                                               \
    X(JOB_NEWEST, "SELECT max(id) FROM jobs")                                                      \
    X(JOB_NEWEST_OF, "SELECT max(id) FROM jobs WHERE owner = ?1")                                  \
    X(JOB_OWNER, "SELECT owner FROM jobs WHERE id = ?1")                                           \
    X(JOB_BY_REQUEST, "SELECT id, digest FROM jobs WHERE request_id = ?1")                         \
    X(SUBMISSION_LOAD, "SELECT job_file, folder, overrides FROM submissions WHERE job_id = ?1")    \
    X(START_STRUCTURE_LOAD, "SELECT structure FROM submissions WHERE job_id = ?1")                 \
    X(JOBS_ACTIVE, STORE_JOB_SELECT " WHERE j.over = 0 ORDER BY j.id")                             \
    X(JOBS_PAGE, STORE_JOB_SELECT                                                                  \
      " WHERE j.id < ?1 AND (?2 = 0 OR (?2 >> j.state) & 1) ORDER BY j.id DESC LIMIT ?3")          \
    X(JOBS_PAGE_OF, STORE_JOB_SELECT " WHERE j.id < ?1 AND (?2 = 0 OR (?2 >> j.state) & 1) "       \
                                     "AND j.owner = ?4 ORDER BY j.id DESC LIMIT ?3")               \
    X(TOKEN_ADD, "INSERT INTO tokens (name, role, sha256, created_ms, expires_ms, revoked_ms) "    \
                 "VALUES (?1,?2,?3,?4,?5,?6)")                                                     \
    X(TOKEN_IN_FORCE, STORE_TOKEN_SELECT " WHERE name = ?1 AND revoked_ms = 0")                    \
    X(TOKEN_BY_HASH, STORE_TOKEN_SELECT " WHERE sha256 = ?1")                                      \
    X(TOKEN_REVOKE, "UPDATE tokens SET revoked_ms = ?2 WHERE name = ?1 AND revoked_ms = 0")        \
    X(TOKENS, STORE_TOKEN_SELECT " ORDER BY id DESC LIMIT ?1")                                     \
    X(TOKENS_FORGET, "DELETE FROM tokens WHERE revoked_ms > 0 AND id <= "                          \
                     "(SELECT max(id) - ?1 FROM tokens)")                                          \
    X(EVENT_ADD,                                                                                   \
      "INSERT INTO events (job_id, time_ms, kind, series, attempt, from_state, to_state, actor, "  \
      "reason, text, body) VALUES (?,?,?,?,?,?,?,?,?,?,?)")                                        \
    X(EVENT_NEXT_JOB,                                                                              \
      STORE_EVENT_SELECT " WHERE job_id = ?1 AND cursor > ?2 ORDER BY cursor LIMIT 1")             \
    X(EVENT_NEXT_ALL, STORE_EVENT_SELECT " WHERE cursor > ?2 ORDER BY cursor LIMIT 1")             \
    X(EVENT_NEWEST,                                                                                \
      STORE_EVENT_SELECT " WHERE job_id = ?1 AND series = ?2 ORDER BY cursor DESC LIMIT 1")        \
    X(EVENT_LAST, "SELECT max(cursor) FROM events WHERE job_id = ?1")                              \
    X(SERIES_COUNT, "SELECT count(*) FROM events WHERE job_id = ?1 AND series = ?2")               \
    X(SERIES_THIN,                                                                                 \
      "DELETE FROM events WHERE cursor IN (SELECT cursor FROM (SELECT cursor, "                    \
      "row_number() OVER (ORDER BY cursor) AS n FROM events WHERE job_id = ?1 AND series = ?2 "    \
      "ORDER BY cursor LIMIT ?3) WHERE n % 2 = 0)")                                                \
    X(STRUCTURE_ADD,                                                                               \
      "INSERT INTO structures (job_id, version, total_step, digest, json, params_kept, pruned, "   \
      "shared) VALUES (?,?,?,?,?,?,?,?)")                                                          \
    X(STRUCTURE_NEWEST,                                                                            \
      "SELECT version, digest FROM structures WHERE job_id = ?1 ORDER BY version DESC LIMIT 1")    \
    X(STRUCTURE_LOAD, "SELECT version, total_step, json FROM structures WHERE job_id = ?1 AND "    \
                      "(?2 = 0 OR version = ?2) ORDER BY version DESC LIMIT 1")                    \
    X(CHECKPOINT_ADD,                                                                              \
      "INSERT OR REPLACE INTO checkpoints (job_id, path, attempt, total_step, size_bytes, "        \
      "sha256, phase, metric_name, metric, pinned, time_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?)")       \
    X(CHECKPOINT_LOAD, STORE_CHECKPOINT_SELECT " WHERE job_id = ?1 AND path = ?2")                 \
    X(CHECKPOINTS, STORE_CHECKPOINT_SELECT " WHERE job_id = ?1 ORDER BY total_step, path")         \
    X(CHECKPOINT_REMOVE, "DELETE FROM checkpoints WHERE job_id = ?1 AND path = ?2")                \
    X(KEEP_RULE_SET, "INSERT OR REPLACE INTO keep_rules (job_id, last, best, best_by, "            \
                     "quota_bytes) VALUES (?,?,?,?,?)")                                            \
    X(KEEP_RULE_LOAD, "SELECT last, best, best_by, quota_bytes FROM keep_rules WHERE job_id = ?1") \
    X(STRUCTURES, "SELECT version, total_step, digest, params_kept, pruned, shared FROM "          \
                  "structures WHERE job_id = ?1 ORDER BY version")                                 \
    X(ARTIFACT_ADD,                                                                                \
      "INSERT OR REPLACE INTO artifacts (job_id, name, size_bytes, sha256) VALUES (?,?,?,?)")      \
    X(ARTIFACTS, "SELECT name, size_bytes, sha256 FROM artifacts WHERE job_id = ?1 ORDER BY name") \
    X(PHASE_SET, "INSERT INTO phase_times (job_id, phase, ordinal, seconds) VALUES (?1, ?2, "      \
                 "(SELECT count(*) FROM phase_times WHERE job_id = ?1), ?3) "                      \
                 "ON CONFLICT (job_id, phase) DO UPDATE SET seconds = excluded.seconds")           \
    X(PHASES, "SELECT phase, seconds FROM phase_times WHERE job_id = ?1 ORDER BY ordinal")         \
    X(NODE_DRAIN, "INSERT OR IGNORE INTO drained_nodes (host) VALUES (?1)")                        \
    X(NODE_RESUME, "DELETE FROM drained_nodes WHERE host = ?1")                                    \
    X(NODES_DRAINED, "SELECT host FROM drained_nodes ORDER BY host")                               \
    X(PHASE_PLAN_ADD,                                                                              \
      "INSERT OR REPLACE INTO phase_plans (job_id, phase, shape, steps) VALUES (?,?,?,?)")         \
    X(PHASE_PLANS, "SELECT p.job_id, p.phase, p.steps, t.seconds FROM phase_plans p "              \
                   "JOIN phase_times t ON t.job_id = p.job_id AND t.phase = p.phase "              \
                   "WHERE p.shape = ?1 AND p.timed = 1 ORDER BY p.job_id DESC LIMIT 256")          \
    X(PLACEMENT_SET, "INSERT OR REPLACE INTO placements (job_id, attempt, json) VALUES (?,?,?)")   \
    X(PLACEMENT_LOAD, "SELECT json FROM placements WHERE job_id = ?1 AND attempt = ?2")            \
    X(SLURM_SET, "INSERT INTO slurm_requests (job_id, json) VALUES (?,?)")                         \
    X(SLURM_LOAD, "SELECT json FROM slurm_requests WHERE job_id = ?1")                             \
    X(ATTEMPT_SAVED, "SELECT count(*) FROM checkpoints WHERE job_id = ?1 AND attempt = ?2")        \
    X(STATE_COUNTS, "SELECT state, count(*) FROM jobs GROUP BY state")                             \
    X(CURSOR_LAST, "SELECT max(cursor) FROM events")                                               \
    X(CHANGE_NEXT, STORE_EVENT_SELECT " WHERE kind = 4 AND cursor > ?1 ORDER BY cursor LIMIT 1")   \
    X(CHANGE_NEWEST, "SELECT max(cursor) FROM events WHERE job_id = ?1 AND kind = 4 "              \
                     "AND (?2 >> to_state) & 1")                                                   \
    X(MARK_SET, "INSERT OR REPLACE INTO marks (name, cursor) VALUES (?,?)")                        \
    X(MARK, "SELECT cursor FROM marks WHERE name = ?1")

#define STORE_ATTEMPT_COLUMNS                                                                      \
    "a.token, a.started_ms, a.ended_ms, a.exit_code, a.signal, a.reason, a.reported, a.done, "     \
    "a.done_success, a.done_reason, a.done_text, a.host, a.resumed_step, a.text"

#define STORE_JOB_SELECT                                                                           \
    "SELECT j.id, j.name, j.owner, j.state, j.reason, j.text, j.priority, j.ranks, j.threads, "    \
    "j.gpus_per_rank, j.cores, j.gpus, j.memory_bytes, j.time_limit_ms, j.submitted_ms, "          \
    "j.started_ms, j.ended_ms, j.changed_ms, j.exit_code, j.retries, j.counted_from, "             \
    "j.not_before_ms, j.on_stall, j.stall_ms, j.stall_factor, j.resume_from, j.resume_since, "     \
    "EXISTS (SELECT 1 FROM slurm_requests s WHERE s.job_id = j.id), "                              \
    "j.attempt, " STORE_ATTEMPT_COLUMNS " "                                                        \
    "FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id AND a.attempt = j.attempt"

#define STORE_TOKEN_SELECT                                                                         \
    "SELECT name, role, sha256, created_ms, expires_ms, revoked_ms FROM tokens"

#define STORE_CHECKPOINT_SELECT                                                                    \
    "SELECT path, attempt, total_step, size_bytes, sha256, phase, metric_name, metric, pinned, "   \
    "time_ms FROM checkpoints"

#define STORE_EVENT_SELECT                                                                         \
    "SELECT cursor, job_id, time_ms, kind, attempt, from_state, to_state, actor, reason, text, "   \
    "body, series FROM events"

#define STORE_STATEMENT_ENUM(name, sql) SQL_##name,
enum store_statement { STORE_STATEMENTS(STORE_STATEMENT_ENUM) SQL_COUNT };
#undef STORE_STATEMENT_ENUM

#define SERIES_KNOWN 64 /* a power of two */

struct store {
    sqlite3 *db;
    char *path;
    bool writing; /* between BEGIN and COMMIT or ROLLBACK */
    bool reading; /* between store_read_begin() and store_read_end() */
    sqlite3_stmt *statement[SQL_COUNT];
    /* How long the series are that were written last, so that appending need not count each time.
     */
    struct series_length {
        uint64_t key; /* 0 = free */
        int64_t points;
    } series[SERIES_KNOWN];
};

/* One migration: schema/NNN_*.sql, embedded at build time, in order from 1. */
extern const char *const store_migrations[];
extern const int store_migration_count;

/* The only place that knows SQLite's codes. */
enum status store_error(struct store *s, const char *doing, struct err *err);

/* A statement ready for bindings; the last user's row is gone. */
sqlite3_stmt *store_use(struct store *s, enum store_statement which);
/* Opens the group if there is none. */
enum status store_write(struct store *s, struct err *err);
/* Runs a statement that gives no row, and resets it. */
enum status store_run(struct store *s, sqlite3_stmt *q, const char *doing, struct err *err);
/* One row or ST_NOT_FOUND (err untouched); the row is valid until the statement is used again. */
enum status store_row(struct store *s, sqlite3_stmt *q, const char *doing, struct err *err);
/* Never NULL. */
const char *store_text(sqlite3_stmt *q, int column);

#endif
