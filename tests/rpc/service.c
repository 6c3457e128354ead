/* service.c - see service.h. */
#include "service.h"

#include "espalier/v1/job.pb-c.h"
#include "method_table.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void on_submit(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    const Espalier__V1__SubmitRequest *q = (const void *)request;
    Espalier__V1__SubmitReply reply = ESPALIER__V1__SUBMIT_REPLY__INIT;
    (void)user;
    if (strcmp(q->file_name, "fail") == 0) {
        char text[ERR_TEXT_MAX] = "";
        size_t len = q->job_file.len < sizeof text - 1 ? q->job_file.len : sizeof text - 1;
        memcpy(text, q->job_file.data, len);
        rpc_call_fail(call, ST_INVALID, text);
        return;
    }
    reply.id = strcmp(q->file_name, "bad reply") == 0 ? (char *)"\xff\xfe" : q->request_id;
    rpc_call_reply(call, &reply.base);
}

static void answer_job(struct rpc_call *call, const char *id)
{
    Espalier__V1__GetReply reply = ESPALIER__V1__GET_REPLY__INIT;
    Espalier__V1__Job job = ESPALIER__V1__JOB__INIT;
    job.id = (char *)id;
    job.name = (char *)"caf\xc3\xa9";
    reply.job = &job;
    rpc_call_reply(call, &reply.base);
}

static void *answer_later(void *call)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    answer_job(call, "later");
    return NULL;
}

static void hold(struct service *s, struct rpc_call *call)
{
    pthread_mutex_lock(&s->lock);
    bool room = s->n_held < SERVICE_HELD_MAX;
    if (room)
        s->held[s->n_held++] = call;
    pthread_mutex_unlock(&s->lock);
    if (!room)
        rpc_call_fail(call, ST_LIMIT, "the test holds no more calls");
}

static void on_get(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    const Espalier__V1__GetRequest *q = (const void *)request;
    pthread_t thread;
    if (strcmp(q->id, "now") == 0) {
        answer_job(call, "now");
    } else if (strcmp(q->id, "busy") == 0) {
        rpc_call_fail(call, ST_UNAVAILABLE, "the store is locked: try again");
    } else if (strcmp(q->id, "never") == 0) {
        hold(user, call);
    } else if (strcmp(q->id, "later") == 0 &&
               pthread_create(&thread, NULL, answer_later, call) == 0) {
        pthread_detach(thread);
    } else {
        struct err err;
        err_set(&err, ST_NOT_FOUND, "job '%s' is unknown", q->id);
        rpc_call_fail(call, err.code, err.text);
    }
}

/* ---- Watch ----------------------------------------------------------------------------------- */

struct watch {
    struct service *service;
    struct rpc_call *call;
    bool spoilt; /* the second event is not UTF-8 */
    uint64_t sent, count;
    bool follow;
};

static void watch_end(struct rpc_call *call, struct watch *w)
{
    pthread_mutex_lock(&w->service->lock);
    w->service->n_watches--;
    pthread_mutex_unlock(&w->service->lock);
    rpc_call_finish(call);
    free(w);
}

static bool send_event(struct rpc_call *call, struct watch *w)
{
    Espalier__V1__Event event = ESPALIER__V1__EVENT__INIT;
    event.cursor = w->sent + 1;
    event.job_id = (char *)(w->spoilt && w->sent ? "\xff" : "7");
    if (w->sent == w->count || !rpc_call_send(call, &event.base))
        return false;
    w->sent++;
    return true;
}

static void watch_ready(struct rpc_call *call, void *user)
{
    struct watch *w = user;
    if (rpc_call_gone(call) || (!send_event(call, w) && !w->follow && w->sent == w->count))
        watch_end(call, w);
}

/* A handler that is slower than its client's patience. */
static void *watch_late(void *arg)
{
    struct watch *w = arg;
    while (!rpc_call_gone(w->call))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    rpc_call_on_ready(w->call, watch_ready, w);
    return NULL;
}

static void on_watch(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    const Espalier__V1__WatchRequest *q = (const void *)request;
    struct service *s = user;
    if (strcmp(q->id, "missing") == 0) {
        rpc_call_fail(call, ST_NOT_FOUND, "job 'missing' is unknown");
        return;
    }
    pthread_t thread;
    struct watch *w = calloc(1, sizeof *w);
    *w = (struct watch){.service = s, .call = call, .count = q->after, .follow = q->follow};
    w->spoilt = strcmp(q->id, "spoilt") == 0;
    pthread_mutex_lock(&s->lock);
    s->n_watches++;
    pthread_mutex_unlock(&s->lock);
    if (!w->count && !w->follow) {
        watch_end(call, w);
    } else if (strcmp(q->id, "late") == 0 && pthread_create(&thread, NULL, watch_late, w) == 0) {
        pthread_detach(thread);
    } else {
        send_event(call, w); /* before the hook is there, else both might send */
        rpc_call_on_ready(call, watch_ready, w);
    }
}

static void on_ping(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    struct service *s = user;
    Espalier__V1__PingReply reply = ESPALIER__V1__PING_REPLY__INIT;
    (void)request;
    pthread_mutex_lock(&s->lock);
    reply.jobs_running = s->n_watches;
    reply.jobs_queued = s->n_held;
    pthread_mutex_unlock(&s->lock);
    reply.version = (char *)"test";
    rpc_call_reply(call, &reply.base);
}

static void on_other(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    (void)request;
    (void)user;
    rpc_call_fail(call, ST_UNSUPPORTED, "the test server does not do this");
}

enum status service_start(struct service *s, const char *address, int *ret_port, struct err *err)
{
    return service_start_guarded(s, address, NULL, NULL, NULL, ret_port, err);
}

enum status service_start_guarded(struct service *s, const char *address,
                                  const struct rpc_tls *files, rpc_guard_f guard, void *user,
                                  int *ret_port, struct err *err)
{
    static const struct rpc_method known[] = {
        {"Submit", RPC_UNARY, on_submit},
        {"Get", RPC_UNARY, on_get},
        {"Watch", RPC_SERVER_STREAM, on_watch},
        {"Ping", RPC_UNARY, on_ping},
    };
    const ProtobufCServiceDescriptor *type = &espalier__v1__job_service__descriptor;
    struct rpc_method all[METHODS_MAX];
    size_t n = method_table(all, type, known, sizeof known / sizeof *known, on_other);
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    struct rpc_server *server;
    TRY(rpc_server_create(&server, err));
    enum status st = rpc_server_add(server, type, all, n, s, err);
    rpc_server_guard(server, guard, user);
    if (st == ST_OK && files)
        st = rpc_server_use_tls(server, files, err);
    if (st == ST_OK)
        st = rpc_server_listen(server, address, ret_port, err);
    if (st == ST_OK)
        st = rpc_server_start(server, err);
    if (st == ST_OK)
        s->server = server;
    else
        rpc_server_destroy(server);
    return st;
}

void service_release(struct service *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct rpc_call *call = s->n_held ? s->held[--s->n_held] : NULL;
        pthread_mutex_unlock(&s->lock);
        if (!call)
            return;
        rpc_call_fail(call, ST_UNAVAILABLE, "released");
    }
}

void service_stop(struct service *s, int grace_ms)
{
    rpc_server_stop(s->server, grace_ms);
    rpc_server_destroy(s->server);
}
