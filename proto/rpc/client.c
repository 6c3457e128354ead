/* client.c - unary calls and server streams, blocking.
 *
 * Each call has its own completion queue, polled by the thread that waits, so that a client needs
 * no thread and any number of threads may call. A channel does not connect before its first call.
 */
#include "rpc/core.h"

#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rpc_client {
    grpc_channel *channel;
    char *target;
    grpc_metadata bearer; /* its slices live as long as the client */
    size_t n_bearer;      /* 1: sent with every call */
    const struct munge *munge;
};

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

/* NULL, with a sentence, when a TLS file cannot be used. */
static grpc_channel *create_channel(const struct rpc_access *access, struct err *err)
{
    const char *target = access->target, *secure = rpc_address_tls(target);
    grpc_channel_credentials *creds = secure ? rpc_tls_channel_credentials(&access->tls, err)
                                             : grpc_insecure_credentials_create();
    if (!creds)
        return NULL;
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MESSAGE_MAX),
        /* A request sent again without the caller's knowledge is his decision, not the channel's.
         */
        int_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        /* Else a second client of the same target inherits the first one's back-off. */
        int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100),
        /* In spite of its name: how long one attempt to connect may take, on a crowded machine too. */
        int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10000),
        int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 20000),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000),
        int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        /* Last: proxies are for networks, no unix: target goes through one. */
        int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
    };
    grpc_channel_args all = {sizeof args / sizeof args[0] - (rpc_address_path(target) ? 0 : 1),
                             args};
    grpc_channel *channel = grpc_channel_create(secure ? secure : target, creds, &all);
    grpc_channel_credentials_release(creds);
    return channel;
}

/* A token goes out over TLS alone: on any other connection it would be for all to read, and a socket needs none. */
static enum status set_bearer(struct rpc_client *c, const struct rpc_access *access,
                              struct err *err)
{
    if (!access->token || access->munge || !rpc_address_tls(access->target))
        return ST_OK;
    char value[RPC_BEARER_MAX + 8];
    if (strlen(access->token) >= RPC_BEARER_MAX)
        return err_set(err, ST_INVALID, "the token has %zu bytes, at most %d are taken",
                       strlen(access->token), RPC_BEARER_MAX - 1);
    int n = snprintf(value, sizeof value, "Bearer %s", access->token);
    c->bearer.key = grpc_slice_from_static_string("authorization");
    c->bearer.value = grpc_slice_from_copied_buffer(value, (size_t)n);
    c->n_bearer = 1;
    explicit_bzero(value, sizeof value);
    if (grpc_header_nonbin_value_is_legal(c->bearer.value))
        return ST_OK;
    return err_set(err, ST_INVALID, "the token holds characters that no token has");
}

enum status rpc_client_open_as(struct rpc_client **ret_client, const struct rpc_access *access,
                               struct err *err)
{
    if (!*access->target)
        return err_set(err, ST_INVALID,
                       "the daemon's address is empty: give unix:/path or tls:HOST:PORT");
    struct rpc_client *c = calloc(1, sizeof *c);
    char *copy = strdup(access->target);
    if (!c || !copy) {
        free(c);
        free(copy);
        return err_set(err, ST_NOMEM, "out of memory for a client of %s", access->target);
    }
    rpc_core_start();
    c->target = copy;
    if (rpc_address_tls(access->target))
        c->munge = access->munge;
    enum status st = set_bearer(c, access, err);
    if (st == ST_OK && !(c->channel = create_channel(access, err)))
        st = ST_INVALID;
    if (st != ST_OK) {
        rpc_client_close(c);
        return err ? err->code : st;
    }
    *ret_client = c;
    return ST_OK;
}

enum status rpc_client_open(struct rpc_client **ret_client, const char *target, struct err *err)
{
    return rpc_client_open_as(ret_client, &(struct rpc_access){.target = target}, err);
}

void rpc_client_close(struct rpc_client *c)
{
    if (!c)
        return;
    if (c->channel)
        grpc_channel_destroy(c->channel);
    if (c->n_bearer)
        grpc_slice_unref(c->bearer.value);
    free(c->target);
    free(c);
}

/* ---- what both kinds of call share -------------------------------------------------------- */

/* What a call ends with. */
struct outcome {
    grpc_status_code code;
    grpc_slice details;
    grpc_metadata_array trailing;
};

static void outcome_init(struct outcome *o)
{
    *o = (struct outcome){.code = GRPC_STATUS_UNKNOWN, .details = grpc_empty_slice()};
    grpc_metadata_array_init(&o->trailing);
}

static void outcome_fini(struct outcome *o)
{
    grpc_slice_unref(o->details);
    grpc_metadata_array_destroy(&o->trailing);
}

/* What one call shows; its value is the caller's to give up. */
struct shown {
    grpc_metadata header;
    size_t n;
};

/* The token, or a credential that is made for this call alone. */
static enum status show(const struct rpc_client *c, struct shown *ret, struct err *err)
{
    static const char scheme[] = "MUNGE ";
    char value[sizeof scheme + MUNGE_CRED_MAX];
    *ret = (struct shown){.n = c->n_bearer};
    ret->header.key = grpc_slice_from_static_string("authorization");
    ret->header.value = c->n_bearer ? grpc_slice_ref(c->bearer.value) : grpc_empty_slice();
    if (!c->munge)
        return ST_OK;
    memcpy(value, scheme, sizeof scheme);
    TRY(munge_make(c->munge, c->target, value + strlen(scheme), err));
    ret->header.value = grpc_slice_from_copied_string(value);
    ret->n = 1;
    return ST_OK;
}

static grpc_op op_send_headers(struct shown *shown)
{
    return (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA,
                     .data.send_initial_metadata = {.count = shown->n, .metadata = &shown->header}};
}

static grpc_op op_send_message(grpc_byte_buffer *bytes)
{
    return (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bytes};
}

static grpc_op op_send_close(void)
{
    return (grpc_op){.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
}

static grpc_op op_recv_headers(grpc_metadata_array *headers)
{
    return (grpc_op){.op = GRPC_OP_RECV_INITIAL_METADATA,
                     .data.recv_initial_metadata.recv_initial_metadata = headers};
}

static grpc_op op_recv_message(grpc_byte_buffer **bytes)
{
    return (grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = bytes};
}

static grpc_op op_recv_status(struct outcome *o)
{
    return (grpc_op){.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                     .data.recv_status_on_client = {.trailing_metadata = &o->trailing,
                                                    .status = &o->code,
                                                    .status_details = &o->details}};
}

/* Turns an outcome into a status and one sentence; deadline_ms 0 = the call had none. */
static enum status outcome_status(struct rpc_client *c, const struct outcome *o, int deadline_ms,
                                  struct err *err)
{
    if (o->code == GRPC_STATUS_OK)
        return ST_OK;
    enum status st = rpc_status_of((int)o->code);
    if (st == ST_UNAVAILABLE) {
        grpc_connectivity_state now = grpc_channel_check_connectivity_state(c->channel, 0);
        if (now == GRPC_CHANNEL_TRANSIENT_FAILURE || now == GRPC_CHANNEL_CONNECTING)
            return err_set(
                err, st,
                rpc_address_tls(c->target)
                    ? "cannot reach espalierd at %s: is it running, and does its "
                      "certificate name this host and come from a CA that is trusted here?"
                    : "cannot reach espalierd at %s: is it running? start it with: espalierd",
                c->target);
        if (now != GRPC_CHANNEL_READY)
            return err_set(err, st, "lost the connection to espalierd at %s", c->target);
    }
    if (st == ST_TIMEOUT && deadline_ms)
        return err_set(err, st, "espalierd at %s gave no answer within %d ms", c->target,
                       deadline_ms);
    if (st == ST_CANCELLED)
        return err_set(err, st, "the call was cancelled");
    int len = (int)GRPC_SLICE_LENGTH(o->details);
    return err_set(err, st, "%.*s", len, (const char *)GRPC_SLICE_START_PTR(o->details));
}

static enum status pack_request(grpc_byte_buffer **ret_bytes, const char *method,
                                const ProtobufCMessage *request, struct err *err)
{
    bool ok = false;
    grpc_byte_buffer *bytes = rpc_pack(request, &ok);
    enum status st = ST_OK;
    if (!ok)
        st = err_set(err, ST_INVALID, "the request of %s holds text that is not UTF-8", method);
    else if (grpc_byte_buffer_length(bytes) > RPC_MESSAGE_MAX)
        st = err_set(err, ST_LIMIT, "the request of %s has %zu bytes, at most %u are taken", method,
                     grpc_byte_buffer_length(bytes), RPC_MESSAGE_MAX);
    if (st == ST_OK)
        *ret_bytes = bytes;
    else
        grpc_byte_buffer_destroy(bytes);
    return st;
}

/* A reply that does not parse is the server's fault. */
static enum status unpack_reply(ProtobufCMessage **ret_message,
                                const ProtobufCMessageDescriptor *type, grpc_byte_buffer *bytes,
                                struct err *err)
{
    if (rpc_unpack(ret_message, type, bytes, err) == ST_OK)
        return ST_OK;
    if (err)
        err->code = ST_CORRUPT;
    return ST_CORRUPT;
}

static grpc_call *create_call(struct rpc_client *c, grpc_completion_queue *queue,
                              const char *method, gpr_timespec deadline)
{
    grpc_slice name = grpc_slice_from_copied_string(method);
    grpc_call *core = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                               name, NULL, deadline, NULL);
    grpc_slice_unref(name);
    return core;
}

static void queue_destroy(grpc_completion_queue *queue)
{
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(queue);
}

/* ---- unary -------------------------------------------------------------------------------- */

enum status rpc_client_call(struct rpc_client *c, const char *method,
                            const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *reply_type, int deadline_ms,
                            ProtobufCMessage **ret_reply, struct err *err)
{
    grpc_byte_buffer *bytes, *answer = NULL;
    struct shown shown;
    TRY(show(c, &shown, err));
    enum status st = pack_request(&bytes, method, request, err);
    if (st != ST_OK) {
        grpc_slice_unref(shown.header.value);
        return st;
    }
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(deadline_ms, GPR_TIMESPAN));
    grpc_call *core = create_call(c, queue, method, deadline);
    struct outcome outcome;
    outcome_init(&outcome);
    grpc_metadata_array headers;
    grpc_metadata_array_init(&headers);
    grpc_op ops[] = {op_send_headers(&shown),   op_send_message(bytes),   op_send_close(),
                     op_recv_headers(&headers), op_recv_message(&answer), op_recv_status(&outcome)};
    rpc_publish(&outcome);
    if (grpc_call_start_batch(core, ops, sizeof ops / sizeof ops[0], &outcome, NULL) !=
        GRPC_CALL_OK) {
        st = err_set(err, ST_INTERNAL, "cannot start the call of %s", method);
    } else {
        grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        rpc_observe(&outcome);
        st = outcome_status(c, &outcome, deadline_ms, err);
        if (st == ST_OK && !answer)
            st = err_set(err, ST_CORRUPT, "%s was answered without a message", method);
    }
    if (st == ST_OK)
        st = unpack_reply(ret_reply, reply_type, answer, err);
    else if (answer)
        grpc_byte_buffer_destroy(answer);
    grpc_metadata_array_destroy(&headers);
    outcome_fini(&outcome);
    grpc_call_unref(core);
    queue_destroy(queue);
    grpc_slice_unref(shown.header.value);
    grpc_byte_buffer_destroy(bytes);
    return st;
}

/* ---- server streams ----------------------------------------------------------------------- */

struct rpc_stream {
    struct rpc_client *client;
    grpc_completion_queue *queue;
    grpc_call *core;
    const ProtobufCMessageDescriptor *type;
    grpc_byte_buffer *request, *answer;
    struct shown shown;
    grpc_metadata_array headers;
    struct outcome outcome;
    bool over; /* the status has come */
};

/* Tags of a stream's queue: the addresses of the fields they fill. */
static bool stream_start(struct rpc_stream *s)
{
    grpc_op status[] = {op_recv_status(&s->outcome)};
    grpc_op send[] = {op_send_headers(&s->shown), op_send_message(s->request), op_send_close(),
                      op_recv_headers(&s->headers)};
    rpc_publish(&s->outcome);
    rpc_publish(&s->headers);
    return grpc_call_start_batch(s->core, status, 1, &s->outcome, NULL) == GRPC_CALL_OK &&
           grpc_call_start_batch(s->core, send, 4, &s->headers, NULL) == GRPC_CALL_OK;
}

enum status rpc_stream_open(struct rpc_stream **ret_stream, struct rpc_client *c,
                            const char *method, const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *reply_type, struct err *err)
{
    grpc_byte_buffer *bytes;
    TRY(pack_request(&bytes, method, request, err));
    struct shown shown;
    struct rpc_stream *s = calloc(1, sizeof *s);
    enum status st = s ? show(c, &shown, err)
                       : err_set(err, ST_NOMEM, "out of memory for the stream of %s", method);
    if (st != ST_OK) {
        grpc_byte_buffer_destroy(bytes);
        free(s);
        return st;
    }
    *s = (struct rpc_stream){.client = c, .type = reply_type, .request = bytes, .shown = shown};
    outcome_init(&s->outcome);
    grpc_metadata_array_init(&s->headers);
    s->queue = grpc_completion_queue_create_for_next(NULL);
    s->core = create_call(c, s->queue, method, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    if (!stream_start(s)) {
        rpc_stream_close(s);
        return err_set(err, ST_INTERNAL, "cannot start the stream of %s", method);
    }
    *ret_stream = s;
    return ST_OK;
}

/* Waits until the event of `tag` has come; others that come first are noted. */
static void stream_wait(struct rpc_stream *s, void *tag)
{
    grpc_event ev;
    do {
        ev = grpc_completion_queue_next(s->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        rpc_observe(ev.tag);
        s->over = s->over || ev.tag == &s->outcome;
    } while (ev.tag != tag);
}

enum status rpc_stream_next(struct rpc_stream *s, ProtobufCMessage **ret_message, struct err *err)
{
    grpc_op op = op_recv_message(&s->answer);
    s->answer = NULL;
    rpc_publish(&s->answer);
    if (grpc_call_start_batch(s->core, &op, 1, &s->answer, NULL) == GRPC_CALL_OK)
        stream_wait(s, &s->answer);
    if (s->answer)
        return unpack_reply(ret_message, s->type, s->answer, err);
    if (!s->over)
        stream_wait(s, &s->outcome);
    enum status st = outcome_status(s->client, &s->outcome, 0, err);
    if (st == ST_OK)
        *ret_message = NULL;
    return st;
}

void rpc_stream_cancel(struct rpc_stream *s)
{
    grpc_call_cancel(s->core, NULL);
}

void rpc_stream_close(struct rpc_stream *s)
{
    if (!s)
        return;
    grpc_call_cancel(s->core, NULL);
    queue_destroy(s->queue);
    grpc_call_unref(s->core);
    outcome_fini(&s->outcome);
    grpc_metadata_array_destroy(&s->headers);
    grpc_slice_unref(s->shown.header.value);
    grpc_byte_buffer_destroy(s->request);
    free(s);
}
