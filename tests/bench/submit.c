/* submit.c - Submits of many clients at a running espalierd, each with its own connection and one call at a time.
 *
 *     bench_submit ADDRESS CLIENTS CALLS JOB
 *
 * CALLS Submits of each client, after LOAD_WARM that are not counted; every one is another job: the file JOB with a
 * seed of its own, taken from the folder "/". All clients are served by one thread over gRPC core, since what they
 * cost is taken from the daemon: clients are elsewhere, as a rule. Prints what load.h says.
 */
#include "load.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "espalier/v1/job.pb-c.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEADLINE_S = 20 };

struct client {
    grpc_channel *channel;
    int64_t left; /* calls still to begin */
    int64_t begun_ns;
    grpc_call *call;
    grpc_metadata_array headers, trailing;
    grpc_byte_buffer *got;
    grpc_slice details;
    grpc_status_code code;
};

struct bench {
    grpc_completion_queue *queue;
    struct buf job;    /* the file; behind it, each time anew, the seed */
    size_t job_len;    /* of the file alone */
    int64_t submitted; /* of all clients, for request ids and seeds */
    int64_t *ns, calls;
    struct client client[LOAD_WORKERS_MAX];
};

/* ---- one call --------------------------------------------------------------------------------- */

static grpc_byte_buffer *make_request(struct bench *b)
{
    char id[64];
    Espalier__V1__SubmitRequest q = ESPALIER__V1__SUBMIT_REQUEST__INIT;
    long long n = (long long)++b->submitted;
    b->job.len = b->job_len;
    buf_printf(&b->job, "train: {seed: %lld}\n", n);
    snprintf(id, sizeof id, "bench-%d-%lld", (int)getpid(), n);
    q.job_file.data = (uint8_t *)b->job.data;
    q.job_file.len = b->job.len;
    q.file_name = (char *)"job.yaml";
    q.folder = (char *)"/";
    q.request_id = id;
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(&q.base));
    protobuf_c_message_pack(&q.base, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return bytes;
}

static void begin(struct bench *b, struct client *c)
{
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(DEADLINE_S, GPR_TIMESPAN));
    grpc_byte_buffer *request = make_request(b);
    grpc_metadata_array_init(&c->headers);
    grpc_metadata_array_init(&c->trailing);
    c->got = NULL;
    c->details = grpc_empty_slice();
    c->left--;
    c->begun_ns = clock_mono_ns();
    c->call = grpc_channel_create_call(
        c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, b->queue,
        grpc_slice_from_static_string("/espalier.v1.JobService/Submit"), NULL, deadline, NULL);
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = request},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &c->headers},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->got},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &c->trailing,
                                        .status = &c->code,
                                        .status_details = &c->details}},
    };
    grpc_call_start_batch(c->call, ops, 6, c, NULL);
    grpc_byte_buffer_destroy(request);
}

static enum status check_reply(const struct client *c, struct err *err)
{
    grpc_byte_buffer_reader reader;
    if (c->code != GRPC_STATUS_OK || !c->got)
        return err_set(err, ST_INTERNAL, "a Submit ended with gRPC status %d: %.*s", (int)c->code,
                       (int)GRPC_SLICE_LENGTH(c->details),
                       (const char *)GRPC_SLICE_START_PTR(c->details));
    grpc_byte_buffer_reader_init(&reader, c->got);
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    Espalier__V1__SubmitReply *reply = espalier__v1__submit_reply__unpack(
        NULL, GRPC_SLICE_LENGTH(slice), GRPC_SLICE_START_PTR(slice));
    bool sane = reply && strtoll(reply->id, NULL, 10) > 0;
    if (reply)
        espalier__v1__submit_reply__free_unpacked(reply, NULL);
    grpc_slice_unref(slice);
    return sane ? ST_OK : err_set(err, ST_INTERNAL, "a Submit was answered without a job's id");
}

static enum status end(struct bench *b, struct client *c, struct err *err)
{
    enum status st = check_reply(c, err);
    b->ns[b->calls++] = clock_mono_ns() - c->begun_ns;
    if (c->got)
        grpc_byte_buffer_destroy(c->got);
    grpc_slice_unref(c->details);
    grpc_metadata_array_destroy(&c->headers);
    grpc_metadata_array_destroy(&c->trailing);
    grpc_call_unref(c->call);
    c->call = NULL;
    return st;
}

/* ---- all of them ------------------------------------------------------------------------------ */

/* `calls` of each of n clients, from the first begin to the last end. After a failure nothing new is begun. */
static enum status run(struct bench *b, int n, int64_t calls, double *ret_seconds, struct err *err)
{
    enum status st = ST_OK;
    int64_t begun = clock_mono_ns();
    b->calls = 0;
    for (int i = 0; i < n; i++) {
        b->client[i].left = calls;
        begin(b, &b->client[i]);
    }
    for (int out = n; out > 0;) {
        grpc_event e =
            grpc_completion_queue_next(b->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct client *c = e.tag;
        enum status ended = end(b, c, st == ST_OK ? err : NULL);
        st = st == ST_OK ? ended : st;
        if (st == ST_OK && c->left > 0)
            begin(b, c);
        else
            out--;
    }
    *ret_seconds = 1e-9 * (double)(clock_mono_ns() - begun);
    return st;
}

static enum status measure(struct bench *b, int n, int64_t calls, struct err *err)
{
    double seconds;
    int64_t most = calls > LOAD_WARM ? calls : LOAD_WARM;
    b->ns = malloc((size_t)(n * most) * sizeof *b->ns);
    if (!b->ns)
        return err_set(err, ST_NOMEM, "out of memory for %" PRId64 " calls", n * most);
    TRY(run(b, n, LOAD_WARM, &seconds, err));
    TRY(run(b, n, calls, &seconds, err));
    load_print(b->ns, b->calls, seconds);
    return ST_OK;
}

static void open_clients(struct bench *b, const char *address, int n)
{
    b->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_arg list[] = {
        /* Else channels of one process to one address share a connection. */
        {GRPC_ARG_INTEGER, (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
        {GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_RETRIES,
         .value.integer = 0}, /* as in rpc/client.c */
    };
    grpc_channel_args args = {sizeof list / sizeof *list, list};
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    for (int i = 0; i < n; i++)
        b->client[i].channel = grpc_channel_create(address, creds, &args);
    grpc_channel_credentials_release(creds);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct err err;
    int n = argc == 5 ? (int)strtol(argv[2], NULL, 10) : 0;
    int64_t calls = argc == 5 ? strtoll(argv[3], NULL, 10) : 0;
    if (n < 1 || n > LOAD_WORKERS_MAX || calls < 1 || calls > LOAD_CALLS_MAX / n) {
        fputs("usage: bench_submit ADDRESS CLIENTS CALLS JOB\n", stderr);
        return 2;
    }
    setenv("GRPC_VERBOSITY", "NONE", 0);
    grpc_init();
    buf_init(&b.job, 1u << 20);
    enum status st = file_read(&b.job, argv[4], &err);
    b.job_len = b.job.len;
    open_clients(&b, argv[1], n);
    if (st == ST_OK)
        st = measure(&b, n, calls, &err);
    if (st != ST_OK)
        fprintf(stderr, "bench_submit: %s\n", err.text);
    for (int i = 0; i < n; i++)
        grpc_channel_destroy(b.client[i].channel);
    free(b.ns);
    buf_fini(&b.job);
    return status_exit_code(st);
}
