/* check.c - see check.h. */
#include "service/check.h"

#include "daemon.h"
#include "service/ask_cluster.h"
#include "service/streams.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct checker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed, idle;
    struct check *first, **end;
    int waiting;
    int pending; /* waiting, being checked, or not yet in the inbox */
    bool stopping, started;
};

void check_free(void *check)
{
    struct check *c = check;
    findings_fini(&c->findings);
    jobfile_destroy(c->job);
    free(c);
}

static void serve_checked(struct daemon *d, struct message *m)
{
    struct check *c = (struct check *)m;
    struct err err;
    struct rpc_call *call = c->call;
    enum status st;
    streams_note_call(d);
    d->caller = rpc_call_identity(call);
    if (d->stale)
        st = err_set(&err, ST_UNAVAILABLE, "the job store cannot be read now");
    else
        st = c->submit ? serve_submit(d, c, &err) : serve_validate(d, c, &err);
    d->caller = NULL;
    if (st == ST_OK)
        return; /* it owes an answer, which frees the check */
    rpc_call_fail(call, st, err.text);
    check_free(c);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static enum status check_overrides(const struct check *c, struct err *err)
{
    size_t all = 0;
    if (c->n_overrides > CHECK_OVERRIDES_MAX)
        return err_set(err, ST_INVALID, "%zu --set values, at most %d are taken", c->n_overrides,
                       CHECK_OVERRIDES_MAX);
    for (size_t i = 0; i < c->n_overrides; i++) {
        size_t n = strlen(c->overrides[i]->key) + strlen(c->overrides[i]->value);
        if (n > CHECK_OVERRIDE_BYTES)
            return err_set(err, ST_INVALID,
                           "--set %.60s has %zu bytes, at most %u are taken; write it into the job "
                           "file",
                           c->overrides[i]->key, n, CHECK_OVERRIDE_BYTES);
        all += n;
    }
    if (all > CHECK_OVERRIDES_BYTES)
        return err_set(err, ST_INVALID,
                       "the --set values have %zu bytes together, at most %u are taken; write them "
                       "into the job file",
                       all, CHECK_OVERRIDES_BYTES);
    return ST_OK;
}

static enum status check_limits(const struct check *c, struct err *err)
{
    if (c->job_file.len > JOBFILE_MAX_BYTES)
        return err_set(err, ST_INVALID, "the job file has %zu bytes, at most %u are taken",
                       c->job_file.len, JOBFILE_MAX_BYTES);
    TRY(check_overrides(c, err));
    if (c->folder[0] != '/')
        return err_set(
            err, ST_INVALID,
            "folder is '%.100s'; it must be the absolute folder from which relative paths "
            "start",
            c->folder);
    if (strlen(c->folder) > 4000 || strlen(c->file_name) > 4000)
        return err_set(err, ST_INVALID, "folder and file name have at most 4000 bytes");
    return ST_OK;
}

static void check_one(const struct daemon *d, struct check *c)
{
    const struct config *config = &d->options.config;
    struct jobfile_override over[CHECK_OVERRIDES_MAX];
    c->st = check_limits(c, &c->err);
    if (c->st != ST_OK)
        return;
    for (size_t i = 0; i < c->n_overrides; i++)
        over[i] = (struct jobfile_override){c->overrides[i]->key, c->overrides[i]->value};
    /* An empty field has no bytes to point at. */
    const char *text = c->job_file.len ? (const char *)c->job_file.data : "";
    struct jobfile_source source = {.text = text,
                                    .len = c->job_file.len,
                                    .folder = c->folder,
                                    .over = over,
                                    .n_over = (int)c->n_overrides,
                                    .check_paths = true,
                                    .roots = {(const char *const *)config->roots, config->n_roots}};
    if (c->submit && c->submit->structure_json.len) {
        source.structure = (const char *)c->submit->structure_json.data;
        source.structure_len = c->submit->structure_json.len;
    }
    c->st = jobfile_parse(&c->job, &source, &c->findings, &c->err);
    if (c->st == ST_OK)
        c->st = jobfile_plan(c->job, &c->plan, &c->err);
    if (c->st != ST_OK)
        return;
    estimate_shape(c->job, c->shape);
    c->in_slurm = job_goes_to_slurm(d, c->job);
    if (!c->submit && c->in_slurm)
        ask_cluster(d, c->job, c->cluster, sizeof c->cluster);
}

/* NULL: the checker stops. */
static struct check *next_check(struct checker *k)
{
    pthread_mutex_lock(&k->lock);
    while (!k->first && !k->stopping)
        pthread_cond_wait(&k->changed, &k->lock);
    struct check *c = k->stopping ? NULL : k->first;
    if (c) {
        k->first = c->next;
        k->waiting--;
        if (!k->first)
            k->end = &k->first;
    }
    pthread_mutex_unlock(&k->lock);
    return c;
}

static void *checker_run(void *user)
{
    struct daemon *d = user;
    struct checker *k = d->checker;
    struct check *c;
    while ((c = next_check(k))) {
        check_one(d, c);
        inbox_post(d->inbox, &c->message);
        pthread_mutex_lock(&k->lock);
        if (--k->pending == 0)
            pthread_cond_signal(&k->idle);
        pthread_mutex_unlock(&k->lock);
    }
    return NULL;
}

enum status checker_create(struct daemon *d, struct err *err)
{
    struct checker *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(err, ST_NOMEM, "out of memory for the checker");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    pthread_cond_init(&k->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    k->end = &k->first;
    d->checker = k;
    if (pthread_create(&k->thread, NULL, checker_run, d) != 0) {
        checker_destroy(d);
        return err_set(err, ST_LIMIT, "cannot start the checker's thread");
    }
    k->started = true;
    return ST_OK;
}

void checker_stop(struct daemon *d)
{
    struct checker *k = d->checker;
    if (!k || !k->started)
        return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    k->started = false;
    for (struct check *c = k->first, *next; c; c = next) {
        next = c->next;
        c->st = err_set(&c->err, ST_UNAVAILABLE, "the daemon is ending; try again");
        inbox_post(d->inbox, &c->message);
    }
    k->first = NULL;
}

void checker_destroy(struct daemon *d)
{
    struct checker *k = d->checker;
    if (!k)
        return;
    checker_stop(d);
    pthread_cond_destroy(&k->changed);
    pthread_cond_destroy(&k->idle);
    pthread_mutex_destroy(&k->lock);
    free(k);
    d->checker = NULL;
}

void checker_wait(struct daemon *d, int64_t until_ns)
{
    struct checker *k = d->checker;
    const struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    int error = 0;
    pthread_mutex_lock(&k->lock);
    while (k->pending > 0 && error == 0)
        error = pthread_cond_timedwait(&k->idle, &k->lock, &until);
    pthread_mutex_unlock(&k->lock);
}

/* ---- arriving ------------------------------------------------------------------------------- */

static bool line_up(struct checker *k, struct check *c)
{
    pthread_mutex_lock(&k->lock);
    bool room = k->waiting < CHECKS_MAX && !k->stopping;
    if (room) {
        *k->end = c;
        k->end = &c->next;
        k->waiting++;
        k->pending++;
        pthread_cond_signal(&k->changed);
    }
    pthread_mutex_unlock(&k->lock);
    return room;
}

static void take(struct daemon *d, const struct check *what)
{
    struct check *c = malloc(sizeof *c);
    if (!c) {
        rpc_call_fail(what->call, ST_NOMEM, "the daemon is out of memory");
        return;
    }
    *c = *what;
    c->message.run = serve_checked;
    if (line_up(d->checker, c))
        return;
    rpc_call_fail(c->call, ST_UNAVAILABLE,
                  "too many job files wait to be checked; try again in a moment");
    check_free(c);
}

void checker_submit(struct daemon *d, struct rpc_call *call, const Espalier__V1__SubmitRequest *r)
{
    take(d, &(struct check){.call = call,
                            .submit = r,
                            .job_file = r->job_file,
                            .file_name = r->file_name,
                            .folder = r->folder,
                            .overrides = r->overrides,
                            .n_overrides = r->n_overrides});
}

void checker_validate(struct daemon *d, struct rpc_call *call,
                      const Espalier__V1__ValidateRequest *r)
{
    take(d, &(struct check){.call = call,
                            .job_file = r->job_file,
                            .file_name = r->file_name,
                            .folder = r->folder,
                            .overrides = r->overrides,
                            .n_overrides = r->n_overrides});
}
