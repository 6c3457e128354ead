/* stub_server.c - a JobService that says what the client's tests need to hear: results with their bytes, a structure,
 * findings, pages, broken streams. No queue, no store.
 *
 *   stub_server SOCKET [fault]...
 *
 * Job 7 is COMPLETED with results, 8 FAILED, 9 CANCELLED, 10 TIMEOUT, 11 RUNNING. Faults: `die-in-watch` and
 * `die-in-logs` end the process in the middle of the stream, `die-in-download` in the middle of a file,
 * `flip` changes a byte of the file, `climb` names a file outside the folder, `refuse` refuses every job with findings.
 */
#include "base/buf.h"
#include "base/hash.h"
#include "espalier/v1/job.pb-c.h"
#include "method_table.h"
#include "rpc/rpc.h"
#include "structure/shape.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS 130  /* List gives them in pages */
#define EVENTS 40 /* of every job */
#define METRICS 5
#define LOG_LINES 30
#define FILE_SIZE 700001u /* three chunks and a piece */
#define CHUNK 262144u
#define NOON 1790000000000 /* all times count from here */

static bool die_in_watch, die_in_logs, die_in_download, flip, climb, refuse;
static uint8_t file_bytes[FILE_SIZE];
static char file_hash[HASH_HEX_SIZE], empty_hash[HASH_HEX_SIZE];

static void make_file(void)
{
    for (unsigned i = 0; i < FILE_SIZE; i++)
        file_bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    hash_bytes(file_hash, file_bytes, FILE_SIZE);
    hash_bytes(empty_hash, "", 0);
    if (flip)
        file_bytes[300000] ^= 1;
}

/* ---- jobs ------------------------------------------------------------------------------------------- */

static Espalier__V1__JobState state_of(const char *id)
{
    switch (strtol(id, NULL, 10)) {
    case 8:
        return ESPALIER__V1__JOB_STATE__JOB_STATE_FAILED;
    case 9:
        return ESPALIER__V1__JOB_STATE__JOB_STATE_CANCELLED;
    case 10:
        return ESPALIER__V1__JOB_STATE__JOB_STATE_TIMEOUT;
    case 11:
        return ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING;
    default:
        return ESPALIER__V1__JOB_STATE__JOB_STATE_COMPLETED;
    }
}

/* The id that a request names; NULL after the call was failed. */
static const char *known_id(struct rpc_call *call, const char *id)
{
    char text[128];
    id = strcmp(id, "last") ? id : "7";
    long n = strtol(id, NULL, 10);
    if (n >= 7 && n <= 11)
        return id;
    snprintf(text, sizeof text, "there is no job %.40s", id);
    rpc_call_fail(call, ST_NOT_FOUND, text);
    return NULL;
}

static Espalier__V1__Progress some_progress(void)
{
    Espalier__V1__Progress p = ESPALIER__V1__PROGRESS__INIT;
    p.phase = (char *)"search";
    p.step = 300;
    p.steps = 1000;
    p.total_step = 1300;
    p.total_steps = 2000;
    p.loss = 1.25;
    p.params_kept = 0.7;
    p.params_target = 0.62;
    p.step_seconds = 0.05;
    p.eta_seconds = 35;
    return p;
}

static void get(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const char *id = known_id(call, ((const Espalier__V1__GetRequest *)message)->id);
    Espalier__V1__GetReply reply = ESPALIER__V1__GET_REPLY__INIT;
    Espalier__V1__Job job = ESPALIER__V1__JOB__INIT;
    Espalier__V1__Progress progress = some_progress();
    Espalier__V1__Artifact files[3], *list[3];
    static const char *const names[] = {"shared/model.safetensors", "result.json", "empty"};
    if (!id)
        return;
    for (int i = 0; i < 3; i++) {
        espalier__v1__artifact__init(&files[i]);
        files[i].name = (char *)(climb ? "../climbed" : names[i]);
        files[i].size_bytes = i == 0 ? FILE_SIZE : i == 1 ? 5 : 0;
        files[i].sha256 = i == 0 ? file_hash : empty_hash;
        list[i] = &files[i];
    }
    char hello[HASH_HEX_SIZE];
    hash_bytes(hello, "hello", 5);
    files[1].sha256 = hello;
    reply.job = &job;
    job.id = (char *)id;
    job.name = (char *)"stub";
    job.state = state_of(id);
    job.text = (char *)"told by a stub";
    job.attempt = 1;
    job.ranks = 2;
    job.submitted_ms = NOON;
    job.started_ms = NOON + 1000;
    job.ended_ms = job.state == ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING ? 0 : NOON + 61000;
    job.progress = &progress;
    job.job_file.data = (uint8_t *)"name: stub\n";
    job.job_file.len = 11;
    job.n_artifacts = strcmp(id, "7") && strcmp(id, "11") ? 0 : 3;
    job.artifacts = list;
    job.last_event = EVENTS;
    rpc_call_reply(call, &reply.base);
}

static void list(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const Espalier__V1__ListRequest *request = (const Espalier__V1__ListRequest *)message;
    Espalier__V1__ListReply reply = ESPALIER__V1__LIST_REPLY__INIT;
    static Espalier__V1__JobSummary jobs[JOBS], *pointers[JOBS];
    static char ids[JOBS][8], next[24];
    long first = strtol(request->page_token, NULL, 10);
    /* Smaller pages than asked for: a server may. */
    size_t n = request->page_size < 50 ? request->page_size : 50;
    for (size_t i = 0; i < n && first + (long)i < JOBS; i++) {
        espalier__v1__job_summary__init(&jobs[i]);
        snprintf(ids[i], sizeof ids[i], "%ld", JOBS - first - (long)i);
        jobs[i].id = ids[i];
        jobs[i].name = (char *)"a job with quite a long name that has to give way";
        jobs[i].state = request->n_states ? request->states[0] : state_of(ids[i]);
        jobs[i].submitted_ms = NOON;
        pointers[i] = &jobs[i];
        reply.n_jobs++;
    }
    reply.jobs = pointers;
    snprintf(next, sizeof next, "%ld", first + (long)n);
    reply.next_page_token = first + (long)n < JOBS ? next : (char *)"";
    rpc_call_reply(call, &reply.base);
}

static void cancel(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const char *id = known_id(call, ((const Espalier__V1__CancelRequest *)message)->id);
    Espalier__V1__CancelReply reply = ESPALIER__V1__CANCEL_REPLY__INIT;
    reply.state = ESPALIER__V1__JOB_STATE__JOB_STATE_STOPPING;
    if (id && state_of(id) != ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING)
        rpc_call_fail(call, ST_STATE, "the job has ended");
    else if (id)
        rpc_call_reply(call, &reply.base);
}

static void submit(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const Espalier__V1__SubmitRequest *request = (const Espalier__V1__SubmitRequest *)message;
    Espalier__V1__SubmitReply reply = ESPALIER__V1__SUBMIT_REPLY__INIT;
    reply.id = (char *)"7";
    if (refuse || request->folder[0] != '/' || strlen(request->request_id) != 32)
        rpc_call_fail(call, ST_INVALID, "the job file has 1 error");
    else
        rpc_call_reply(call, &reply.base);
}

static void validate(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)message;
    (void)user;
    Espalier__V1__ValidateReply reply = ESPALIER__V1__VALIDATE_REPLY__INIT;
    Espalier__V1__Finding finding = ESPALIER__V1__FINDING__INIT, *findings[] = {&finding};
    finding.severity = ESPALIER__V1__SEVERITY__SEVERITY_ERROR;
    finding.line = 2;
    finding.column = 3;
    finding.key = (char *)"data.task";
    finding.text = (char *)"is not there on the daemon's host";
    reply.n_findings = 1;
    reply.findings = findings;
    rpc_call_reply(call, &reply.base);
}

static void ping(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)message;
    (void)user;
    Espalier__V1__PingReply reply = ESPALIER__V1__PING_REPLY__INIT;
    reply.version = (char *)"9.9.9";
    reply.cores = 2;
    rpc_call_reply(call, &reply.base);
}

static void get_structure(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const Espalier__V1__GetStructureRequest *request =
        (const Espalier__V1__GetStructureRequest *)message;
    Espalier__V1__GetStructureReply reply = ESPALIER__V1__GET_STRUCTURE_REPLY__INIT;
    struct side_shape side = {.layers = 2, .width = 16, .heads = 4, .ffn = 32};
    struct frame_options options = {3, true, true, true, false, true, true};
    struct frame *frame = NULL;
    struct structure *st = NULL;
    struct buf json;
    struct err err;
    buf_init(&json, 1 << 20);
    if (!known_id(call, request->id))
        return;
    if (request->version > 2) {
        rpc_call_fail(call, ST_NOT_FOUND, "the job has 2 structures");
        return;
    }
    if (frame_create(&frame, &side, &side, &options, 20000, 15000, &err) ||
        structure_create(&st, frame, &err)) {
        rpc_call_fail(call, ST_INTERNAL, err.text);
        return;
    }
    st->m[1] = 0;
    structure_write_json(st, &json);
    reply.version = request->version ? request->version : 2;
    reply.total_step = 1200;
    reply.structure_json.data = (uint8_t *)json.data;
    reply.structure_json.len = json.len;
    rpc_call_reply(call, &reply.base);
    structure_destroy(st);
    frame_destroy(frame);
    buf_fini(&json);
}

/* ---- streams ---------------------------------------------------------------------------------------- */

struct stream {
    bool (*next)(struct stream *s); /* sends one message; false at the end */
    struct rpc_call *call;
    char id[64];
    uint64_t at; /* event, line or byte to send next */
    bool follow;
};

static void stream_ready(struct rpc_call *call, void *user)
{
    struct stream *s = user;
    if (!rpc_call_gone(call) && s->next(s))
        return;
    rpc_call_finish(call);
    free(s);
}

static void stream_start(struct rpc_call *call, const char *id, uint64_t at, bool follow,
                         bool (*next)(struct stream *s))
{
    struct stream *s = calloc(1, sizeof *s);
    *s = (struct stream){.next = next, .call = call, .at = at, .follow = follow};
    snprintf(s->id, sizeof s->id, "%s", id);
    rpc_call_on_ready(call, stream_ready, s);
    stream_ready(call, s);
}

static bool next_event(struct stream *s)
{
    Espalier__V1__Event event = ESPALIER__V1__EVENT__INIT;
    Espalier__V1__StateChange change = ESPALIER__V1__STATE_CHANGE__INIT;
    Espalier__V1__Progress progress = some_progress();
    if (s->at == EVENTS) {
        /* A running job's stream stays open. */
        return state_of(s->id) == ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING && s->follow;
    }
    if (die_in_watch && s->at == EVENTS / 2)
        _exit(0);
    event.cursor = ++s->at;
    event.job_id = s->id;
    event.time_ms = NOON + (int64_t)s->at * 1000;
    if (s->at == 1 || s->at == EVENTS) {
        change.from = ESPALIER__V1__JOB_STATE__JOB_STATE_STARTING;
        change.to = s->at == 1 ? ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING : state_of(s->id);
        change.attempt = 1;
        event.kind_case = ESPALIER__V1__EVENT__KIND_STATE;
        event.state = &change;
    } else {
        progress.step = s->at;
        event.kind_case = ESPALIER__V1__EVENT__KIND_PROGRESS;
        event.progress = &progress;
    }
    return rpc_call_send(s->call, &event.base);
}

/* Of two series, the one with a name that CSV must quote. */
static bool next_metric(struct stream *s)
{
    Espalier__V1__Event event = ESPALIER__V1__EVENT__INIT;
    Espalier__V1__Metric metric = ESPALIER__V1__METRIC__INIT;
    if (s->at == METRICS)
        return false;
    event.cursor = ++s->at;
    event.job_id = s->id;
    event.time_ms = NOON + (int64_t)s->at * 1000;
    event.kind_case = ESPALIER__V1__EVENT__KIND_METRIC;
    event.metric = &metric;
    metric.name = s->at % 2 ? (char *)"loss.giou" : (char *)"a \"b\", c";
    metric.value = 1.0 / (double)s->at;
    metric.total_step = 10 * s->at;
    metric.unit = (char *)"s";
    return rpc_call_send(s->call, &event.base);
}

static void watch(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const Espalier__V1__WatchRequest *request = (const Espalier__V1__WatchRequest *)message;
    bool metrics = request->n_kinds == 1 && !strcmp(request->kinds[0], "metric");
    if (known_id(call, request->id))
        stream_start(call, request->id, request->after, request->follow,
                     metrics ? next_metric : next_event);
}

static bool next_line(struct stream *s)
{
    Espalier__V1__LogChunk chunk = ESPALIER__V1__LOG_CHUNK__INIT;
    char line[16];
    if (s->at == LOG_LINES * 8)
        return false;
    if (die_in_logs && s->at == LOG_LINES / 2 * 8)
        _exit(0);
    snprintf(line, sizeof line, "line %02d\n", (int)(s->at / 8));
    chunk.text.data = (uint8_t *)line;
    chunk.text.len = 8;
    chunk.next = s->at += 8;
    return rpc_call_send(s->call, &chunk.base);
}

static void logs(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const Espalier__V1__LogsRequest *request = (const Espalier__V1__LogsRequest *)message;
    if (known_id(call, request->id))
        stream_start(call, request->id, request->after, request->follow, next_line);
}

static bool next_chunk(struct stream *s)
{
    Espalier__V1__DownloadChunk chunk = ESPALIER__V1__DOWNLOAD_CHUNK__INIT;
    bool model = !strcmp(s->id, "shared/model.safetensors");
    const uint8_t *bytes = model ? file_bytes : (const uint8_t *)"hello";
    uint64_t size = model ? FILE_SIZE : strcmp(s->id, "empty") ? 5 : 0;
    if (s->at > size || (s->at == size && size > 0))
        return false;
    if (die_in_download && s->at > 0)
        _exit(0);
    uint64_t n = size - s->at < CHUNK ? size - s->at : CHUNK;
    chunk.data.data = (uint8_t *)bytes + s->at;
    chunk.data.len = n;
    chunk.total_bytes = size;
    s->at += n + (size == 0);
    return rpc_call_send(s->call, &chunk.base);
}

static void download(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
    (void)user;
    const Espalier__V1__DownloadRequest *request = (const Espalier__V1__DownloadRequest *)message;
    if (known_id(call, request->id))
        stream_start(call, request->name, request->offset_bytes, false, next_chunk);
}

/* ---- main --------------------------------------------------------------------------------------------- */

static const struct rpc_method methods[] = {
    {"Submit", RPC_UNARY, submit},     {"Validate", RPC_UNARY, validate},
    {"Get", RPC_UNARY, get},           {"List", RPC_UNARY, list},
    {"Cancel", RPC_UNARY, cancel},     {"Watch", RPC_SERVER_STREAM, watch},
    {"Logs", RPC_SERVER_STREAM, logs}, {"GetStructure", RPC_UNARY, get_structure},
    {"Ping", RPC_UNARY, ping},         {"Download", RPC_SERVER_STREAM, download},
};

static void other(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    (void)request;
    (void)user;
    rpc_call_fail(call, ST_UNSUPPORTED, "the stub does not do this");
}

static void read_faults(int argc, char **argv)
{
    const struct {
        const char *name;
        bool *flag;
    } faults[] = {{"die-in-watch", &die_in_watch},
                  {"die-in-logs", &die_in_logs},
                  {"die-in-download", &die_in_download},
                  {"flip", &flip},
                  {"climb", &climb},
                  {"refuse", &refuse}};
    for (int i = 2; i < argc; i++)
        for (size_t j = 0; j < sizeof faults / sizeof *faults; j++)
            *faults[j].flag |= !strcmp(argv[i], faults[j].name);
}

int main(int argc, char **argv)
{
    struct rpc_server *server = NULL;
    struct err err = {0};
    char address[256];
    sigset_t set;
    int signal;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    read_faults(argc, argv);
    make_file();
    struct rpc_method all[METHODS_MAX];
    const ProtobufCServiceDescriptor *service = &espalier__v1__job_service__descriptor;
    size_t n = method_table(all, service, methods, sizeof methods / sizeof *methods, other);
    snprintf(address, sizeof address, "unix:%s", argc > 1 ? argv[1] : "");
    if (rpc_server_create(&server, &err) || rpc_server_add(server, service, all, n, NULL, &err) ||
        rpc_server_listen(server, address, NULL, &err) || rpc_server_start(server, &err)) {
        fprintf(stderr, "stub_server: %s\n", err.text);
        return 1;
    }
    puts("listening");
    fflush(stdout);
    sigwait(&set, &signal);
    rpc_server_stop(server, 100);
    rpc_server_destroy(server);
    return 0;
}
