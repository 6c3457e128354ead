/* wire.c - calls to a running espalierd through our client library.
 *
 *     bench_wire ping   ADDRESS OUTSTANDING SECONDS            one channel, as many threads
 *     bench_wire submit ADDRESS CLIENTS SECONDS JOB MOST       a channel a client; MOST jobs each
 *
 * Prints what load.h says. A submitted job file is taken from the folder "/".
 */
#include "load.h"

#include "base/file.h"
#include "espalier/v1/job.pb-c.h"
#include "rpc/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000 };

struct wire {
    struct rpc_client *client[LOAD_WORKERS_MAX]; /* all the same when there is one channel */
    struct buf job;
};

static enum status ping(void *user, int worker, int64_t n, struct err *err)
{
    (void)n;
    struct wire *w = user;
    Espalier__V1__PingRequest q = ESPALIER__V1__PING_REQUEST__INIT;
    ProtobufCMessage *reply;
    TRY(rpc_client_call(w->client[worker], "/espalier.v1.JobService/Ping", &q.base,
                        &espalier__v1__ping_reply__descriptor, DEADLINE_MS, &reply, err));
    bool sane = ((Espalier__V1__PingReply *)reply)->cores > 0;
    protobuf_c_message_free_unpacked(reply, NULL);
    return sane ? ST_OK : err_set(err, ST_INTERNAL, "a Ping was answered with 0 cores");
}

static enum status submit(void *user, int worker, int64_t n, struct err *err)
{
    struct wire *w = user;
    Espalier__V1__SubmitRequest q = ESPALIER__V1__SUBMIT_REQUEST__INIT;
    ProtobufCMessage *reply;
    char id[64];
    snprintf(id, sizeof id, "bench-%d-%d-%lld", (int)getpid(), worker, (long long)n);
    q.job_file.data = (uint8_t *)w->job.data;
    q.job_file.len = w->job.len;
    q.file_name = (char *)"job.yaml";
    q.folder = (char *)"/";
    q.request_id = id;
    TRY(rpc_client_call(w->client[worker], "/espalier.v1.JobService/Submit", &q.base,
                        &espalier__v1__submit_reply__descriptor, DEADLINE_MS, &reply, err));
    bool sane = strtoll(((Espalier__V1__SubmitReply *)reply)->id, NULL, 10) > 0;
    protobuf_c_message_free_unpacked(reply, NULL);
    return sane ? ST_OK : err_set(err, ST_INTERNAL, "a Submit was answered without a job's id");
}

static int usage(void)
{
    fputs("usage: bench_wire ping ADDRESS OUTSTANDING SECONDS\n"
          "       bench_wire submit ADDRESS CLIENTS SECONDS JOB MOST\n",
          stderr);
    return 2;
}

static enum status open_clients(struct wire *w, const char *address, int n, bool one_channel,
                                struct err *err)
{
    for (int i = 0; i < n; i++)
        if (i && one_channel)
            w->client[i] = w->client[0];
        else
            TRY(rpc_client_open(&w->client[i], address, err));
    return ST_OK;
}

int main(int argc, char **argv)
{
    static struct wire w;
    struct err err;
    bool pings = argc == 5 && strcmp(argv[1], "ping") == 0;
    if (!pings && !(argc == 7 && strcmp(argv[1], "submit") == 0))
        return usage();
    struct load load = {.workers = (int)strtol(argv[3], NULL, 10),
                        .seconds = strtod(argv[4], NULL),
                        .most = pings ? LOAD_CALLS_MAX : strtol(argv[6], NULL, 10),
                        .call = pings ? ping : submit,
                        .user = &w};
    if (load.workers < 1 || load.workers > LOAD_WORKERS_MAX)
        return usage();
    buf_init(&w.job, 1u << 20);
    enum status st = pings ? ST_OK : file_read(&w.job, argv[5], &err);
    if (st == ST_OK)
        st = open_clients(&w, argv[2], load.workers, pings, &err);
    if (st == ST_OK)
        st = load_run(&load, &err);
    if (st != ST_OK)
        fprintf(stderr, "bench_wire: %s\n", err.text);
    for (int i = load.workers - 1; i >= 0; i--)
        if (i == 0 || w.client[i] != w.client[0])
            rpc_client_close(w.client[i]);
    buf_fini(&w.job);
    return status_exit_code(st);
}
