/* echo.c - the least that gRPC core can do: a server that sends a message back, and its client.
 *
 *     bench_echo serve ADDRESS                        prints "listening", serves until it is ended
 *     bench_echo call  ADDRESS OUTSTANDING SECONDS    prints what load.h says
 *
 * The peer of Ping: one completion-queue thread as in espalierd, a client that waits on a queue of
 * its own for each call as ours does, but no messages, checks, inbox or store behind it.
 */
#include "load.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD "/bench.Echo/Echo"
#define ARMED 16 /* requests waiting for a call */

/* ---- server ------------------------------------------------------------------------------------ */

struct server {
    grpc_server *core;
    grpc_completion_queue *queue;
    void *method;
};

struct served {
    grpc_call *call; /* NULL while waiting for one */
    grpc_byte_buffer *payload;
    grpc_metadata_array metadata;
    gpr_timespec deadline;
    int cancelled;
};

static void arm(struct server *s, struct served *c)
{
    c->call = NULL;
    grpc_metadata_array_init(&c->metadata);
    grpc_server_request_registered_call(s->core, s->method, &c->call, &c->deadline, &c->metadata,
                                        &c->payload, s->queue, s->queue, c);
}

static void answer(struct served *c)
{
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = c->payload},
        {.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
         .data.send_status_from_server.status = GRPC_STATUS_OK},
        {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &c->cancelled},
    };
    grpc_call_start_batch(c->call, ops, 4, c, NULL);
}

static int serve(const char *address)
{
    static struct served served[ARMED];
    struct server s = {.core = grpc_server_create(NULL, NULL),
                       .queue = grpc_completion_queue_create_for_next(NULL)};
    grpc_server_register_completion_queue(s.core, s.queue, NULL);
    s.method = grpc_server_register_method(s.core, METHOD, NULL,
                                           GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    grpc_server_credentials *creds = grpc_insecure_server_credentials_create();
    if (!s.method || !grpc_server_add_http2_port(s.core, address, creds)) {
        fprintf(stderr, "bench_echo: cannot listen on %s\n", address);
        return 8;
    }
    grpc_server_start(s.core);
    for (int i = 0; i < ARMED; i++)
        arm(&s, &served[i]);
    puts("listening");
    fflush(stdout);
    for (;;) {
        grpc_event e =
            grpc_completion_queue_next(s.queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct served *c = e.tag;
        if (c->call && c->payload) {
            answer(c);
            grpc_byte_buffer_destroy(c->payload);
            c->payload = NULL;
            continue;
        }
        if (c->call)
            grpc_call_unref(c->call);
        grpc_metadata_array_destroy(&c->metadata);
        arm(&s, c);
    }
}

/* ---- client ------------------------------------------------------------------------------------ */

struct asked {
    grpc_metadata_array headers, trailing;
    grpc_byte_buffer *sent, *got;
    grpc_slice details;
    grpc_status_code code;
};

static void ask(grpc_call *call, grpc_completion_queue *queue, struct asked *a)
{
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = a->sent},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &a->headers},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &a->got},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &a->trailing,
                                        .status = &a->code,
                                        .status_details = &a->details}},
    };
    grpc_call_start_batch(call, ops, 6, a, NULL);
    grpc_completion_queue_pluck(queue, a, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static enum status echo(void *user, int worker, int64_t n, struct err *err)
{
    (void)worker;
    static const char payload[32] = "as long as the answer to a Ping";
    struct asked a = {.details = grpc_empty_slice()};
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(20, GPR_TIMESPAN));
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    grpc_slice method = grpc_slice_from_static_string(METHOD);
    grpc_slice body = grpc_slice_from_static_buffer(payload, sizeof payload);
    grpc_call *call = grpc_channel_create_call(user, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method,
                                               NULL, deadline, NULL);
    a.sent = grpc_raw_byte_buffer_create(&body, 1);
    grpc_metadata_array_init(&a.headers);
    grpc_metadata_array_init(&a.trailing);
    ask(call, queue, &a);
    bool sane =
        a.code == GRPC_STATUS_OK && a.got && grpc_byte_buffer_length(a.got) == sizeof payload;
    grpc_byte_buffer_destroy(a.sent);
    if (a.got)
        grpc_byte_buffer_destroy(a.got);
    grpc_slice_unref(a.details);
    grpc_metadata_array_destroy(&a.headers);
    grpc_metadata_array_destroy(&a.trailing);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    return sane ? ST_OK
                : err_set(err, ST_INTERNAL, "echo %lld ended with gRPC status %d", (long long)n,
                          (int)a.code);
}

static int call(const char *address, int outstanding, double seconds)
{
    struct err err;
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(address, creds, NULL);
    grpc_channel_credentials_release(creds);
    struct load load = {.workers = outstanding,
                        .seconds = seconds,
                        .most = LOAD_CALLS_MAX,
                        .call = echo,
                        .user = channel};
    enum status st = load_run(&load, &err);
    if (st != ST_OK)
        fprintf(stderr, "bench_echo: %s\n", err.text);
    grpc_channel_destroy(channel);
    return status_exit_code(st);
}

int main(int argc, char **argv)
{
    setenv("GRPC_VERBOSITY", "NONE", 0);
    grpc_init();
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2]);
    if (argc == 5 && strcmp(argv[1], "call") == 0)
        return call(argv[2], (int)strtol(argv[3], NULL, 10), strtod(argv[4], NULL));
    fputs("usage: bench_echo serve ADDRESS | call ADDRESS OUTSTANDING SECONDS\n", stderr);
    return 2;
}
