/* loop.c - see loop.h. One pass is one group: what came in is decided together, made durable by one commit,
 * answered, and only then acted upon. */
#include "loop.h"

#include "base/log.h"
#include "daemon.h"
#include "inbox.h"
#include "job/act.h"
#include "job/change.h"
#include "job/jobs.h"
#include "job/log_limit.h"
#include "job/placing.h"
#include "metrics/metrics.h"
#include "service/check.h"
#include "service/streams.h"
#include "webhook/webhook.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICK_MS 250
#define WAIT_MOST_MS 3600000
#define TICK_FAILING_MS 1000 /* while the store fails: each try may wait for a lock */
#define GROUP_MAX 256        /* messages a group; bounds how long an answer waits for its commit */
#define COMPLAIN_EVERY_MS 10000

struct answer {
    struct answer *next;
    struct rpc_call *call;
    answer_f send;
    void *arg;
    void (*drop)(void *arg);
    bool reads;
};

static bool owe(struct daemon *d, const struct answer *answer)
{
    struct answer *a = malloc(sizeof *a);
    if (!a)
        return false;
    *a = *answer;
    *d->answers_end = a;
    d->answers_end = &a->next;
    return true;
}

bool loop_answer(struct daemon *d, struct rpc_call *call, answer_f send, void *arg,
                 void (*drop)(void *arg))
{
    return owe(d, &(struct answer){NULL, call, send, arg, drop, false});
}

bool loop_answer_read(struct daemon *d, struct rpc_call *call, answer_f send, void *arg,
                      void (*drop)(void *arg))
{
    return owe(d, &(struct answer){NULL, call, send, arg, drop, true});
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Effects may have opened the next group: then there is nothing to wait for. Nor is there a reason to wake up
 * when no attempt is to be watched and nobody follows a log. */
static int wait_ms(const struct daemon *d)
{
    if (!d->failing && (store_is_writing(d->store) || d->queue_dirty))
        return 0;
    int again = streams_wait_ms(d);
    if (again == 0)
        return 0;
    bool tick =
        d->failing || jobs_load(d->jobs, &d->options.node).running > 0 || streams_want_tick(d);
    int64_t left = tick ? d->next_tick_ms - d->clock->mono_ms(d->clock) : WAIT_MOST_MS;
    if (d->next_start_ms && d->next_start_ms - daemon_now_ms(d) < left)
        left = d->next_start_ms - daemon_now_ms(d);
    if (again > 0 && again < left)
        return again;
    if (left >= WAIT_MOST_MS && !d->next_start_ms)
        return -1;
    return left < 0 ? 0 : (int)left;
}

static void take_signal(struct daemon *d)
{
    struct signalfd_siginfo info;
    if (read(d->signals, &info, sizeof info) == (ssize_t)sizeof info)
        d->stop_signal = (int)info.ssi_signo;
}

static void loop_wait(struct daemon *d)
{
    struct pollfd fds[] = {{.fd = inbox_fd(d->inbox), .events = POLLIN},
                           {.fd = d->launch->ops->wake_fd(d->launch), .events = POLLIN},
                           {.fd = d->signals, .events = POLLIN}};
    if (poll(fds, 3, metrics_wait_ms(d, wait_ms(d))) < 0 && errno != EINTR)
        log_error("poll failed: errno %d", errno);
    if (fds[1].revents)
        d->next_tick_ms = 0; /* an attempt ended: look at once */
    if (fds[2].revents)
        take_signal(d);
}

/* ---- one group ------------------------------------------------------------------------------ */

static void loop_timers(struct daemon *d)
{
    if (d->next_start_ms && daemon_now_ms(d) >= d->next_start_ms) {
        d->next_start_ms = 0;
        d->queue_dirty = true;
    }
    int64_t now = d->clock->mono_ms(d->clock);
    if (now < d->next_tick_ms)
        return;
    d->next_tick_ms = now + TICK_MS;
    d->failing = false;
    if (d->stale)
        d->stale = d->failing = jobs_reload(d->jobs, d->store, &d->nodes, NULL) != ST_OK;
    jobs_tick(d);
    logs_trim(d);
    streams_tick(d);
}

/* A failed group never happened: memory is what the store says, and every effect is due again. */
static void group_undo(struct daemon *d)
{
    struct err err;
    int64_t now = d->clock->mono_ms(d->clock);
    if (now - d->complained_ms > COMPLAIN_EVERY_MS || d->complained_ms == 0) {
        log_error("%s", d->group_err.text);
        d->complained_ms = now;
    }
    store_rollback(d->store);
    metrics_recount(d);
    d->stale = jobs_reload(d->jobs, d->store, &d->nodes, &err) != ST_OK;
    if (d->stale)
        log_error("%s", err.text);
    d->queue_dirty = d->failing = true;
    d->next_tick_ms = now + TICK_FAILING_MS;
}

/* What the last effects or the timers failed at is no reason to refuse those who call now. */
static void loop_settle(struct daemon *d)
{
    if (d->group_err.code != ST_OK)
        group_undo(d);
    d->group_err.code = ST_OK;
}

/* What comes after a failure waits for the next group: in this one it would fail too. */
static void loop_inbox(struct daemon *d)
{
    struct message *m;
    for (int i = 0; i < GROUP_MAX && d->group_err.code == ST_OK && (m = inbox_take(d->inbox)); i++)
        m->run(d, m);
}

#define GATHER_NS INT64_C(2000000)

/* Submits that are being checked join this group: one fsync for all of them. Waits for what is here already, never for
 * what may come, so a lone client loses nothing; and once for all of them, since to wake up for each costs more than it. */
static void loop_gather(struct daemon *d)
{
    if (!store_is_writing(d->store) || d->group_err.code != ST_OK)
        return;
    checker_wait(d, clock_mono_ns() + GATHER_NS);
    loop_inbox(d);
}

static void loop_queue(struct daemon *d)
{
    if (d->queue_dirty && !d->failing && d->group_err.code == ST_OK)
        queue_run(d);
}

static void loop_commit(struct daemon *d)
{
    bool wrote = store_is_writing(d->store);
    struct err err;
    int64_t began = clock_mono_ns();
    if (d->group_err.code == ST_OK && store_commit(d->store, &err) != ST_OK)
        group_fail(d, &err);
    if (wrote)
        meters_commit(&d->meters, clock_mono_ns() - began, d->group_err.code != ST_OK);
    if (d->group_err.code != ST_OK)
        group_undo(d);
    else if (wrote) {
        streams_note_commit(d);
        webhook_note_commit(d);
    }
}

static void loop_answers(struct daemon *d)
{
    struct answer *a = d->answers;
    d->answers = NULL;
    d->answers_end = &d->answers;
    while (a) {
        struct answer *next = a->next;
        d->caller = rpc_call_identity(a->call);
        if (d->group_err.code == ST_OK || (a->reads && !d->stale))
            a->send(d, a->call, a->arg);
        else
            rpc_call_fail(a->call, d->group_err.code, d->group_err.text);
        if (a->drop)
            a->drop(a->arg);
        free(a);
        a = next;
    }
    d->caller = NULL;
    d->group_err.code = ST_OK;
}

/* What an effect finds out is applied to the next group, and so is its failure. */
static void loop_effects(struct daemon *d)
{
    if (d->failing)
        return;
    /* Those that are here now: what an effect changes is not durable yet. */
    for (size_t n = d->jobs->n_changed; n > 0 && d->group_err.code == ST_OK; n--) {
        struct active *a = jobs_take_changed(d->jobs);
        if (!job_state_is_over(a->job.state))
            job_act(d, a);
    }
    /* An effect may just have ended a job; it stays until that is durable. */
    if (!store_is_writing(d->store))
        jobs_drop_over(d->jobs);
}

void loop_pass(struct daemon *d)
{
    loop_timers(d);
    loop_settle(d);
    store_read_begin(d->store);
    loop_inbox(d);
    loop_gather(d);
    loop_queue(d);
    loop_commit(d);
    store_read_begin(d->store); /* what was written ended the one before */
    loop_answers(d);
    streams_pump(d);
    webhook_pass(d);
    metrics_pass(d);
    store_read_end(d->store);
    loop_effects(d);
}

void loop_run(struct daemon *d)
{
    while (!d->stop_signal) {
        loop_wait(d);
        loop_pass(d);
    }
}

void loop_drain(struct daemon *d)
{
    struct message *m;
    while ((m = inbox_take(d->inbox)))
        m->run(d, m);
    loop_commit(d);
    loop_answers(d);
}
