/* call.c - the life of a call on the server.
 *
 * A call is held by two: its handler (until it replies, fails or finishes) and gRPC (while a batch
 * is under way; the one that waits for the close is under way until the end). The gRPC call is
 * given back when its last batch completes, whether or not the handler still holds its side: a slow
 * handler keeps neither a connection nor a stopping server waiting. Whoever lets go last frees.
 *
 * `lock` orders the batches of a call and keeps hooks away from a handler that has let go. It is
 * recursive, because hooks run under it and send.
 */
#include "rpc/core.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct rpc_call {
    struct rpc_server *server; /* valid while core != NULL */
    const struct rpc_entry *entry;
    struct rpc_call *prev, *next; /* server->live, under the server's lock */
    int64_t reading_since;        /* 0 once the request is there; under the server's lock */

    pthread_mutex_t lock;
    grpc_call *core;
    int pending; /* batches under way */
    bool held;   /* by the handler */
    bool gone;
    bool sending, headers_sent;
    bool ending; /* a status is to be sent when the message in flight is through */
    grpc_status_code end_code;
    char end_text[ERR_TEXT_MAX];
    ProtobufCMessage *request;
    struct rpc_identity identity;
    rpc_ready_f ready;
    void *ready_user;

    struct rpc_event closed, received, sent, ended;
    int cancelled;
    grpc_byte_buffer *payload;
};

/* ---- who holds it ------------------------------------------------------------------------- */

static void call_unlink(struct rpc_call *c)
{
    struct rpc_server *s = c->server;
    pthread_mutex_lock(&s->lock);
    *(c->prev ? &c->prev->next : &s->live) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->n_live--;
    pthread_mutex_unlock(&s->lock);
}

/* Unlocks, and frees what nobody holds any more. */
static void call_release(struct rpc_call *c)
{
    if (c->pending == 0 && c->core) {
        call_unlink(c);
        grpc_call_unref(c->core);
        c->core = NULL;
        c->server = NULL;
    }
    bool dead = c->pending == 0 && !c->held;
    pthread_mutex_unlock(&c->lock);
    if (!dead)
        return;
    if (c->request)
        protobuf_c_message_free_unpacked(c->request, NULL);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static bool start_batch(struct rpc_call *c, const grpc_op *ops, size_t n, struct rpc_event *e)
{
    rpc_publish(e);
    if (grpc_call_start_batch(c->core, ops, n, e, NULL) != GRPC_CALL_OK)
        return false;
    c->pending++;
    return true;
}

static grpc_op *add_headers(struct rpc_call *c, grpc_op *op)
{
    if (c->headers_sent)
        return op;
    c->headers_sent = true;
    *op = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    return op + 1;
}

/* ---- ending ------------------------------------------------------------------------------- */

static void call_ended(struct rpc_event *e, bool ok)
{
    struct rpc_call *c = e->owner;
    (void)ok;
    pthread_mutex_lock(&c->lock);
    c->pending--;
    call_release(c);
}

/* Sends headers if need be, `reply` if there is one, and the status. Counted as under way before, so that it needs no lock:
 * once it has begun, c may be gone. False: it has not. */
static bool send_end(struct rpc_call *c, grpc_byte_buffer *reply)
{
    grpc_op ops[3] = {{0}}, *op = add_headers(c, ops);
    if (reply)
        *op++ = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = reply};
    grpc_slice details = grpc_slice_from_copied_string(c->end_text);
    *op++ = (grpc_op){
        .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
        .data.send_status_from_server = {.status = c->end_code, .status_details = &details}};
    grpc_call *core = c->core;
    rpc_publish(&c->ended);
    bool begun =
        grpc_call_start_batch(core, ops, (size_t)(op - ops), &c->ended, NULL) == GRPC_CALL_OK;
    grpc_slice_unref(details);
    return begun;
}

/* Without a message; under the lock, which its caller still needs. */
static void send_status(struct rpc_call *c)
{
    if (!c->core || c->gone)
        return;
    c->pending++;
    if (!send_end(c, NULL))
        c->pending--;
}

/* The handler lets go: with a status, and a last message if reply is not NULL. The bytes go out without the lock, for
 * which gRPC's thread would wait: it hears of the end before the batch's start returns. */
static void call_end(struct rpc_call *c, grpc_status_code code, const char *text,
                     grpc_byte_buffer *reply)
{
    pthread_mutex_lock(&c->lock);
    c->held = false;
    c->ready = NULL;
    c->end_code = code;
    rpc_clean_text(c->end_text, sizeof c->end_text, text);
    if (c->request) {
        protobuf_c_message_free_unpacked(c->request, NULL);
        c->request = NULL;
    }
    bool now = c->core && !c->gone && !c->sending;
    c->ending = c->sending;
    c->pending += now;
    call_release(c);
    /* Still there: what is under way keeps it. */
    if (!now || send_end(c, reply)) /* NOLINT(clang-analyzer-unix.Malloc) */
        return;
    pthread_mutex_lock(&c->lock);
    c->pending--;
    call_release(c);
}

/* ---- the handler's side ------------------------------------------------------------------- */

const struct rpc_identity *rpc_call_identity(const struct rpc_call *call)
{
    return &call->identity;
}

/* NULL, with a sentence, if the message cannot go over the wire. */
static grpc_byte_buffer *pack_reply(const ProtobufCMessage *message, struct err *err)
{
    bool ok = false;
    grpc_byte_buffer *bytes = rpc_pack(message, &ok);
    if (ok && grpc_byte_buffer_length(bytes) <= RPC_MESSAGE_MAX)
        return bytes;
    if (!ok)
        err_set(err, ST_INTERNAL, "the server's %s holds a string that is not UTF-8",
                message->descriptor->name);
    else
        err_set(err, ST_LIMIT, "the server's %s has %zu bytes, at most %u are sent",
                message->descriptor->name, grpc_byte_buffer_length(bytes), RPC_MESSAGE_MAX);
    grpc_byte_buffer_destroy(bytes);
    return NULL;
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *reply)
{
    struct err err = {ST_INTERNAL, ""};
    grpc_byte_buffer *bytes = pack_reply(reply, &err);
    if (!bytes) {
        rpc_call_fail(call, err.code, err.text);
        return;
    }
    call_end(call, GRPC_STATUS_OK, "", bytes);
    grpc_byte_buffer_destroy(bytes);
}

void rpc_call_fail(struct rpc_call *call, enum status st, const char *text)
{
    /* OK without a reply would leave a client waiting for one. */
    call_end(call, (grpc_status_code)rpc_wire_code(st == ST_OK ? ST_INTERNAL : st), text, NULL);
}

void rpc_call_finish(struct rpc_call *call)
{
    call_end(call, GRPC_STATUS_OK, "", NULL);
}

void rpc_call_on_ready(struct rpc_call *call, rpc_ready_f ready, void *user)
{
    pthread_mutex_lock(&call->lock);
    call->ready = ready;
    call->ready_user = user;
    /* The one event that could have been missed. Counted as under way, since the hook may let go. */
    call->pending++;
    if (call->gone && ready)
        ready(call, user);
    call->pending--;
    call_release(call);
}

static bool call_can_send(struct rpc_call *c)
{
    return c->core && !c->gone && !c->sending && c->held;
}

/* Headers and one message; under the lock. */
static bool send_message(struct rpc_call *c, grpc_byte_buffer *bytes)
{
    grpc_op ops[2] = {{0}}, *op = add_headers(c, ops);
    *op++ = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bytes};
    return start_batch(c, ops, (size_t)(op - ops), &c->sent);
}

/* A stream with a hole in it would be worse than none: it ends, and its handler learns that it is gone. */
static void give_up(struct rpc_call *c, const struct err *err)
{
    c->end_code = (grpc_status_code)rpc_wire_code(err->code);
    rpc_clean_text(c->end_text, sizeof c->end_text, err->text);
    send_status(c);
    c->gone = true;
}

bool rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message)
{
    struct err err = {ST_INTERNAL, ""};
    pthread_mutex_lock(&call->lock);
    bool can = call_can_send(call);
    grpc_byte_buffer *bytes = can ? pack_reply(message, &err) : NULL;
    if (bytes)
        call->sending = send_message(call, bytes);
    else if (can)
        give_up(call, &err);
    if (bytes)
        grpc_byte_buffer_destroy(bytes);
    bool sent = bytes && call->sending;
    pthread_mutex_unlock(&call->lock);
    return sent;
}

bool rpc_call_gone(struct rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    bool gone = call->gone;
    pthread_mutex_unlock(&call->lock);
    return gone;
}

/* ---- gRPC's side: events, all on the server's thread -------------------------------------- */

static bool call_receive(struct rpc_call *c)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->payload};
    c->payload = NULL;
    return start_batch(c, &op, 1, &c->received);
}

static void call_sent(struct rpc_event *e, bool ok)
{
    struct rpc_call *c = e->owner;
    pthread_mutex_lock(&c->lock);
    c->sending = false;
    if (!ok)
        c->gone = true;
    if (c->ending)
        send_status(c);
    else if (c->held && c->entry->kind == RPC_BIDI)
        call_receive(c);
    else if (c->held && c->ready && ok)
        c->ready(c, c->ready_user);
    c->pending--;
    call_release(c);
}

static void call_closed(struct rpc_event *e, bool ok)
{
    struct rpc_call *c = e->owner;
    (void)ok;
    pthread_mutex_lock(&c->lock);
    c->gone = true;
    if (c->held && c->ready)
        c->ready(c, c->ready_user);
    c->pending--;
    call_release(c);
}

/* The first bytes are there: what takes too long from now on is the handler's affair. */
static void call_stop_clock(struct rpc_call *c)
{
    pthread_mutex_lock(&c->server->lock);
    c->reading_since = 0;
    pthread_mutex_unlock(&c->server->lock);
}

static void call_received(struct rpc_event *e, bool ok)
{
    struct rpc_call *c = e->owner;
    struct err err;
    ProtobufCMessage *request = NULL;
    call_stop_clock(c);
    enum status st = ST_INVALID;
    if (ok && c->payload)
        st = rpc_unpack(&request, c->entry->input, c->payload, &err);
    else
        err_set(&err, st, "the call carries no request");
    pthread_mutex_lock(&c->lock);
    if (c->request)
        protobuf_c_message_free_unpacked(c->request, NULL);
    c->request = request;
    pthread_mutex_unlock(&c->lock);

    if (st == ST_OK)
        c->entry->handler(c, request, c->entry->user);
    else if (c->entry->kind == RPC_BIDI && ok && !c->payload)
        rpc_call_finish(c);
    else
        rpc_call_fail(c, st, err.text);
    /* This event is still pending, which kept c while its handler let go. */
    pthread_mutex_lock(&c->lock);
    c->pending--; /* NOLINT(clang-analyzer-unix.Malloc): for that reason */
    call_release(c);
}

/* ---- the beginning ------------------------------------------------------------------------ */

/* Returns how many calls are live now. */
static size_t call_link(struct rpc_server *s, struct rpc_call *c)
{
    pthread_mutex_lock(&s->lock);
    c->next = s->live;
    if (s->live)
        s->live->prev = c;
    s->live = c;
    size_t n = ++s->n_live;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

static void watch_close(struct rpc_call *c)
{
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                  .data.recv_close_on_server.cancelled = &c->cancelled};
    start_batch(c, &op, 1, &c->closed);
}

/* Ends a call that is not to be served; the reason decides the code. */
static void refuse(struct rpc_call *c, const char *path, const struct rpc_admission *admission)
{
    struct err err = admission->err;
    grpc_status_code code = (grpc_status_code)rpc_wire_code(admission->st);
    if (admission->st == ST_DENIED && !admission->identity.name[0])
        code = GRPC_STATUS_UNAUTHENTICATED;
    if (admission->st == ST_OK) {
        if (c->entry)
            err_set(&err, ST_LIMIT, "the server has %d calls at work: try again later",
                    RPC_CALLS_MAX);
        else
            err_set(&err, ST_UNSUPPORTED, "there is no method '%s' here", path);
        code = (grpc_status_code)rpc_wire_code(err.code);
    }
    call_end(c, code, err.text, NULL);
}

void rpc_call_begin(struct rpc_server *s, grpc_call *core, const struct rpc_entry *entry,
                    const char *path, const struct rpc_admission *admission)
{
    struct rpc_call *c = calloc(1, sizeof *c);
    if (!c) {
        grpc_call_cancel_with_status(core, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory", NULL);
        grpc_call_unref(core);
        return;
    }
    *c = (struct rpc_call){.server = s,
                           .entry = entry,
                           .core = core,
                           .held = true,
                           .identity = admission->identity,
                           .closed = {call_closed, c},
                           .received = {call_received, c},
                           .sent = {call_sent, c},
                           .ended = {call_ended, c}};
    lock_init(&c->lock);
    c->reading_since = clock_mono_ns() / 1000000;
    bool full = call_link(s, c) > RPC_CALLS_MAX;
    pthread_mutex_lock(&c->lock);
    watch_close(c);
    bool reading = admission->st == ST_OK && entry && !full && call_receive(c);
    pthread_mutex_unlock(&c->lock);
    if (!reading)
        refuse(c, path, admission);
}

void rpc_calls_sweep(struct rpc_server *s, int64_t now_ms, bool builtins)
{
    for (struct rpc_call *c = s->live; c; c = c->next) {
        if (builtins && c->entry && c->entry->builtin)
            grpc_call_cancel_with_status(c->core, GRPC_STATUS_UNAVAILABLE, "the server is stopping",
                                         NULL);
        else if (!builtins && c->reading_since && now_ms - c->reading_since > RPC_READ_MS)
            grpc_call_cancel_with_status(c->core, GRPC_STATUS_DEADLINE_EXCEEDED,
                                         "the request did not arrive in time", NULL);
    }
}
