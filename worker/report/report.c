/* report.c - see report.h: records in, numbered, spooled; the link's life. */
#include "report/link.h"

#include "base/clock.h"
#include "base/rng.h"
#include "espalier/v1/report.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPACT_SLACK                                                                              \
    ((size_t)1                                                                                     \
     << 20) /* bytes of delivered records that a spool file may hold                     \
                       */

/* A sentence may quote a file's name, which may be any bytes, and may end in the middle of a character: neither is a reason to lose
 * a job's end. */
#define SENTENCE_MAX ((size_t)2 * ERR_TEXT_MAX)

/* ---- life --------------------------------------------------------------------------------- */

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void report_free(struct report *r)
{
    rpc_client_close(r->client);
    record_drop_all(&r->waiting);
    spool_close(&r->spool);
    pthread_cond_destroy(&r->acked);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r->job_id);
    free(r->token);
    free(r->version);
    free(r);
}

static struct report *report_alloc(const struct report_options *o)
{
    struct report *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->job_id = strdup(o->job_id);
    r->token = strdup(o->token ? o->token : "");
    r->version = strdup(o->version ? o->version : "");
    r->attempt = o->attempt;
    r->spool_max = o->spool_max ? o->spool_max : REPORT_SPOOL_MAX;
    r->thin_at = r->spool_max;
    r->batch_max = REPORT_BATCH_MAX;
    r->spool.fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    cond_init(&r->changed);
    cond_init(&r->acked);
    if (r->job_id && r->token && r->version)
        return r;
    report_free(r);
    return NULL;
}

/* Waiting records are at most twice spool_max, and a file twice what waits and the slack (docs/internals/report.md). */
static size_t file_max(const struct report *r)
{
    return 4 * r->spool_max + COMPACT_SLACK + REPORT_RECORD_BYTES;
}

static enum status open_spool(struct report *r, const struct report_options *o, struct err *err)
{
    if (!o->spool_path)
        return ST_OK;
    TRY(spool_open(&r->spool, o->spool_path, r->job_id, r->attempt, file_max(r), &r->waiting,
                   &r->last, err));
    r->acknowledged = r->waiting.first ? r->waiting.first->number - 1 : r->last;
    if (!o->address)
        record_drop_all(&r->waiting); /* the file is all there is; nobody asks for them here */
    return ST_OK;
}

static enum status open_link(struct report *r, const struct report_options *o, struct err *err)
{
    if (!o->address)
        return ST_OK;
    struct rpc_access access = {.target = o->address, .tls.ca_file = o->ca_file};
    TRY(rpc_client_open_as(&r->client, &access, err));
    r->next_send = clock_mono_ns() / 1000000;
    int e = pthread_create(&r->thread, NULL, report_sender, r);
    if (!e)
        return ST_OK;
    return err_set(err, ST_LIMIT, "cannot start the report sender's thread: %s", strerror(e));
}

enum status report_open(struct report **ret_report, const struct report_options *options,
                        struct err *err)
{
    struct report *r = report_alloc(options);
    if (!r)
        return err_set(err, ST_NOMEM, "out of memory for the report link");
    enum status st = open_spool(r, options, err);
    if (st == ST_OK)
        st = open_link(r, options, err);
    if (st == ST_OK)
        *ret_report = r;
    else
        report_free(r);
    return st;
}

void report_close(struct report *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (r->client)
        pthread_join(r->thread, NULL);
    report_free(r);
}

/* ---- a record's way in, under the lock ---------------------------------------------------- */

void report_compact(struct report *r)
{
    if (r->spool.fd < 0 || !r->client || r->spool.bytes < 2 * r->waiting.bytes + COMPACT_SLACK)
        return;
    if (spool_rewrite(&r->spool, r->job_id, r->attempt, r->acknowledged, &r->waiting, NULL) ==
        ST_OK)
        r->spool_behind = false;
}

/* What waits: records in memory, or without a daemon the whole file. */
static size_t backlog(const struct report *r)
{
    return r->client ? r->waiting.bytes : r->spool.bytes;
}

static void thin(struct report *r)
{
    if (backlog(r) <= r->thin_at)
        return;
    record_thin(&r->waiting);
    report_compact(r);
    /* Where nothing can go, not every further record must look again. */
    size_t next = r->waiting.bytes + r->spool_max / 8;
    r->thin_at = next > r->spool_max ? next : r->spool_max;
}

static enum status spool_record(struct report *r, const struct record *rec, bool durable,
                                struct err *err)
{
    if (r->spool.fd < 0)
        return ST_OK;
    enum status st;
    /* Without a daemon the file is not a copy of the queue: it cannot be written anew. */
    if (r->spool_behind && durable && r->client)
        st = spool_rewrite(&r->spool, r->job_id, r->attempt, r->acknowledged, &r->waiting, err);
    else
        st = spool_append(&r->spool, SPOOL_RECORD, rec->bytes, rec->len, err);
    if (st == ST_OK && durable)
        st = spool_sync(&r->spool, err);
    if (st != ST_OK)
        r->spool_behind = true;
    else if (durable)
        r->spool_behind = false;
    return st;
}

static void schedule(struct report *r, bool urgent)
{
    r->urgent = r->urgent || urgent;
    if (!r->backoff_ms) {
        int64_t soon = urgent ? 0 : r->last_send + REPORT_GAP_MS;
        r->next_send = soon < r->next_send ? soon : r->next_send;
    }
    pthread_cond_signal(&r->changed);
}

/* May be thinned; may be refused; is neither until there is too much of it; a job's end, which has room whatever waits. */
enum weight { LIGHT, PLAIN, DURABLE, LAST };

static enum status push(struct report *r, struct record *rec, enum weight weight, struct err *err)
{
    bool durable = weight >= DURABLE;
    size_t most = weight == LAST ? SIZE_MAX
                  : durable      ? 2 * r->spool_max
                                 : r->spool_max + r->spool_max / 2;
    if (backlog(r) + rec->len > most) {
        free(rec);
        return err_set(err, ST_LIMIT, "the report spool is full: %zu bytes wait for the daemon",
                       backlog(r));
    }
    record_push(&r->waiting, rec);
    r->last = rec->number;
    enum status st = spool_record(r, rec, durable, err);
    thin(r);
    if (r->client)
        schedule(r, durable);
    else
        record_drop_all(&r->waiting);
    return st;
}

static enum status pack(struct record **ret_record, const Espalier__V1__Record *m,
                        enum weight weight, struct err *err)
{
    size_t len = espalier__v1__record__get_packed_size(m);
    if (len > REPORT_RECORD_BYTES)
        return err_set(err, ST_LIMIT, "a report of %zu bytes is too large, at most %zu go into one",
                       len, REPORT_RECORD_BYTES);
    if (!rpc_message_valid_utf8(&m->base))
        return err_set(err, ST_INVALID, "a report's text is not UTF-8");
    uint8_t *bytes = malloc(len);
    struct record *rec = NULL;
    if (bytes) {
        espalier__v1__record__pack(m, bytes);
        rec = record_create(m->number, weight == LIGHT ? record_series(bytes, len) : 0, bytes, len);
    }
    free(bytes);
    if (!rec)
        return err_set(err, ST_NOMEM, "out of memory for a report");
    *ret_record = rec;
    return ST_OK;
}

static enum status add_locked(struct report *r, Espalier__V1__Record *m, enum weight weight,
                              struct err *err)
{
    struct record *rec = NULL;
    m->time_ms = clock_system()->wall_ms(clock_system());
    m->number = r->last + 1;
    enum status st = pack(&rec, m, weight, err);
    return rec ? push(r, rec, weight, err) : st;
}

static enum status add(struct report *r, Espalier__V1__Record *m, enum weight weight,
                       struct err *err)
{
    pthread_mutex_lock(&r->lock);
    enum status st = add_locked(r, m, weight, err);
    pthread_mutex_unlock(&r->lock);
    return st;
}

/* ---- the records -------------------------------------------------------------------------- */

/* protobuf-c's fields are char *, what it packs it does not write to. */
static char *text(const char *s)
{
    return (char *)(s ? s : "");
}

enum status report_hello(struct report *r, const char *host, uint32_t ranks,
                         uint32_t threads_per_rank, const char *kernel_set, uint64_t resumed_step,
                         struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__Hello hello = ESPALIER__V1__HELLO__INIT;
    hello.host = text(host);
    hello.ranks = ranks;
    hello.threads_per_rank = threads_per_rank;
    hello.kernel_set = text(kernel_set);
    hello.resumed_step = resumed_step;
    m.kind_case = ESPALIER__V1__RECORD__KIND_HELLO;
    m.hello = &hello;
    return add(r, &m, PLAIN, err);
}

enum status report_progress(struct report *r, const struct report_progress *p, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__Progress progress = ESPALIER__V1__PROGRESS__INIT;
    progress.phase = text(p->phase);
    progress.step = p->step;
    progress.steps = p->steps;
    progress.total_step = p->total_step;
    progress.total_steps = p->total_steps;
    progress.loss = p->loss;
    progress.params_kept = p->params_kept;
    progress.params_target = p->params_target;
    progress.step_seconds = p->step_seconds;
    progress.eta_seconds = p->eta_seconds;
    progress.time_ms = clock_system()->wall_ms(clock_system());
    m.kind_case = ESPALIER__V1__RECORD__KIND_PROGRESS;
    m.progress = &progress;
    return add(r, &m, LIGHT, err);
}

enum status report_metric(struct report *r, const char *name, double value, const char *unit,
                          uint64_t total_step, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__Metric metric = ESPALIER__V1__METRIC__INIT;
    metric.name = text(name);
    metric.value = value;
    metric.unit = text(unit);
    metric.total_step = total_step;
    m.kind_case = ESPALIER__V1__RECORD__KIND_METRIC;
    m.metric = &metric;
    return add(r, &m, LIGHT, err);
}

enum status report_structure(struct report *r, const struct report_structure *s, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__StructureVersion structure = ESPALIER__V1__STRUCTURE_VERSION__INIT;
    structure.total_step = s->total_step;
    structure.params_kept = s->params_kept;
    structure.pruned = s->pruned;
    structure.shared = s->shared;
    structure.structure_json.data = (uint8_t *)text(s->json);
    structure.structure_json.len = strlen(text(s->json));
    m.kind_case = ESPALIER__V1__RECORD__KIND_STRUCTURE;
    m.structure = &structure;
    return add(r, &m, DURABLE, err);
}

enum status report_checkpoint(struct report *r, const struct report_checkpoint *c, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__CheckpointNote checkpoint = ESPALIER__V1__CHECKPOINT_NOTE__INIT;
    checkpoint.path = text(c->path);
    checkpoint.total_step = c->total_step;
    checkpoint.size_bytes = c->size_bytes;
    checkpoint.sha256 = text(c->sha256);
    checkpoint.phase = text(c->phase);
    checkpoint.metric_name = text(c->metric_name);
    checkpoint.metric = c->metric;
    checkpoint.attempt = c->attempt;
    m.kind_case = ESPALIER__V1__RECORD__KIND_CHECKPOINT;
    m.checkpoint = &checkpoint;
    return add(r, &m, DURABLE, err);
}

enum status report_inventory(struct report *r, const char *const *paths, size_t n, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__CheckpointInventory inventory = ESPALIER__V1__CHECKPOINT_INVENTORY__INIT;
    inventory.paths = (char **)paths;
    inventory.n_paths = n;
    m.kind_case = ESPALIER__V1__RECORD__KIND_INVENTORY;
    m.inventory = &inventory;
    return add(r, &m, PLAIN, err);
}

static enum status note_locked(struct report *r, Espalier__V1__Severity severity,
                               const char *sentence, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__Note note = ESPALIER__V1__NOTE__INIT;
    char clean[SENTENCE_MAX];
    rpc_clean_text(clean, sizeof clean, text(sentence));
    note.severity = severity;
    note.text = clean;
    m.kind_case = ESPALIER__V1__RECORD__KIND_NOTE;
    m.note = &note;
    return add_locked(r, &m, PLAIN, err);
}

enum status report_note(struct report *r, enum report_severity severity, const char *sentence,
                        struct err *err)
{
    static const Espalier__V1__Severity severities[] = {
        ESPALIER__V1__SEVERITY__SEVERITY_UNSPECIFIED,
        ESPALIER__V1__SEVERITY__SEVERITY_WARNING,
        ESPALIER__V1__SEVERITY__SEVERITY_ERROR,
    };
    pthread_mutex_lock(&r->lock);
    enum status st = note_locked(r, severities[severity], sentence, err);
    pthread_mutex_unlock(&r->lock);
    return st;
}

void report_warn_locked(struct report *r, const char *sentence)
{
    note_locked(r, ESPALIER__V1__SEVERITY__SEVERITY_WARNING, sentence, NULL);
}

enum status report_phase_done(struct report *r, const char *phase, double seconds, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__PhaseTime done = ESPALIER__V1__PHASE_TIME__INIT;
    done.phase = text(phase);
    done.seconds = seconds;
    m.kind_case = ESPALIER__V1__RECORD__KIND_PHASE_DONE;
    m.phase_done = &done;
    return add(r, &m, PLAIN, err);
}

enum status report_artifact(struct report *r, const char *name, uint64_t size_bytes,
                            const char *sha256, struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__Artifact artifact = ESPALIER__V1__ARTIFACT__INIT;
    artifact.name = text(name);
    artifact.size_bytes = size_bytes;
    artifact.sha256 = text(sha256);
    m.kind_case = ESPALIER__V1__RECORD__KIND_ARTIFACT;
    m.artifact = &artifact;
    return add(r, &m, DURABLE, err);
}

enum status report_done(struct report *r, bool success, const char *reason, const char *sentence,
                        struct err *err)
{
    Espalier__V1__Record m = ESPALIER__V1__RECORD__INIT;
    Espalier__V1__Done done = ESPALIER__V1__DONE__INIT;
    char clean[SENTENCE_MAX];
    rpc_clean_text(clean, sizeof clean, text(sentence));
    done.success = success;
    done.reason = text(reason);
    done.text = clean;
    m.kind_case = ESPALIER__V1__RECORD__KIND_DONE;
    m.done = &done;
    return add(r, &m, LAST, err);
}

/* ---- the other direction ------------------------------------------------------------------ */

bool report_stop_requested(struct report *r, char ret_reason[REPORT_REASON_MAX])
{
    pthread_mutex_lock(&r->lock);
    bool stop = r->stop;
    if (stop)
        memcpy(ret_reason, r->stop_reason, REPORT_REASON_MAX);
    pthread_mutex_unlock(&r->lock);
    return stop;
}

static enum status wait_acknowledged(struct report *r, int deadline_ms, struct err *err)
{
    int64_t ns = clock_mono_ns() + (int64_t)deadline_ms * 1000000;
    struct timespec until = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    uint64_t last = r->last;
    int e = 0;
    r->flushing++;
    r->backoff_ms = 0; /* somebody waits: try at once */
    schedule(r, true);
    while (r->waiting.first && r->waiting.first->number <= last && e == 0)
        e = pthread_cond_timedwait(&r->acked, &r->lock, &until);
    r->flushing--;
    if (!r->waiting.first || r->waiting.first->number > last)
        return ST_OK;
    return err_set(err, ST_TIMEOUT, "%zu reports still wait for the daemon after %d ms",
                   r->waiting.n, deadline_ms);
}

enum status report_flush(struct report *r, int deadline_ms, struct err *err)
{
    pthread_mutex_lock(&r->lock);
    enum status st = ST_OK;
    if (r->client)
        st = wait_acknowledged(r, deadline_ms, err);
    else if (r->spool.fd >= 0)
        st = spool_sync(&r->spool, err);
    pthread_mutex_unlock(&r->lock);
    return st;
}
