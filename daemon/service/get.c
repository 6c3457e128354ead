/* get.c - Get: one job with all that is known about it. */
#include "base/json.h"
#include "job/act.h"
#include "job/folder.h"
#include "job/text.h"
#include "loop.h"
#include "service/service.h"
#include "service/slurm_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARTIFACTS_SHOWN 10000
#define PHASES_SHOWN 64
#define ATTEMPTS_SHOWN 100

/* The wire form of a job and what it points at. */
struct wire_job {
    V1(Job) job;
    struct job from;
    char id[24], folder[FOLDER_PATH_MAX];
    struct wire_progress progress;
    struct buf file, overrides;
    struct wire_slurm slurm;
    struct json_object *overrides_json;
    bool failed; /* out of memory */
};

/* Grows a list of messages by one; NULL when out of memory. */
static void *list_add(void ***list, size_t *n, size_t size)
{
    void **more = reallocarray(*list, *n + 1, sizeof(*more));
    if (!more)
        return NULL;
    *list = more;
    more[*n] = calloc(1, size);
    return more[*n] ? more[(*n)++] : NULL;
}

static bool add_artifact(const struct stored_file *f, void *user)
{
    struct wire_job *w = user;
    V1(Artifact) *a = list_add((void ***)&w->job.artifacts, &w->job.n_artifacts, sizeof *a);
    if (!a) {
        w->failed = true;
        return false;
    }
    espalier__v1__artifact__init(a);
    a->name = strdup(f->name);
    a->sha256 = strdup(f->sha256);
    a->size_bytes = (uint64_t)f->size_bytes;
    w->failed |= !a->name || !a->sha256;
    return !w->failed && w->job.n_artifacts < ARTIFACTS_SHOWN;
}

static bool add_phase(const char *phase, double seconds, void *user)
{
    struct wire_job *w = user;
    V1(PhaseTime) *p = list_add((void ***)&w->job.phase_times, &w->job.n_phase_times, sizeof *p);
    if (!p) {
        w->failed = true;
        return false;
    }
    espalier__v1__phase_time__init(p);
    p->phase = strdup(phase);
    p->seconds = seconds;
    w->failed |= !p->phase;
    return !w->failed && w->job.n_phase_times < PHASES_SHOWN;
}

static bool add_attempt(const struct attempt *from, void *user)
{
    struct wire_job *w = user;
    V1(Attempt) *a = list_add((void ***)&w->job.attempts, &w->job.n_attempts, sizeof *a);
    if (!a) {
        w->failed = true;
        return false;
    }
    espalier__v1__attempt__init(a);
    a->number = (uint32_t)from->number;
    a->started_ms = from->started_ms;
    a->ended_ms = from->ended_ms;
    a->exit_code = from->exit_code;
    a->signal = from->signal;
    a->reason = (char *)job_reason_name(from->reason);
    a->text = strdup(from->text);
    a->host = strdup(from->host);
    a->resumed_step = (uint64_t)from->resumed_step;
    w->failed |= !a->text || !a->host;
    return !w->failed;
}

/* Their strings belong to the JSON. */
static void add_overrides(struct wire_job *w)
{
    size_t n = json_object_is_type(w->overrides_json, json_type_array)
                   ? json_object_array_length(w->overrides_json)
                   : 0;
    for (size_t i = 0; i < n; i++) {
        struct json_object *from = json_object_array_get_idx(w->overrides_json, i);
        V1(Override) *o = list_add((void ***)&w->job.overrides, &w->job.n_overrides, sizeof *o);
        if (!o) {
            w->failed = true;
            return;
        }
        espalier__v1__override__init(o);
        o->key = (char *)json_get_str(from, "key", "");
        o->value = (char *)json_get_str(from, "value", "");
    }
}

static bool read_numbers(struct json_object *list, uint32_t **ret_number, size_t *ret_n)
{
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    uint32_t *number = calloc(n + 1, sizeof *number);
    for (size_t i = 0; number && i < n; i++)
        number[i] = (uint32_t)json_object_get_int(json_object_array_get_idx(list, i));
    *ret_number = number;
    *ret_n = number ? n : 0;
    return number != NULL;
}

static void add_places(struct wire_job *w, struct json_object *list)
{
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < n && !w->failed; i++) {
        struct json_object *rank = json_object_array_get_idx(list, i);
        V1(RankPlace) *p = list_add((void ***)&w->job.places, &w->job.n_places, sizeof *p);
        if (p)
            espalier__v1__rank_place__init(p);
        w->failed |= !p || !(p->host = strdup(json_get_str(rank, "host", ""))) ||
                     !read_numbers(json_find(rank, "cores"), &p->cores, &p->n_cores) ||
                     !read_numbers(json_find(rank, "gpus"), &p->gpus, &p->n_gpus);
    }
}

static enum status load_places(struct daemon *d, struct wire_job *w, struct err *err)
{
    struct buf text;
    struct json_object *list = NULL;
    buf_init(&text, STORE_PLACEMENT_MAX);
    enum status st = store_placement_load(d->store, w->from.id, w->from.attempt.number, &text, err);
    if (st == ST_OK)
        st = json_parse(&list, buf_str(&text), text.len, "a placement", err);
    if (st == ST_OK)
        add_places(w, list);
    json_object_put(list);
    buf_fini(&text);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static void fill_snapshot(struct wire_job *w)
{
    const struct job *j = &w->from;
    w->job.name = w->from.name;
    w->job.state = (V1(JobState))j->state;
    w->job.reason = (char *)job_reason_name(j->reason);
    w->job.text = w->from.text;
    w->job.attempt = (uint32_t)j->attempt.number;
    w->job.submitted_ms = j->submitted_ms;
    w->job.started_ms = j->started_ms;
    w->job.ended_ms = j->ended_ms;
    w->job.owner = w->from.owner;
    w->job.priority = j->priority;
    w->job.ranks = (uint32_t)j->ranks;
    w->job.exit_code = j->exit_code;
    w->job.not_before_ms = j->not_before_ms;
}

static enum status fill_rest(struct daemon *d, struct wire_job *w, struct err *err)
{
    int64_t id = w->from.id;
    snprintf(w->id, sizeof w->id, "%lld", (long long)id);
    char folder[FOLDER_PATH_MAX];
    folder_path(d, id, folder);
    text_clean(w->folder, sizeof w->folder, folder);
    w->job.id = w->id;
    w->job.folder = w->folder;
    w->job.last_event = (uint64_t)store_event_last(d->store, id);
    wire_progress_load(d, id, &w->progress);
    w->job.progress = w->progress.progress;
    TRY(store_artifacts(d->store, id, add_artifact, w, err));
    TRY(store_phases(d->store, id, add_phase, w, err));
    w->job.retries = (uint32_t)job_retries(d, &w->from);
    TRY(store_attempts(d->store, id, w->from.attempt.number - ATTEMPTS_SHOWN, add_attempt, w, err));
    TRY(load_places(d, w, err));
    w->job.slurm = wire_slurm_load(d, &w->from, &w->slurm);
    TRY(store_submission_load(d->store, id, &w->file, NULL, &w->overrides, err));
    w->job.job_file = (ProtobufCBinaryData){w->file.len, (uint8_t *)w->file.data};
    TRY(json_parse(&w->overrides_json, buf_str(&w->overrides), w->overrides.len, "overrides", err));
    add_overrides(w);
    return w->failed ? err_set(err, ST_NOMEM, "the daemon is out of memory") : ST_OK;
}

static void free_lists(struct wire_job *w)
{
    for (size_t i = 0; i < w->job.n_artifacts; i++) {
        free(w->job.artifacts[i]->name);
        free(w->job.artifacts[i]->sha256);
        free(w->job.artifacts[i]);
    }
    for (size_t i = 0; i < w->job.n_phase_times; i++) {
        free(w->job.phase_times[i]->phase);
        free(w->job.phase_times[i]);
    }
    for (size_t i = 0; i < w->job.n_overrides; i++)
        free(w->job.overrides[i]);
    for (size_t i = 0; i < w->job.n_places; i++) {
        free(w->job.places[i]->host);
        free(w->job.places[i]->cores);
        free(w->job.places[i]->gpus);
        free(w->job.places[i]);
    }
    free(w->job.places);
    for (size_t i = 0; i < w->job.n_attempts; i++) {
        free(w->job.attempts[i]->text);
        free(w->job.attempts[i]->host);
        free(w->job.attempts[i]);
    }
    free(w->job.attempts);
    free(w->job.artifacts);
    free(w->job.phase_times);
    free(w->job.overrides);
}

static void send_get(struct daemon *d, struct rpc_call *call, void *arg)
{
    struct err err;
    struct wire_job w = {0};
    const char *id = arg;
    if (lookup_job(d, id, &w.from, &err) != ST_OK) {
        rpc_call_fail(call, err.code, err.text);
        return;
    }
    espalier__v1__job__init(&w.job);
    buf_init(&w.file, 4u << 20);
    buf_init(&w.overrides, 4u << 20);
    fill_snapshot(&w);
    if (fill_rest(d, &w, &err) == ST_OK) {
        V1(GetReply) reply = ESPALIER__V1__GET_REPLY__INIT;
        reply.job = &w.job;
        rpc_call_reply(call, &reply.base);
    } else {
        rpc_call_fail(call, err.code, err.text);
    }
    free_lists(&w);
    wire_progress_fini(&w.progress);
    wire_slurm_fini(&w.slurm);
    json_object_put(w.overrides_json);
    buf_fini(&w.file);
    buf_fini(&w.overrides);
}

/* Looked up when it is answered: what is seen before the commit may never come true. */
enum status serve_get(struct daemon *d, struct rpc_call *call, const V1(GetRequest) * request,
                      struct err *err)
{
    if (!loop_answer_read(d, call, send_get, request->id, NULL))
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    return ST_OK;
}
