/* wire.c - calls to a running espalierd through our client library.
 *
 *     bench_wire ping   ADDRESS OUTSTANDING SECONDS            one channel, as many threads
 *     bench_wire get    ADDRESS OUTSTANDING SECONDS JOBS       jobs from all over 1..JOBS, one channel
 *     bench_wire list   ADDRESS OUTSTANDING SECONDS            pages of 50, on and on through all jobs
 *     bench_wire watch  ADDRESS STREAMS                        follows all jobs from now on until stdin ends
 *
 * Prints what load.h says; watch: "watching", and at its end how many events came.
 */
#include "load.h"

#include "espalier/v1/job.pb-c.h"
#include "rpc/rpc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000, STREAMS_MAX = 256, PAGE = 50, TOKEN_SIZE = 64 };

struct wire {
    struct rpc_client *client;
    int64_t jobs;                             /* get: ids 1..jobs */
    char token[LOAD_WORKERS_MAX][TOKEN_SIZE]; /* list: where each worker is */
};

static enum status ping(void *user, int worker, int64_t n, struct err *err)
{
    (void)worker;
    (void)n;
    struct wire *w = user;
    Espalier__V1__PingRequest q = ESPALIER__V1__PING_REQUEST__INIT;
    ProtobufCMessage *reply;
    TRY(rpc_client_call(w->client, "/espalier.v1.JobService/Ping", &q.base,
                        &espalier__v1__ping_reply__descriptor, DEADLINE_MS, &reply, err));
    bool sane = ((Espalier__V1__PingReply *)reply)->cores > 0;
    protobuf_c_message_free_unpacked(reply, NULL);
    return sane ? ST_OK : err_set(err, ST_INTERNAL, "a Ping was answered with 0 cores");
}

static enum status get(void *user, int worker, int64_t n, struct err *err)
{
    struct wire *w = user;
    Espalier__V1__GetRequest q = ESPALIER__V1__GET_REQUEST__INIT;
    ProtobufCMessage *reply;
    char id[24];
    /* A stride that shares no factor with any round number: every part of the store is asked for. */
    snprintf(id, sizeof id, "%lld", (long long)(1 + (n * 7919 + worker * 104729) % w->jobs));
    q.id = id;
    TRY(rpc_client_call(w->client, "/espalier.v1.JobService/Get", &q.base,
                        &espalier__v1__get_reply__descriptor, DEADLINE_MS, &reply, err));
    const Espalier__V1__Job *job = ((Espalier__V1__GetReply *)reply)->job;
    bool sane = job && strcmp(job->id, id) == 0;
    protobuf_c_message_free_unpacked(reply, NULL);
    return sane ? ST_OK : err_set(err, ST_INTERNAL, "Get of job %s gave another", id);
}

static enum status list(void *user, int worker, int64_t n, struct err *err)
{
    (void)n;
    struct wire *w = user;
    Espalier__V1__ListRequest q = ESPALIER__V1__LIST_REQUEST__INIT;
    ProtobufCMessage *reply;
    q.page_size = PAGE;
    q.page_token = w->token[worker];
    TRY(rpc_client_call(w->client, "/espalier.v1.JobService/List", &q.base,
                        &espalier__v1__list_reply__descriptor, DEADLINE_MS, &reply, err));
    const Espalier__V1__ListReply *l = (Espalier__V1__ListReply *)reply;
    bool sane = l->n_jobs == PAGE || !l->next_page_token[0];
    snprintf(w->token[worker], TOKEN_SIZE, "%s", l->next_page_token);
    protobuf_c_message_free_unpacked(reply, NULL);
    return sane ? ST_OK : err_set(err, ST_INTERNAL, "a page in the middle is not full");
}

/* ---- watchers --------------------------------------------------------------------------------- */

static atomic_llong events;

static void *drain(void *arg)
{
    struct err err;
    ProtobufCMessage *event = NULL;
    while (rpc_stream_next(arg, &event, &err) == ST_OK && event) {
        protobuf_c_message_free_unpacked(event, NULL);
        atomic_fetch_add(&events, 1);
    }
    return NULL;
}

/* The newest event: watching all from there on brings what happens from now on. */
static enum status newest(struct rpc_client *c, uint64_t *ret_cursor, struct err *err)
{
    Espalier__V1__WatchRequest q = ESPALIER__V1__WATCH_REQUEST__INIT;
    struct rpc_stream *s = NULL;
    ProtobufCMessage *event = NULL;
    q.id = (char *)"last";
    TRY(rpc_stream_open(&s, c, "/espalier.v1.JobService/Watch", &q.base,
                        &espalier__v1__event__descriptor, err));
    enum status st;
    while ((st = rpc_stream_next(s, &event, err)) == ST_OK && event) {
        *ret_cursor = ((Espalier__V1__Event *)event)->cursor;
        protobuf_c_message_free_unpacked(event, NULL);
    }
    rpc_stream_close(s);
    return st;
}

static enum status watch(const char *address, int streams, struct err *err)
{
    static struct rpc_client *client[STREAMS_MAX];
    static struct rpc_stream *stream[STREAMS_MAX];
    static pthread_t thread[STREAMS_MAX];
    Espalier__V1__WatchRequest q = ESPALIER__V1__WATCH_REQUEST__INIT;
    q.follow = true;
    for (int i = 0; i < streams; i++) {
        TRY(rpc_client_open(&client[i], address, err));
        if (i == 0)
            TRY(newest(client[0], &q.after, err));
        TRY(rpc_stream_open(&stream[i], client[i], "/espalier.v1.JobService/Watch", &q.base,
                            &espalier__v1__event__descriptor, err));
        if (pthread_create(&thread[i], NULL, drain, stream[i]) != 0)
            return err_set(err, ST_NOMEM, "cannot start a watcher's thread");
    }
    puts("watching");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    for (int i = 0; i < streams; i++)
        rpc_stream_cancel(stream[i]);
    for (int i = 0; i < streams; i++) {
        pthread_join(thread[i], NULL);
        rpc_stream_close(stream[i]);
        rpc_client_close(client[i]);
    }
    printf("{\"events\":%lld}\n", (long long)events);
    return ST_OK;
}

/* ---- the command line ------------------------------------------------------------------------- */

static const struct verb {
    const char *name;
    int argc;
    enum status (*call)(void *user, int worker, int64_t n, struct err *err);
} verbs[] = {{"ping", 5, ping}, {"get", 6, get}, {"list", 5, list}};

static int usage(void)
{
    fputs("usage: bench_wire ping ADDRESS OUTSTANDING SECONDS\n"
          "       bench_wire get ADDRESS OUTSTANDING SECONDS JOBS\n"
          "       bench_wire list ADDRESS OUTSTANDING SECONDS\n"
          "       bench_wire watch ADDRESS STREAMS\n",
          stderr);
    return 2;
}

static const struct verb *find_verb(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0 && argc == verbs[i].argc)
            return &verbs[i];
    return NULL;
}

static enum status run(const struct verb *v, int argc, char **argv, struct err *err)
{
    static struct wire w;
    struct load load = {.workers = (int)strtol(argv[3], NULL, 10),
                        .seconds = strtod(argv[4], NULL),
                        .most = LOAD_CALLS_MAX,
                        .call = v->call,
                        .user = &w};
    w.jobs = argc == 6 ? strtoll(argv[5], NULL, 10) : 1;
    TRY(rpc_client_open(&w.client, argv[2], err));
    enum status st = load_run(&load, err);
    rpc_client_close(w.client);
    return st;
}

int main(int argc, char **argv)
{
    struct err err;
    const struct verb *v = find_verb(argc, argv);
    int streams = argc == 4 && strcmp(argv[1], "watch") == 0 ? (int)strtol(argv[3], NULL, 10) : 0;
    if (!v && (streams < 1 || streams > STREAMS_MAX))
        return usage();
    enum status st = v ? run(v, argc, argv, &err) : watch(argv[2], streams, &err);
    if (st != ST_OK)
        fprintf(stderr, "bench_wire: %s\n", err.text);
    return status_exit_code(st);
}
