/* webhook.c - see webhook.h. */
#include "webhook/webhook.h"

#include "base/json.h"
#include "base/log.h"
#include "daemon.h"
#include "inbox.h"
#include "job/change.h"
#include "metrics/page.h"
#include "webhook/sender.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK "webhook"

struct webhook {
    struct message settled; /* in the inbox while `posted` */
    atomic_bool posted;
    struct daemon *daemon;
    struct sender *sender;
    int64_t read;    /* the newest event that was handed over or passed over */
    uint64_t states; /* bit mask by number */
    bool due;        /* there may be something to hand over */
};

/* ---- configuration ---------------------------------------------------------------------------- */

static enum status read_states(const struct config *c, uint64_t *ret_states, struct err *err)
{
    uint64_t states = 0;
    for (int i = 0; i < c->n_webhook_states; i++) {
        enum job_state state;
        if (!job_state_find(c->webhook_states[i], &state))
            return err_set(err, ST_INVALID,
                           "'%.40s' is no state; they are written like RUNNING, FAILED "
                           "(docs/spec/job-states.md)",
                           c->webhook_states[i]);
        states |= UINT64_C(1) << state;
    }
    *ret_states = states ? states : UINT64_MAX;
    return ST_OK;
}

static enum status open_secret(const char *path, int *ret_fd, struct err *err)
{
    struct stat sb;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &sb) < 0) {
        enum status st = err_errno(err, "cannot read the webhook's secret %s", path);
        if (fd >= 0)
            close(fd);
        return st;
    }
    if (!S_ISREG(sb.st_mode) || (sb.st_mode & 077)) {
        close(fd);
        return err_set(
            err, ST_DENIED,
            "the webhook's secret %s must be a file that is closed to others (mode %03o): "
            "chmod 600 it",
            path, sb.st_mode & 0777u);
    }
    *ret_fd = fd;
    return ST_OK;
}

/* Without the line's end that editors leave. */
static enum status read_secret(const char *path, char secret[SENDER_SECRET_MAX], size_t *ret_len,
                               struct err *err)
{
    int fd = -1;
    TRY(open_secret(path, &fd, err));
    ssize_t n = read(fd, secret, SENDER_SECRET_MAX);
    close(fd);
    if (n < 0)
        return err_errno(err, "cannot read the webhook's secret %s", path);
    if (n == SENDER_SECRET_MAX)
        return err_set(err, ST_LIMIT, "the webhook's secret %s has %d bytes or more", path,
                       SENDER_SECRET_MAX);
    while (n > 0 && (secret[n - 1] == '\n' || secret[n - 1] == '\r'))
        n--;
    if (n < 16)
        return err_set(
            err, ST_INVALID,
            "the webhook's secret %s has %zd bytes; 16 are the least: openssl rand -hex 32", path,
            n);
    *ret_len = (size_t)n;
    return ST_OK;
}

enum status webhook_check(const struct config *c, struct err *err)
{
    uint64_t states;
    if (!c->webhook_url[0])
        return ST_OK;
    if (strncmp(c->webhook_url, "http://", 7) != 0 && strncmp(c->webhook_url, "https://", 8) != 0)
        return err_set(err, ST_INVALID, "expects http:// or https://, got '%.60s'", c->webhook_url);
    if (!c->webhook_secret_file[0])
        return err_set(
            err, ST_INVALID,
            "needs webhook.secret_file: what is sent is signed, so that the receiver can "
            "tell it from forgeries");
    return read_states(c, &states, err);
}

/* ---- what is sent ----------------------------------------------------------------------------- */

static void put(struct json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *change_json(const struct event *e)
{
    char time[21], id[24];
    struct json_object *o = json_object_new_object();
    if (!o)
        return NULL;
    clock_format(time, e->time_ms);
    snprintf(id, sizeof id, "%lld", (long long)e->job_id);
    json_object_object_add(o, "version", json_object_new_int(1));
    json_object_object_add(o, "event", json_object_new_int64(e->cursor));
    put(o, "time", time);
    put(o, "job", id);
    json_object_object_add(o, "attempt", json_object_new_int(e->attempt));
    put(o, "from", e->from == JOB_NONE ? "" : job_state_name(e->from));
    put(o, "to", job_state_name(e->to));
    put(o, "actor", e->actor);
    put(o, "reason", e->reason);
    put(o, "text", e->text);
    return o;
}

/* Owned by the caller; NULL when out of memory. */
static char *change_body(struct daemon *d, const struct event *e)
{
    struct job job;
    int64_t id = e->job_id;
    struct json_object *o = change_json(e); /* a copy: the next call on the store ends the event */
    if (!o)
        return NULL;
    if (store_job_load(d->store, id, &job, NULL) == ST_OK) {
        put(o, "name", job.name);
        put(o, "owner", job.owner);
    }
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    char *body = text ? strdup(text) : NULL;
    json_object_put(o);
    return body;
}

/* ---- the loop's side -------------------------------------------------------------------------- */

/* On the loop's thread: what was settled need not be sent by the next daemon. */
static void note_settled(struct daemon *d, struct message *m)
{
    struct webhook *w = (struct webhook *)m; /* its first member */
    struct err err;
    atomic_store(&w->posted, false);
    w->due = true;
    if (store_mark_set(d->store, MARK, sender_meters(w->sender).settled_id, &err) != ST_OK)
        group_fail(d, &err);
}

/* On the sender's thread. */
static void post_settled(void *user)
{
    struct webhook *w = user;
    if (!atomic_exchange(&w->posted, true))
        inbox_post(w->daemon->inbox, &w->settled);
}

void webhook_note_commit(struct daemon *d)
{
    if (d->webhook)
        d->webhook->due = true;
}

void webhook_pass(struct daemon *d)
{
    struct webhook *w = d->webhook;
    if (!w || !w->due || store_is_writing(d->store))
        return;
    w->due = false;
    while (sender_waiting(w->sender) < SENDER_QUEUE) {
        struct event e;
        if (store_change_next(d->store, w->read, &e, NULL) != ST_OK)
            return;
        int64_t cursor = e.cursor, time_ms = e.time_ms;
        if (w->states >> e.to & 1) {
            char *body = change_body(d, &e);
            if (!body || !sender_push(w->sender, cursor, time_ms, body)) {
                free(body);
                return;
            }
        }
        w->read = cursor;
    }
}

/* What was read and does not wait in the sender has been settled; the mark may be a moment behind. */
enum status webhook_owes(struct daemon *d, int64_t job_id, bool *ret_owes, struct err *err)
{
    struct webhook *w = d->webhook;
    int64_t newest = 0, settled = 0;
    if (w) {
        TRY(store_change_newest(d->store, job_id, w->states, &newest, err));
        TRY(store_mark_load(d->store, MARK, &settled, err));
        if (sender_waiting(w->sender) == 0 && w->read > settled)
            settled = w->read;
    }
    *ret_owes = newest > settled;
    return ST_OK;
}

void webhook_meters(struct daemon *d, struct metrics_page *page)
{
    if (!d->webhook)
        return;
    struct sender_meters m = sender_meters(d->webhook->sender);
    page->webhook.on = true;
    page->webhook.delivered = m.delivered;
    page->webhook.dropped = m.dropped;
    page->webhook.failed = m.failed;
    page->webhook.waiting = sender_waiting(d->webhook->sender);
}

/* A webhook that was never there before begins with what happens from now on. */
static enum status find_mark(struct daemon *d, int64_t *ret_mark, struct err *err)
{
    enum status st = store_mark_load(d->store, MARK, ret_mark, err);
    if (st != ST_NOT_FOUND)
        return st;
    TRY(store_cursor_last(d->store, ret_mark, err));
    TRY(store_mark_set(d->store, MARK, *ret_mark, err));
    return store_commit(d->store, err);
}

enum status webhook_create(struct daemon *d, struct err *err)
{
    const struct config *c = &d->options.config;
    char secret[SENDER_SECRET_MAX];
    struct sender_options o = {.url = c->webhook_url,
                               .secret = secret,
                               .agent = "espalierd/" ESPALIER_VERSION,
                               .timeout_ms = (int64_t)(c->webhook_timeout_s * 1000),
                               .retry_ms = (int64_t)(c->webhook_retry_s * 1000),
                               .give_up_ms = (int64_t)(c->webhook_give_up_s * 1000),
                               .settled = post_settled};
    if (!c->webhook_url[0])
        return ST_OK;
    TRY(read_secret(c->webhook_secret_file, secret, &o.secret_len, err));
    struct webhook *w = d->webhook = calloc(1, sizeof *w);
    if (!w)
        return err_set(err, ST_NOMEM, "out of memory for the webhook");
    o.user = w;
    w->daemon = d;
    w->settled.run = note_settled;
    w->due = true;
    enum status st = read_states(c, &w->states, err);
    if (st == ST_OK)
        st = find_mark(d, &w->read, err);
    if (st == ST_OK)
        st = sender_create(&w->sender, &o, err);
    explicit_bzero(secret, sizeof secret);
    return st;
}

enum status webhook_start(struct daemon *d, struct err *err)
{
    return d->webhook ? sender_start(d->webhook->sender, err) : ST_OK;
}

void webhook_stop(struct daemon *d)
{
    if (d->webhook && d->webhook->sender)
        sender_stop(d->webhook->sender);
}

void webhook_destroy(struct daemon *d)
{
    if (!d->webhook)
        return;
    sender_destroy(d->webhook->sender);
    free(d->webhook);
    d->webhook = NULL;
}
