/* records.c - see records.h. */
#include "job/records.h"

#include "daemon.h"
#include "job/change.h"
#include "job/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_SERIES "#note" /* no metric's name starts with '#' */
#define NOTE_MAX 512
#define METRIC_NAME_MAX 128
#define SHA256_HEX 64
#define PHASE_SECONDS_MAX 1e10

static int64_t time_of(const struct daemon *d, const Espalier__V1__Record *r)
{
    return r->time_ms > 0 ? r->time_ms : daemon_now_ms(d);
}

static enum status append(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                          enum event_kind kind, const char *series, const ProtobufCMessage *body,
                          struct err *err)
{
    size_t len = protobuf_c_message_get_packed_size(body);
    uint8_t *bytes = malloc(len ? len : 1);
    if (!bytes)
        return err_set(err, ST_NOMEM, "out of memory for a record of job %lld",
                       (long long)a->job.id);
    protobuf_c_message_pack(body, bytes);
    struct event e = {.job_id = a->job.id,
                      .time_ms = time_of(d, r),
                      .kind = kind,
                      .attempt = a->job.attempt.number,
                      .series = series,
                      .body = bytes,
                      .body_len = len};
    enum status st = store_event_append(d->store, &e, err);
    free(bytes);
    return st;
}

static enum status note(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                        Espalier__V1__Severity severity, const char *text, struct err *err)
{
    Espalier__V1__Note n = ESPALIER__V1__NOTE__INIT;
    char clean[NOTE_MAX];
    text_clean(clean, sizeof clean, text);
    n.severity = severity;
    n.text = clean;
    return append(d, a, r, EVENT_NOTE, NOTE_SERIES, &n.base, err);
}

static enum status refuse(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                          const char *what, struct err *err)
{
    char text[256];
    snprintf(text, sizeof text, "record %llu of attempt %d was dropped: %s",
             (unsigned long long)r->number, a->job.attempt.number, what);
    return note(d, a, r, ESPALIER__V1__SEVERITY__SEVERITY_WARNING, text, err);
}

static enum status take_hello(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                              struct err *err)
{
    const Espalier__V1__Hello *h = r->hello;
    text_clean(a->job.attempt.host, sizeof a->job.attempt.host, h->host);
    a->job.attempt.resumed_step = (int64_t)h->resumed_step;
    char text[512], resumed[64] = "from the start";
    if (h->resumed_step)
        snprintf(resumed, sizeof resumed, "resumed from step %llu",
                 (unsigned long long)h->resumed_step);
    snprintf(text, sizeof text, "attempt %d: %u rank%s x %u thread%s on %.100s, kernels %.100s, %s",
             a->job.attempt.number, h->ranks, h->ranks == 1 ? "" : "s", h->threads_per_rank,
             h->threads_per_rank == 1 ? "" : "s", h->host, h->kernel_set, resumed);
    return note(d, a, r, ESPALIER__V1__SEVERITY__SEVERITY_UNSPECIFIED, text, err);
}

/* Silence would look like a stall, so progress is taken whatever it says; what is no number is not known. */
static void clean_progress(Espalier__V1__Progress *p, int64_t time_ms)
{
    p->params_kept = isfinite(p->params_kept) ? p->params_kept : 0;
    p->params_target = isfinite(p->params_target) ? p->params_target : 0;
    p->step_seconds = isfinite(p->step_seconds) ? p->step_seconds : 0;
    p->eta_seconds = isfinite(p->eta_seconds) ? p->eta_seconds : -1;
    p->time_ms = p->time_ms > 0 ? p->time_ms : time_ms;
}

static enum status take_progress(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                                 struct err *err)
{
    if (a->job.state == JOB_STALLED)
        TRY(job_apply(d, a, ON_STEP, &(struct change){.actor = "worker"}, err));
    Espalier__V1__Progress *p = r->progress;
    clean_progress(p, time_of(d, r));
    a->progress.step_seconds = p->step_seconds;
    a->progress.params_kept = p->params_kept;
    a->progress.done = p->total_steps ? (double)p->total_step / (double)p->total_steps : 0;
    stall_note_step(d, a);
    return append(d, a, r, EVENT_PROGRESS, "", &p->base, err);
}

static enum status take_metric(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                               struct err *err)
{
    const char *name = r->metric->name;
    if (*name == '\0' || *name == '#' || strlen(name) > METRIC_NAME_MAX)
        return refuse(d, a, r, "a metric's name has 1 to 128 bytes and starts with no '#'", err);
    return append(d, a, r, EVENT_METRIC, name, &r->metric->base, err);
}

static enum status take_structure(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                                  struct err *err)
{
    const Espalier__V1__StructureVersion *s = r->structure;
    int version;
    bool is_new;
    const struct stored_structure at = {.total_step = (int64_t)s->total_step,
                                        .params_kept = s->params_kept,
                                        .pruned = s->pruned,
                                        .shared = s->shared};
    TRY(store_structure_add(d->store, a->job.id, &at, s->structure_json.data, s->structure_json.len,
                            &version, &is_new, err));
    if (!is_new)
        return ST_OK;
    Espalier__V1__StructureNote n = ESPALIER__V1__STRUCTURE_NOTE__INIT;
    n.version = (uint32_t)version;
    n.total_step = s->total_step;
    n.params_kept = s->params_kept;
    n.pruned = s->pruned;
    n.shared = s->shared;
    return append(d, a, r, EVENT_STRUCTURE, NULL, &n.base, err);
}

/* A path that stays below the job's folder whatever it is joined to. */
static bool is_inside(const char *path)
{
    if (*path == '\0' || *path == '/' || strlen(path) > 400)
        return false;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    return true;
}

static bool is_sha256(const char *text)
{
    return strlen(text) == SHA256_HEX && strspn(text, "0123456789abcdef") == SHA256_HEX;
}

static enum status take_checkpoint(struct daemon *d, struct active *a,
                                   const Espalier__V1__Record *r, struct err *err)
{
    const Espalier__V1__CheckpointNote *c = r->checkpoint;
    if (!is_inside(c->path) || !is_sha256(c->sha256))
        return refuse(d, a, r, "a checkpoint needs a path inside the job's folder and a SHA-256",
                      err);
    struct stored_checkpoint known,
        row = {.path = c->path,
               .attempt = c->attempt ? (int)c->attempt : a->job.attempt.number,
               .total_step = (int64_t)c->total_step,
               .size_bytes = (int64_t)c->size_bytes,
               .sha256 = c->sha256,
               .phase = c->phase,
               .metric_name = c->metric_name,
               .metric = c->metric,
               .time_ms = r->time_ms};
    enum status st = store_checkpoint_load(d->store, a->job.id, c->path, &known, err);
    if (st == ST_OK && strcmp(known.sha256, c->sha256) == 0)
        return ST_OK; /* an attempt names at its start what it found */
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    TRY(store_checkpoint_add(d->store, a->job.id, &row, err));
    return append(d, a, r, EVENT_CHECKPOINT, NULL, &c->base, err);
}

struct inventory {
    const Espalier__V1__CheckpointInventory *there;
    char (*gone)[JOB_FILE_MAX]; /* owned */
    size_t n;
    bool failed;
};

static bool find_gone(const struct stored_checkpoint *c, void *user)
{
    struct inventory *v = user;
    for (size_t i = 0; i < v->there->n_paths; i++)
        if (strcmp(v->there->paths[i], c->path) == 0)
            return true;
    if (c->pinned) /* what is pinned is no worker's to remove */
        return true;
    void *more = reallocarray(v->gone, v->n + 1, sizeof *v->gone);
    v->failed = !more;
    if (v->failed)
        return false;
    v->gone = more;
    snprintf(v->gone[v->n++], sizeof *v->gone, "%s", c->path);
    return true;
}

/* Rows of what the worker has collected go. */
static enum status take_inventory(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                                  struct err *err)
{
    struct inventory v = {.there = r->inventory};
    enum status st = store_checkpoints(d->store, a->job.id, find_gone, &v, err);
    if (st == ST_OK && v.failed)
        st = err_set(err, ST_NOMEM, "out of memory for the checkpoints of job %lld",
                     (long long)a->job.id);
    for (size_t i = 0; i < v.n && st == ST_OK; i++)
        st = store_checkpoint_remove(d->store, a->job.id, v.gone[i], err);
    free(v.gone);
    return st;
}

static enum status take_artifact(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                                 struct err *err)
{
    const Espalier__V1__Artifact *f = r->artifact;
    if (!is_inside(f->name) || !is_sha256(f->sha256))
        return refuse(d, a, r, "an artifact needs a path inside the job's folder and a SHA-256",
                      err);
    struct stored_file file = {f->name, (int64_t)f->size_bytes, f->sha256};
    return store_artifact_add(d->store, a->job.id, &file, err);
}

static enum status take_phase(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                              struct err *err)
{
    const Espalier__V1__PhaseTime *p = r->phase_done;
    if (strlen(p->phase) > METRIC_NAME_MAX || p->seconds < 0 || p->seconds > PHASE_SECONDS_MAX)
        return refuse(d, a, r, "a phase's name has up to 128 bytes, and it takes 0 to 1e10 seconds",
                      err);
    TRY(store_phase_set(d->store, a->job.id, p->phase, p->seconds, err));
    return append(d, a, r, EVENT_PHASE_DONE, NULL, &p->base, err);
}

static void take_done(struct active *a, const Espalier__V1__Record *r)
{
    struct attempt *t = &a->job.attempt;
    t->done = true;
    t->done_success = r->done->success;
    text_clean(t->done_reason, sizeof t->done_reason, r->done->reason);
    text_clean(t->done_text, sizeof t->done_text, r->done->text);
}

/* SQLite knows no NaN and no number above 2^63 - 1, and it would be the whole group's failure to give it one. */
static bool numbers_fit(const Espalier__V1__Record *r)
{
    const ProtobufCMessage *m = &r->hello->base; /* the kinds are pointers in one union */
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const void *at = (const char *)m + f->offset;
        if (f->type == PROTOBUF_C_TYPE_DOUBLE && !isfinite(*(const double *)at))
            return false;
        if (f->type == PROTOBUF_C_TYPE_UINT64 && *(const uint64_t *)at > INT64_MAX)
            return false;
        if (f->type == PROTOBUF_C_TYPE_UINT32 && *(const uint32_t *)at > INT32_MAX)
            return false;
    }
    return true;
}

static enum status take_one(struct daemon *d, struct active *a, const Espalier__V1__Record *r,
                            struct err *err)
{
    if (r->kind_case != ESPALIER__V1__RECORD__KIND__NOT_SET &&
        r->kind_case != ESPALIER__V1__RECORD__KIND_PROGRESS && !numbers_fit(r))
        return refuse(d, a, r, "a number in it is not finite, or larger than 2^63 - 1", err);
    switch (r->kind_case) {
    case ESPALIER__V1__RECORD__KIND_HELLO:
        return take_hello(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_PROGRESS:
        return take_progress(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_METRIC:
        return take_metric(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_STRUCTURE:
        return take_structure(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_CHECKPOINT:
        return take_checkpoint(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_INVENTORY:
        return take_inventory(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_NOTE:
        return append(d, a, r, EVENT_NOTE, NOTE_SERIES, &r->note->base, err);
    case ESPALIER__V1__RECORD__KIND_PHASE_DONE:
        return take_phase(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_ARTIFACT:
        return take_artifact(d, a, r, err);
    case ESPALIER__V1__RECORD__KIND_DONE:
        take_done(a, r);
        return ST_OK;
    default:
        return refuse(d, a, r, "this daemon does not know its kind", err);
    }
}

/* Any report is a sign of life. */
static enum status note_contact(struct daemon *d, struct active *a, struct err *err)
{
    struct change by_worker = {.actor = "worker"};
    if (job_next(a->job.state, ON_HELLO))
        return job_apply(d, a, ON_HELLO, &by_worker, err);
    if (a->job.state == JOB_UNREACHABLE)
        return job_apply(d, a, ON_FIND, &by_worker, err);
    return ST_OK;
}

enum status records_take(struct daemon *d, struct active *a, Espalier__V1__Record *const *records,
                         size_t n, struct err *err)
{
    uint64_t before = a->job.attempt.reported;
    d->meters.reports++;
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < n; i++) {
        if (records[i]->number <= a->job.attempt.reported)
            continue;
        st = note_contact(d, a, err);
        if (st == ST_OK)
            st = take_one(d, a, records[i], err);
        a->job.attempt.reported = records[i]->number;
        d->meters.records++;
    }
    if (st == ST_OK && a->job.attempt.reported != before)
        st = store_attempt_save(d->store, &a->job, err);
    return st == ST_OK ? ST_OK : group_fail(d, err);
}
