/* submit.c - Submit: a checked job file becomes a job, durable before it is answered. */
#include "base/hash.h"
#include "base/json.h"
#include "job/change.h"
#include "job/placing.h"
#include "job/text.h"
#include "jobfile/keep.h"
#include "launch/slurm_script.h"
#include "loop.h"
#include "service/access.h"
#include "service/check.h"
#include "service/service.h"

#include <stdio.h>
#include <string.h>

#define MIB ((int64_t)1 << 20)

/* All findings, one a line, as far as a status sentence reaches. */
static enum status findings_error(const struct check *c, struct err *err)
{
    if (c->st != ST_OK && c->findings.errors == 0)
        return err_set(err, c->st, "%s", c->err.text);
    struct buf b;
    buf_init(&b, 1u << 20);
    const char *name = c->file_name[0] ? c->file_name : "job file";
    int shown = 0;
    for (int i = 0; i < c->findings.n; i++) {
        if (c->findings.list[i].warning)
            continue;
        size_t before = b.len;
        if (shown)
            buf_puts(&b, "\n");
        finding_print(&b, &term_none, name, &c->findings.list[i]);
        while (b.len > before && b.data[b.len - 1] == '\n')
            b.data[--b.len] = '\0';
        if (shown && b.len > ERR_TEXT_MAX - 80) {
            b.data[b.len = before] = '\0';
            break;
        }
        shown++;
    }
    if (shown < c->findings.errors)
        buf_printf(&b, "\n... and %d more; `espalier plan` shows all", c->findings.errors - shown);
    err_set(err, ST_INVALID, "%s", buf_str(&b));
    buf_fini(&b);
    return ST_INVALID;
}

bool job_goes_to_slurm(const struct daemon *d, const struct jobfile *f)
{
    if (d->options.fake)
        return false;
    return f->resources_launcher == LAUNCHER_SLURM ||
           (f->resources_launcher == LAUNCHER_AUTO &&
            d->options.config.launcher == CONFIG_LAUNCHER_SLURM);
}

static void fill_job(const struct daemon *d, const struct check *c, struct job *job)
{
    const struct jobfile *f = c->job;
    int64_t each = f->resources_memory_mib ? f->resources_memory_mib * MIB : c->plan.memory_bytes;
    *job = (struct job){.priority = (int)f->resources_priority,
                        .ranks = (int)f->resources_ranks,
                        .threads = (int)f->resources_threads,
                        .gpus_per_rank = (int)f->resources_gpus,
                        .time_limit_ms = f->resources_time_minutes * 60000,
                        .retries = (int)f->retries,
                        .restart_stalled = f->on_stall == STALL_RESTART,
                        .stall_ms = (int64_t)(f->stall_minutes * 60000),
                        .stall_factor = f->stall_factor,
                        .submitted_ms = daemon_now_ms(d)};
    job->need = (struct resources){.cores = f->resources_ranks * f->resources_threads,
                                   .gpus = f->resources_ranks * f->resources_gpus,
                                   .memory_bytes = f->resources_ranks * each};
    text_clean(job->name, sizeof job->name, f->name);
    snprintf(job->owner, sizeof job->owner, "%s", d->caller->name);
    job->in_slurm = job_goes_to_slurm(d, f);
}

static enum status job_fits(const struct daemon *d, const struct job *job, struct err *err)
{
    const struct queue_job as_queued = queue_job_of(job);
    return job->in_slurm ? ST_OK : place_check_fits(&d->nodes, &as_queued.gang, err);
}

enum status check_fits(const struct daemon *d, const struct check *c, struct err *err)
{
    struct job job;
    fill_job(d, c, &job);
    return job_fits(d, &job, err);
}

static enum status keep_request(struct daemon *d, const struct check *c, int64_t job_id,
                                struct err *err)
{
    struct slurm_request request;
    struct buf json;
    slurm_request_of(&request, c->job);
    buf_init(&json, STORE_SLURM_MAX);
    enum status st = slurm_request_print(&request, &json, err);
    if (st == ST_OK)
        st = store_slurm_set(d->store, job_id, buf_str(&json), err);
    buf_fini(&json);
    return st == ST_OK ? ST_OK : group_fail(d, err);
}

static struct json_object *overrides_json(const struct check *c)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; i < c->n_overrides; i++) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "key", json_object_new_string(c->overrides[i]->key));
        json_object_object_add(o, "value", json_object_new_string(c->overrides[i]->value));
        json_object_array_add(list, o);
    }
    return list;
}

static void digest_of(const struct submission *sub, char ret_hex[HASH_HEX_SIZE])
{
    char file[HASH_HEX_SIZE];
    struct buf b;
    hash_bytes(file, sub->job_file, sub->job_file_len);
    buf_init(&b, 8u << 20);
    buf_printf(&b, "%s\n%s\n%s", file, sub->folder, sub->overrides_json);
    if (sub->structure_len) {
        hash_bytes(file, sub->structure, sub->structure_len);
        buf_printf(&b, "\n%s", file);
    }
    hash_bytes(ret_hex, buf_str(&b), b.len);
    buf_fini(&b);
}

/* The same request again is the same job; the same id for something else is a client's mistake. */
static enum status find_repeated(struct daemon *d, const struct submission *sub, const char *digest,
                                 int64_t *ret_id, struct err *err)
{
    char known[HASH_HEX_SIZE], owner[JOB_OWNER_MAX];
    TRY(store_job_by_request(d->store, sub->request_id, ret_id, known, err));
    TRY(store_job_owner(d->store, *ret_id, owner, err));
    if (access_check_job(d->caller, *ret_id, owner, NULL) != ST_OK)
        return err_set(err, ST_EXISTS,
                       "the request id %s was used by somebody else; choose a new one",
                       sub->request_id);
    if (strcmp(known, digest) != 0)
        return err_set(
            err, ST_EXISTS,
            "the request id %s was used for job %lld with another job file; choose a new "
            "one for a new job",
            sub->request_id, (long long)*ret_id);
    return ST_OK;
}

static enum status add_job(struct daemon *d, struct check *c, const struct submission *sub,
                           struct err *err)
{
    struct job job;
    char digest[HASH_HEX_SIZE];
    digest_of(sub, digest);
    enum status st = find_repeated(d, sub, digest, &c->job_id, err);
    if (st != ST_NOT_FOUND)
        return st;
    if (d->jobs->n >= JOBS_MAX)
        return err_set(err, ST_LIMIT, "%d jobs are waiting or running; no more are taken",
                       JOBS_MAX);
    fill_job(d, c, &job);
    TRY(job_fits(d, &job, err));
    TRY(job_submit(d, &job, c->submit->hold ? ON_SUBMIT_HELD : ON_SUBMIT, sub, digest, "user",
                   err));
    if (job.in_slurm)
        TRY(keep_request(d, c, job.id, err));
    const struct keep_rule rule = keep_rule_of(c->job);
    if (estimate_load(d, c->shape, c->job, &c->estimate, err) != ST_OK ||
        estimate_keep(d, job.id, c->shape, c->job, err) != ST_OK ||
        store_keep_rule_set(d->store, job.id, &rule, err) != ST_OK)
        return group_fail(d, err);
    c->job_id = job.id;
    return ST_OK;
}

static void send_submit(struct daemon *d, struct rpc_call *call, void *arg)
{
    (void)d;
    struct check *c = arg;
    struct wire_check w;
    char id[24];
    if (!wire_check_init(&w, c)) {
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
        return;
    }
    snprintf(id, sizeof id, "%lld", (long long)c->job_id);
    V1(SubmitReply) reply = ESPALIER__V1__SUBMIT_REPLY__INIT;
    reply.id = id;
    reply.findings = w.findings;
    reply.n_findings = (size_t)c->findings.n;
    reply.plan = &w.plan;
    rpc_call_reply(call, &reply.base);
    wire_check_fini(&w);
}

enum status serve_submit(struct daemon *d, struct check *c, struct err *err)
{
    size_t id_len = strlen(c->submit->request_id);
    if (c->st != ST_OK)
        return findings_error(c, err);
    if (id_len < 1 || id_len > CHECK_REQUEST_ID_MAX)
        return err_set(err, ST_INVALID, "request_id has %zu bytes; it must have 1 to %d", id_len,
                       CHECK_REQUEST_ID_MAX);
    struct json_object *overrides = overrides_json(c);
    struct submission sub = {.request_id = c->submit->request_id,
                             .job_file = c->job_file.data,
                             .job_file_len = c->job_file.len,
                             .file_name = c->file_name,
                             .folder = c->folder,
                             .structure = c->submit->structure_json.data,
                             .structure_len = c->submit->structure_json.len,
                             .overrides_json = json_object_to_json_string_ext(
                                 overrides, JSON_C_TO_STRING_NOSLASHESCAPE)};
    enum status st = add_job(d, c, &sub, err);
    json_object_put(overrides);
    if (st == ST_OK && !loop_answer(d, c->call, send_submit, c, check_free))
        st = err_set(err, ST_NOMEM, "the daemon is out of memory");
    return st;
}
