/* store.h - what is durable, in the domain's verbs. One writer: the loop's thread owns the store.
 *
 * Group commit. The first verb that writes opens a transaction; store_commit() makes all of it
 * durable at once (WAL, synchronous FULL). Reads see what the group has written. If any verb or the
 * commit fails, the caller rolls the whole group back and forgets what it knew: nothing of the
 * group happened.
 *
 * Errors: ST_UNAVAILABLE (locked by another program, or read-only), ST_LIMIT (disk full),
 * ST_CORRUPT, ST_IO, ST_NOMEM, each with a sentence that names the file. ST_NOT_FOUND where a verb
 * says so.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/err.h"
#include "job/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct keep_rule; /* jobfile/keep.h */

/* Creates the file if it is not there, brings an older schema up to date. ST_UNSUPPORTED for a
 * newer one. */
enum status store_open(struct store **ret_store, const char *path, struct err *err);
void store_close(struct store *s); /* NULL allowed; rolls an open group back */
int store_schema_version(void);    /* the newest this build knows */

enum status store_commit(struct store *s, struct err *err); /* ST_OK if nothing was written */
void store_rollback(struct store *s);
/* Many reads in between cost the locks of one. The first write ends it, as store_read_end() does; never wait with it
 * open. */
void store_read_begin(struct store *s);
void store_read_end(struct store *s);
bool store_is_writing(const struct store *s); /* a group is open */

/* ---- jobs ---------------------------------------------------------------------------------- */

/* What a client sent; borrowed for writing. */
struct submission {
    const char *request_id;
    const void *job_file;
    size_t job_file_len;
    const char *file_name, *folder, *overrides_json;
    const void *structure; /* that the search starts frozen on */
    size_t structure_len;  /* 0 = none */
};

/* job->id is set. digest: of the submission, to tell a repeated request from another one. */
enum status store_job_add(struct store *s, struct job *job, const struct submission *sub,
                          const char *digest, struct err *err);
/* Saves the snapshot (not the attempt). */
enum status store_job_save(struct store *s, const struct job *job, struct err *err);
/* Creates or replaces the row of job->attempt. */
enum status store_attempt_save(struct store *s, const struct job *job, struct err *err);
/* Attempts of a job with a larger number than `after`, the oldest first. Return false to stop early. */
typedef bool (*store_attempt_f)(const struct attempt *a, void *user);
enum status store_attempts(struct store *s, int64_t job_id, int after, store_attempt_f each,
                           void *user, struct err *err);
/* All rows of a job; its folder is noted as one that must go. */
enum status store_job_remove(struct store *s, int64_t id, struct err *err);
/* Jobs whose folder must go, at most `most`; how many. */
int store_removals(struct store *s, int64_t *ret_ids, int most);
enum status store_removal_done(struct store *s, int64_t id, struct err *err);
/* With its newest attempt. ST_NOT_FOUND. */
enum status store_job_load(struct store *s, int64_t id, struct job *ret_job, struct err *err);
/* Of an owner, or (NULL) of all. ST_NOT_FOUND: no job yet. */
enum status store_job_newest(struct store *s, const char *owner, int64_t *ret_id, struct err *err);
/* Only the owner; an event that is borrowed meanwhile stays valid. ST_NOT_FOUND. */
enum status store_job_owner(struct store *s, int64_t id, char ret_owner[JOB_OWNER_MAX],
                            struct err *err);
/* ST_NOT_FOUND: a new request. */
enum status store_job_by_request(struct store *s, const char *request_id, int64_t *ret_id,
                                 char ret_digest[65], struct err *err);
/* Text and bytes go to buffers that the caller has initialised; any may be NULL. ST_NOT_FOUND. */
enum status store_submission_load(struct store *s, int64_t id, struct buf *job_file,
                                  struct buf *folder, struct buf *overrides_json, struct err *err);

/* The structure that the search starts frozen on, added to an initialised buffer; nothing if there is none. */
enum status store_start_structure_load(struct store *s, int64_t id, struct buf *json,
                                       struct err *err);

/* Return false to stop early. */
typedef bool (*store_job_f)(const struct job *job, void *user);
enum status store_jobs_active(struct store *s, store_job_f each, void *user, struct err *err);
/* Ids below `before`, newest first, at most `limit`; of an owner or (NULL) of all; states: bit mask by number, 0 =
 * all. */
enum status store_jobs_page(struct store *s, int64_t before, const char *owner, uint64_t states,
                            int limit, store_job_f each, void *user, struct err *err);

/* Where the ranks of an attempt are: the text of placement_print(). */
#define STORE_PLACEMENT_MAX (8u << 20)
enum status store_placement_set(struct store *s, int64_t job_id, int attempt, const char *json,
                                struct err *err);
/* ST_NOT_FOUND (err untouched): none was kept. */
enum status store_placement_load(struct store *s, int64_t job_id, int attempt, struct buf *json,
                                 struct err *err);
/* A phase of a job to be: its steps, and the shape of jobs that take as long (service/estimate.h). */
enum status store_phase_plan_add(struct store *s, int64_t job_id, const char *phase,
                                 const char *shape, int64_t steps, struct err *err);
/* Of jobs of the shape: the phases that have ended, the newest job first; the newest 256 of them. */
typedef bool (*store_phase_plan_f)(int64_t job_id, const char *phase, int64_t steps, double seconds,
                                   void *user);
enum status store_phase_plans(struct store *s, const char *shape, store_phase_plan_f each,
                              void *user, struct err *err);
/* Nodes that a person has drained; a name may be of a node that is not configured any more. */
enum status store_node_drain(struct store *s, const char *host, bool drain, struct err *err);
enum status store_nodes_drained(struct store *s, bool (*each)(const char *host, void *user),
                                void *user, struct err *err);

/* The text of slurm_request_print(); a job that has one is in_slurm. In the group that adds the job. */
#define STORE_SLURM_MAX (64u << 10)
enum status store_slurm_set(struct store *s, int64_t job_id, const char *json, struct err *err);
/* ST_NOT_FOUND: it has none. */
enum status store_slurm_load(struct store *s, int64_t job_id, struct buf *json, struct err *err);

/* Whether the attempt has left a checkpoint that is still there. */
enum status store_attempt_saved(struct store *s, int64_t job_id, int attempt, bool *ret_saved,
                                struct err *err);

/* ---- events -------------------------------------------------------------------------------- */

/* Field numbers of the oneof in job.proto's Event. */
enum event_kind {
    EVENT_STATE = 4,
    EVENT_PROGRESS = 5,
    EVENT_METRIC = 6,
    EVENT_STRUCTURE = 7,
    EVENT_CHECKPOINT = 8,
    EVENT_NOTE = 9,
    EVENT_PHASE_DONE = 10,
};

struct event {
    int64_t cursor, job_id, time_ms;
    enum event_kind kind;
    int attempt;
    /* EVENT_STATE */
    enum job_state from, to;
    const char *actor, *reason, *text;
    /* any other kind: the packed message */
    const void *body;
    size_t body_len;
    const char *series; /* "" progress, a metric's name, NULL = never thinned */
};

/* Sets e->cursor. Thins the event's series when it has grown past STORE_SERIES_MAX. */
#define STORE_SERIES_MAX 4096
enum status store_event_append(struct store *s, struct event *e, struct err *err);

/* The first event after the cursor, of one job or (job_id 0) of all. Pointers in *ret_event are
 * valid until the next call on the store. ST_NOT_FOUND: none yet. */
enum status store_event_next(struct store *s, int64_t job_id, int64_t after,
                             struct event *ret_event, struct err *err);
/* The newest of a series ("" = progress); as above. */
enum status store_event_newest(struct store *s, int64_t job_id, const char *series,
                               struct event *ret_event, struct err *err);
int64_t store_event_last(struct store *s,
                         int64_t job_id); /* cursor of the job's newest; 0 = none or unreadable */

/* As store_event_next(), but changes of state only. */
enum status store_change_next(struct store *s, int64_t after, struct event *ret_event,
                              struct err *err);
/* Cursor of a job's newest change into one of the states (bit mask by number); 0 = none. */
enum status store_change_newest(struct store *s, int64_t job_id, uint64_t states,
                                int64_t *ret_cursor, struct err *err);
enum status store_cursor_last(struct store *s, int64_t *ret_cursor, struct err *err); /* 0 = none */

/* The mark that holds the id of the home that the store belongs to; not in a copy that is restored. */
#define STORE_MARK_HOME "home"

/* How far a reader of all events has come, kept under its name. ST_NOT_FOUND (err untouched): never set. */
enum status store_mark_set(struct store *s, const char *name, int64_t cursor, struct err *err);
enum status store_mark_load(struct store *s, const char *name, int64_t *ret_cursor,
                            struct err *err);

/* How many jobs stand in each state. */
enum status store_count_states(struct store *s, int64_t ret_counts[JOB_STATE_COUNT],
                               struct err *err);

/* ---- what a worker left --------------------------------------------------------------------- */

struct stored_structure {
    int version; /* 1, 2, ... */
    int64_t total_step;
    double params_kept, pruned, shared; /* fractions; -1 = not recorded */
    const char *sha256;                 /* of its JSON; not looked at by store_structure_add() */
};
/* A new version unless it equals the newest one. *ret_version: the version that holds it; *ret_new.
 */
enum status store_structure_add(struct store *s, int64_t job_id, const struct stored_structure *at,
                                const void *json, size_t len, int *ret_version, bool *ret_new,
                                struct err *err);
/* version 0 = the newest. ST_NOT_FOUND. */
enum status store_structure_load(struct store *s, int64_t job_id, int version, struct buf *json,
                                 int *ret_version, int64_t *ret_total_step, struct err *err);
/* By version; return false to stop early. */
typedef bool (*store_structure_f)(const struct stored_structure *st, void *user);
enum status store_structures(struct store *s, int64_t job_id, store_structure_f each, void *user,
                             struct err *err);

struct stored_file { /* an artifact */
    const char *name;
    int64_t size_bytes;
    const char *sha256;
};
/* Text is borrowed: when written the caller's, when read valid until the next call on the store. */
struct stored_checkpoint {
    const char *path; /* in the job's folder; what is pinned lies in checkpoints/pinned/ */
    int attempt;
    int64_t total_step, size_bytes;
    const char *sha256, *phase, *metric_name; /* metric_name "" = none */
    double metric;
    bool pinned;
    int64_t time_ms; /* 0 = not recorded: a row of schema 1 */
};
enum status store_checkpoint_add(struct store *s, int64_t job_id, const struct stored_checkpoint *c,
                                 struct err *err);
/* By its path, its file's name or its total step. ST_NOT_FOUND (err untouched). */
enum status store_checkpoint_find(struct store *s, int64_t job_id, const char *name,
                                  char ret_path[JOB_FILE_MAX], struct err *err);
/* By its path. ST_NOT_FOUND (err untouched). */
enum status store_checkpoint_load(struct store *s, int64_t job_id, const char *path,
                                  struct stored_checkpoint *ret_c, struct err *err);
enum status store_checkpoint_remove(struct store *s, int64_t job_id, const char *path,
                                    struct err *err);
/* Oldest first; return false to stop early. */
typedef bool (*store_checkpoint_f)(const struct stored_checkpoint *c, void *user);
enum status store_checkpoints(struct store *s, int64_t job_id, store_checkpoint_f each, void *user,
                              struct err *err);
/* The job file's rule; a job without one keeps two. */
enum status store_keep_rule_set(struct store *s, int64_t job_id, const struct keep_rule *rule,
                                struct err *err);
enum status store_keep_rule_load(struct store *s, int64_t job_id, struct keep_rule *ret_rule,
                                 struct err *err);

enum status store_artifact_add(struct store *s, int64_t job_id, const struct stored_file *f,
                               struct err *err);
typedef bool (*store_file_f)(const struct stored_file *f, void *user);
enum status store_artifacts(struct store *s, int64_t job_id, store_file_f each, void *user,
                            struct err *err);

/* The worker counts over attempts, so that a phase which a later attempt ends again has the later
 * number of seconds. */
enum status store_phase_set(struct store *s, int64_t job_id, const char *phase, double seconds,
                            struct err *err);
typedef bool (*store_phase_f)(const char *phase, double seconds, void *user);
enum status store_phases(struct store *s, int64_t job_id, store_phase_f each, void *user,
                         struct err *err);

/* ---- tokens: who may call over the network (store_tokens.c) ---------------------------------- */

#define STORE_TOKENS_MAX 1000 /* in force; and so many that are revoked are remembered */

struct token {
    char name[JOB_OWNER_MAX];
    int role;        /* number of job.proto's Role */
    char sha256[65]; /* of the token's text */
    int64_t created_ms, expires_ms, revoked_ms;
};
/* The very same again is no error: *ret_token is what was kept then. ST_EXISTS: the name has another one in force, or
 * the hash is another's. ST_LIMIT. */
enum status store_token_add(struct store *s, const struct token *token, struct token *ret_token,
                            struct err *err);
/* ST_NOT_FOUND: the name has none in force. */
enum status store_token_revoke(struct store *s, const char *name, int64_t now_ms,
                               struct token *ret_token, struct err *err);
typedef bool (*store_token_f)(const struct token *token, void *user);
enum status store_tokens(struct store *s, store_token_f each, void *user, struct err *err);

#endif
