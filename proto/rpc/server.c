/* server.c - the server's method table, its one completion-queue thread, start and stop.
 *
 * Calls are taken generically and found in the table, because a call to an unregistered method
 * would otherwise hang until its deadline. Events carry their handler: the loop is a column of two
 * lines.
 */
#include "rpc/core.h"

#include "base/clock.h"

#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ACCEPTS 8 /* armed at a time */
#define SWEEP_MS 1000

struct rpc_accept {
    struct rpc_event event;
    grpc_call *core;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static grpc_server *create_core(void)
{
    grpc_arg args[] = {
        /* Else two servers share a port and each gets half of the calls. */
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, RPC_STREAMS_MAX),
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_MESSAGE_MAX),
        int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10000),
        int_arg(GRPC_ARG_MAX_CONNECTION_IDLE_MS, RPC_IDLE_MS),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 20000),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000),
        int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0), /* counts for a service that is not served here */
        /* A compressed message is limited before, not after it is unpacked: none is accepted. */
        int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
        int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
    };
    grpc_channel_args all = {sizeof args / sizeof args[0], args};
    return grpc_server_create(&all, NULL);
}

static void server_stopped(struct rpc_event *e, bool ok)
{
    struct rpc_server *s = e->owner;
    (void)ok;
    pthread_mutex_lock(&s->lock);
    s->stopped = true;
    pthread_cond_broadcast(&s->stopped_cond);
    pthread_mutex_unlock(&s->lock);
}

enum status rpc_server_create(struct rpc_server **ret_server, struct err *err)
{
    struct rpc_server *s = calloc(1, sizeof *s);
    struct rpc_accept *accepts = calloc(ACCEPTS, sizeof *accepts);
    if (!s || !accepts) {
        free(s);
        free(accepts);
        return err_set(err, ST_NOMEM, "out of memory for a server");
    }
    rpc_core_start();
    s->accepts = accepts;
    s->core = create_core();
    s->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(s->core, s->queue, NULL);
    s->stop_event = (struct rpc_event){server_stopped, s};
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->guard.lock, NULL);
    pthread_cond_init(&s->guard.wake, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->stopped_cond, &attr);
    pthread_condattr_destroy(&attr);

    enum status st = rpc_add_health(s, err);
    if (st == ST_OK)
        st = rpc_add_reflection(s, err);
    if (st != ST_OK) {
        rpc_server_destroy(s);
        return st;
    }
    *ret_server = s;
    return ST_OK;
}

/* ---- the method table --------------------------------------------------------------------- */

static const struct rpc_entry *find_entry(const struct rpc_server *s, const char *path)
{
    for (size_t i = 0; i < s->n_entries; i++)
        if (strcmp(s->entries[i].path, path) == 0)
            return &s->entries[i];
    return NULL;
}

enum status rpc_server_add_entry(struct rpc_server *s, const struct rpc_entry *entry,
                                 struct err *err)
{
    if (find_entry(s, entry->path))
        return err_set(err, ST_EXISTS, "method %s is registered twice", entry->path);
    struct rpc_entry *more = reallocarray(s->entries, s->n_entries + 1, sizeof *more);
    if (!more)
        return err_set(err, ST_NOMEM, "out of memory for method %s", entry->path);
    s->entries = more;
    s->entries[s->n_entries++] = *entry;
    return ST_OK;
}

enum status rpc_server_note_service(struct rpc_server *s, const char *name, struct err *err)
{
    const char **more = reallocarray(s->services, s->n_services + 1, sizeof *more);
    if (!more)
        return err_set(err, ST_NOMEM, "out of memory for service %s", name);
    s->services = more;
    s->services[s->n_services++] = name;
    return ST_OK;
}

static const struct rpc_method *find_row(const struct rpc_method *methods, size_t n,
                                         const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

enum status rpc_server_add(struct rpc_server *s, const ProtobufCServiceDescriptor *service,
                           const struct rpc_method *methods, size_t n, void *user, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!protobuf_c_service_descriptor_get_method_by_name(service, methods[i].name))
            return err_set(err, ST_INVALID, "service %s has no method %s", service->name,
                           methods[i].name);
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *m = &service->methods[i];
        const struct rpc_method *row = find_row(methods, n, m->name);
        if (!row || !row->handler)
            return err_set(err, ST_INVALID, "method %s of service %s has no handler", m->name,
                           service->name);
        struct rpc_entry entry = {.kind = (int)row->kind,
                                  .handler = row->handler,
                                  .user = user,
                                  .input = m->input,
                                  .output = m->output};
        snprintf(entry.path, sizeof entry.path, "/%s/%s", service->name, m->name);
        TRY(rpc_server_add_entry(s, &entry, err));
    }
    return rpc_server_note_service(s, service->name, err);
}

/* ---- listening ---------------------------------------------------------------------------- */

enum status rpc_server_listen(struct rpc_server *s, const char *address, int *ret_port,
                              struct err *err)
{
    TRY(rpc_address_prepare(address, err));
    const char *path = rpc_address_path(address), *secure = rpc_address_tls(address);
    if (secure && !s->tls)
        return err_set(err, ST_INVALID, "cannot listen on %s without a certificate and a key",
                       address);
    grpc_server_credentials *creds =
        secure ? rpc_tls_server_credentials(s->tls) : grpc_insecure_server_credentials_create();
    if (!creds)
        return err_set(err, ST_LIMIT, "too many tls: addresses; %s is one too many", address);
    /* The socket must never be open to others, not even between bind and chmod. */
    mode_t old = path ? umask(0177) : 0;
    int port = grpc_server_add_http2_port(s->core, secure ? secure : address, creds);
    if (path)
        umask(old);
    grpc_server_credentials_release(creds);
    if (port == 0)
        return err_set(
            err, ST_UNAVAILABLE,
            "cannot listen on %s: is it taken, is its folder there, may you write to it?", address);
    if (secure)
        s->tls_port[s->n_tls_ports++] = port;
    if (ret_port)
        *ret_port = path ? 0 : port;
    return ST_OK;
}

bool rpc_server_is_at(const struct rpc_server *s, const char *address)
{
    char host[MUNGE_ADDRESS_MAX];
    const char *at = rpc_address_tls(address), *colon = at ? strrchr(at, ':') : NULL;
    if (!colon || colon - at >= (ptrdiff_t)sizeof host)
        return false;
    bool bracket = at[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - at) - 2 * bracket, at + bracket);
    for (int i = 0; i < s->n_tls_ports; i++) {
        char port[12];
        snprintf(port, sizeof port, "%d", s->tls_port[i]);
        if (strcmp(port, colon + 1) == 0)
            return rpc_tls_names(s->tls, host);
    }
    return false;
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void accept_arm(struct rpc_server *s, struct rpc_accept *a)
{
    grpc_call_details_init(&a->details);
    grpc_metadata_array_init(&a->metadata);
    rpc_publish(&a->event);
    if (grpc_server_request_call(s->core, &a->core, &a->details, &a->metadata, s->queue, s->queue,
                                 &a->event) != GRPC_CALL_OK) {
        grpc_call_details_destroy(&a->details);
        grpc_metadata_array_destroy(&a->metadata);
    }
}

static void accepted(struct rpc_event *e, bool ok)
{
    struct rpc_accept *a = (struct rpc_accept *)e;
    struct rpc_server *s = e->owner;
    struct rpc_knock knock = {.core = a->core};
    if (ok) {
        /* A name that does not fit is no method of ours; cut, it matches none. */
        size_t len = GRPC_SLICE_LENGTH(a->details.method);
        len = len < sizeof knock.path ? len : sizeof knock.path - 1;
        memcpy(knock.path, GRPC_SLICE_START_PTR(a->details.method), len);
        knock.entry = find_entry(s, knock.path);
        rpc_knock_read(&knock, &a->metadata);
    }
    grpc_call_details_destroy(&a->details);
    grpc_metadata_array_destroy(&a->metadata);
    if (!ok)
        return; /* the server is stopping */
    accept_arm(s, a);
    rpc_guard_pass(s, &knock);
    explicit_bzero(knock.bearer, sizeof knock.bearer);
}

static void *server_loop(void *arg)
{
    struct rpc_server *s = arg;
    int64_t next_sweep = 0;
    for (;;) {
        gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                          gpr_time_from_millis(SWEEP_MS, GPR_TIMESPAN));
        grpc_event ev = grpc_completion_queue_next(s->queue, until, NULL);
        if (ev.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (ev.type == GRPC_OP_COMPLETE) {
            struct rpc_event *e = ev.tag;
            rpc_observe(e);
            e->done(e, ev.success);
        }
        int64_t now = clock_mono_ns() / 1000000;
        if (now >= next_sweep) {
            next_sweep = now + SWEEP_MS;
            pthread_mutex_lock(&s->lock);
            rpc_calls_sweep(s, now, false);
            pthread_mutex_unlock(&s->lock);
        }
    }
}

enum status rpc_server_start(struct rpc_server *s, struct err *err)
{
    TRY(rpc_guard_start(s, err));
    grpc_server_start(s->core);
    for (size_t i = 0; i < ACCEPTS; i++) {
        s->accepts[i].event = (struct rpc_event){accepted, s};
        accept_arm(s, &s->accepts[i]);
    }
    int e = pthread_create(&s->thread, NULL, server_loop, s);
    if (e) {
        rpc_guard_end(s);
        return err_set(err, ST_LIMIT, "cannot start the server's thread: %s", strerror(e));
    }
    s->started = true;
    return ST_OK;
}

/* ---- the end ------------------------------------------------------------------------------ */

static struct timespec monotonic_after(int ms)
{
    int64_t ns = clock_mono_ns() + (int64_t)(ms > 0 ? ms : 0) * 1000000;
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

void rpc_server_stop(struct rpc_server *s, int grace_ms)
{
    if (!s->started)
        return;
    rpc_publish(&s->stop_event);
    grpc_server_shutdown_and_notify(s->core, s->queue, &s->stop_event);
    rpc_guard_end(s);
    struct timespec until = monotonic_after(grace_ms);
    pthread_mutex_lock(&s->lock);
    /* A monitor's Watch of the health service would hold every stop for the whole grace. */
    rpc_calls_sweep(s, 0, true);
    while (!s->stopped && pthread_cond_timedwait(&s->stopped_cond, &s->lock, &until) == 0)
        ;
    bool cancel = !s->stopped;
    pthread_mutex_unlock(&s->lock);
    if (cancel)
        grpc_server_cancel_all_calls(s->core);
    pthread_mutex_lock(&s->lock);
    while (!s->stopped)
        pthread_cond_wait(&s->stopped_cond, &s->lock);
    pthread_mutex_unlock(&s->lock);
    grpc_completion_queue_shutdown(s->queue);
    pthread_join(s->thread, NULL);
    s->started = false;
}

/* A server that never ran still owes gRPC a shutdown before its destruction. */
static void drain_unstarted(struct rpc_server *s)
{
    grpc_server_shutdown_and_notify(s->core, s->queue, &s->stop_event);
    gpr_timespec ever = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    while (!s->stopped) {
        grpc_event ev = grpc_completion_queue_next(s->queue, ever, NULL);
        struct rpc_event *e = ev.tag;
        e->done(e, ev.success);
    }
    grpc_completion_queue_shutdown(s->queue);
    while (grpc_completion_queue_next(s->queue, ever, NULL).type != GRPC_QUEUE_SHUTDOWN)
        ;
}

void rpc_server_destroy(struct rpc_server *s)
{
    if (!s)
        return;
    rpc_server_stop(s, 0);
    if (!s->stopped)
        drain_unstarted(s);
    grpc_server_destroy(s->core);
    grpc_completion_queue_destroy(s->queue);
    rpc_tls_destroy(s->tls);
    pthread_cond_destroy(&s->stopped_cond);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->guard.wake);
    pthread_mutex_destroy(&s->guard.lock);
    free(s->accepts);
    free(s->entries);
    free(s->services);
    free(s);
}
