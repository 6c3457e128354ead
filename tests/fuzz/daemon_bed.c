/* daemon_bed.c - see daemon_bed.h. */
#include "daemon_bed.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "espalier/v1/report.pb-c.h"
#include "inbox.h"
#include "job/jobs.h"
#include "loop.h"
#include "rpc/core.h"
#include "service/access.h"
#include "service/streams.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METHODS_MAX 128
#define CALLS_MAX 64
#define MESSAGES_MAX 256 /* that a client takes from one stream before it leaves */
#define INPUTS_MAX 512   /* of one bed */
#define WORN_MAX 32      /* of them when its jobs are not what they were */

struct rpc_call {
    struct rpc_identity identity;
    const struct rpc_entry *entry;
    ProtobufCMessage *request; /* NULL once it is answered */
    rpc_ready_f ready;
    void *ready_user;
    bool over, gone, sent;
};

static struct {
    struct daemon *daemon;
    struct options options;
    char dir[64];
    int inputs;
    struct rpc_entry entry[METHODS_MAX];
    size_t n_entries;
    struct rpc_call call[CALLS_MAX];
    int n_calls;
    char said[ERR_TEXT_MAX]; /* the last failure */
} bed;

void bed_broken(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken: %s; last failure: %s\n", file, line, what, bed.said);
    abort();
}

/* ---- rpc.h's server half --------------------------------------------------------------------- */

enum status rpc_server_create(struct rpc_server **ret_server, struct err *err)
{
    *ret_server = calloc(1, sizeof **ret_server);
    bed.n_entries = 0;
    return *ret_server ? ST_OK : err_set(err, ST_NOMEM, "out of memory");
}

enum status rpc_server_add(struct rpc_server *s, const ProtobufCServiceDescriptor *service,
                           const struct rpc_method *methods, size_t n, void *user, struct err *err)
{
    (void)s;
    (void)err;
    BED_REQUIRE(n == service->n_methods && bed.n_entries + n <= METHODS_MAX);
    for (size_t i = 0; i < n; i++) {
        const ProtobufCMethodDescriptor *m =
            protobuf_c_service_descriptor_get_method_by_name(service, methods[i].name);
        struct rpc_entry *e = &bed.entry[bed.n_entries++];
        BED_REQUIRE(m);
        *e = (struct rpc_entry){.kind = (int)methods[i].kind,
                                .handler = methods[i].handler,
                                .user = user,
                                .input = m->input,
                                .output = m->output};
        snprintf(e->path, sizeof e->path, "/%s/%s", service->name, m->name);
    }
    return ST_OK;
}

enum status rpc_server_use_tls(struct rpc_server *s, const struct rpc_tls *files, struct err *err)
{
    (void)s;
    (void)files;
    (void)err;
    return ST_OK;
}

enum status rpc_server_listen(struct rpc_server *s, const char *address, int *ret_port,
                              struct err *err)
{
    (void)s;
    (void)address;
    (void)ret_port;
    (void)err;
    return ST_OK;
}

bool rpc_server_is_at(const struct rpc_server *s, const char *address)
{
    (void)s;
    (void)address;
    return false;
}

void rpc_server_guard(struct rpc_server *s, rpc_guard_f guard, void *user)
{
    (void)s;
    (void)guard;
    (void)user;
}

enum status rpc_server_start(struct rpc_server *s, struct err *err)
{
    (void)s;
    (void)err;
    return ST_OK;
}

void rpc_server_stop(struct rpc_server *s, int grace_ms)
{
    (void)s;
    (void)grace_ms;
}

void rpc_server_destroy(struct rpc_server *s)
{
    free(s);
}

const struct rpc_identity *rpc_call_identity(const struct rpc_call *call)
{
    return &call->identity;
}

static void check_message(const struct rpc_call *c, const ProtobufCMessage *m)
{
    BED_REQUIRE(!c->over);
    BED_REQUIRE(m->descriptor == c->entry->output);
    BED_REQUIRE(rpc_message_valid_utf8(m));
    BED_REQUIRE(protobuf_c_message_get_packed_size(m) <= RPC_MESSAGE_MAX);
}

static void call_over(struct rpc_call *c)
{
    BED_REQUIRE(!c->over);
    c->over = true;
    c->ready = NULL;
    protobuf_c_message_free_unpacked(c->request, NULL);
    c->request = NULL;
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *reply)
{
    check_message(call, reply);
    BED_REQUIRE(call->entry->kind == RPC_UNARY);
    call_over(call);
}

void rpc_call_fail(struct rpc_call *call, enum status st, const char *text)
{
    snprintf(bed.said, sizeof bed.said, "%s", text);
    BED_REQUIRE(st != ST_OK && st < STATUS_COUNT && text[0]);
    BED_REQUIRE(st != ST_INTERNAL && st != ST_IO && st != ST_CORRUPT);
    call_over(call);
}

void rpc_call_finish(struct rpc_call *call)
{
    BED_REQUIRE(call->entry->kind == RPC_SERVER_STREAM);
    call_over(call);
}

void rpc_call_on_ready(struct rpc_call *call, rpc_ready_f ready, void *user)
{
    call->ready = ready;
    call->ready_user = user;
    if (call->gone && ready)
        ready(call, user);
}

bool rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message)
{
    if (call->gone || call->sent)
        return false;
    check_message(call, message);
    call->sent = true;
    return true;
}

bool rpc_call_gone(struct rpc_call *call)
{
    return call->gone;
}

/* ---- the daemon ------------------------------------------------------------------------------ */

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", bed.dir, name);
    BED_REQUIRE(file_write_atomic(path, text, strlen(text), 0600, NULL) == ST_OK);
}

static void submit(const char *script, int ranks)
{
    Espalier__V1__SubmitRequest *q = calloc(1, sizeof *q);
    char text[512], id[32];
    espalier__v1__submit_request__init(q);
    int n = snprintf(text, sizeof text,
                     "name: '%s'\ndata: {pretrain: data, vocabulary: data}\n"
                     "phases.pretrain.steps: 1000\ntrain.batch: 6\nresources.ranks: %d\n",
                     script, ranks);
    snprintf(id, sizeof id, "bed-%d-%d", n, ranks);
    q->job_file.data = (uint8_t *)strdup(text);
    q->job_file.len = (size_t)n;
    q->folder = strdup(bed.dir);
    q->request_id = strdup(id);
    bed_call(bed_method("Submit"), ROLE_OPERATOR, &q->base);
}

static void pass(void)
{
    bed.daemon->next_tick_ms = 0; /* every pass looks at the attempts */
    loop_pass(bed.daemon);
}

/* While calls come, streams send for a moment and rest (service/streams.h): until none has to be asked again. */
static void settle(void)
{
    int rest_ms;
    for (pass(); (rest_ms = streams_wait_ms(bed.daemon)) >= 0; pass())
        usleep((unsigned)rest_ms * 1000);
}

static enum job_state state_of(int64_t id)
{
    struct job job;
    BED_REQUIRE(store_job_load(bed.daemon->store, id, &job, NULL) == ST_OK);
    return job.state;
}

/* ---- what job 1 has left so far -------------------------------------------------------------- */

#define CHECKPOINT "checkpoints/step-000000000021.safetensors"

static Espalier__V1__Record *add_record(Espalier__V1__ReportRequest *q)
{
    Espalier__V1__Record *r = calloc(1, sizeof *r);
    espalier__v1__record__init(r);
    r->number = q->n_records + 1;
    q->records[q->n_records++] = r;
    return r;
}

static void leave_checkpoint(Espalier__V1__ReportRequest *q, const char *content, const char *sha)
{
    Espalier__V1__Record *r = add_record(q);
    r->kind_case = ESPALIER__V1__RECORD__KIND_CHECKPOINT;
    r->checkpoint = calloc(1, sizeof *r->checkpoint);
    espalier__v1__checkpoint_note__init(r->checkpoint);
    r->checkpoint->path = strdup(CHECKPOINT);
    r->checkpoint->sha256 = strdup(sha);
    r->checkpoint->size_bytes = strlen(content);
    r->checkpoint->total_step = 21;
}

static void leave_artifact(Espalier__V1__ReportRequest *q, const char *content, const char *sha)
{
    Espalier__V1__Record *r = add_record(q);
    r->kind_case = ESPALIER__V1__RECORD__KIND_ARTIFACT;
    r->artifact = calloc(1, sizeof *r->artifact);
    espalier__v1__artifact__init(r->artifact);
    r->artifact->name = strdup("result.json");
    r->artifact->sha256 = strdup(sha);
    r->artifact->size_bytes = strlen(content);
}

static void leave_results(void)
{
    static const char content[] = "{}\n";
    static const char log[] = "2026-01-31T12:34:56Z INFO  rank.0: step 1\nplain\n"
                              "2026-01-31T12:34:57Z WARN  rank.1: step 2\n";
    char sha[HASH_HEX_SIZE];
    const struct attempt *attempt = &jobs_find(bed.daemon->jobs, 1)->job.attempt;
    Espalier__V1__ReportRequest *q = calloc(1, sizeof *q);
    write_file("home/jobs/1/" CHECKPOINT, content);
    write_file("home/jobs/1/result.json", content);
    write_file("home/jobs/1/log.txt", log);
    hash_bytes(sha, content, strlen(content));
    espalier__v1__report_request__init(q);
    q->job_id = strdup("1");
    q->attempt = (uint32_t)attempt->number;
    q->token = strdup(attempt->token);
    q->records = calloc(2, sizeof *q->records);
    leave_checkpoint(q, content, sha);
    leave_artifact(q, content, sha);
    bed_call(bed_method("Report"), ROLE_NONE, &q->base);
}

static void open_bed(void)
{
    char home[96], listen[96], config[96];
    struct err err;
    int code;
    snprintf(bed.dir, sizeof bed.dir, "/dev/shm/espalier-fuzz-XXXXXX");
    BED_REQUIRE(mkdtemp(bed.dir));
    write_file("config", "nodes:\n  - {host: localhost, cores: 3, memory_mib: 1000000}\n");
    write_file("data", "{}");
    snprintf(home, sizeof home, "%s/home", bed.dir);
    snprintf(listen, sizeof listen, "unix:%s/s", bed.dir);
    snprintf(config, sizeof config, "%s/config", bed.dir);
    const char *argv[] = {"espalierd", "--config", config,       "--home", home,
                          "--listen",  listen,     "--launcher", "fake",   NULL};
    log_init("fuzz", LOG_ERROR);
    if (options_parse(&bed.options, 9, (char **)argv, &code, &err) != ST_OK ||
        daemon_create(&bed.daemon, &bed.options, &err) != ST_OK)
        bed_broken(err.text, __FILE__, __LINE__);
    submit("report=0 steps=1 step_ms=600000000", 1);
    submit("steps=1 step_ms=1", 1);
    submit("steps=1", 3);
    for (int i = 0; i < 1000 && state_of(2) != JOB_COMPLETED; i++) {
        pass();
        usleep(1000);
    }
    leave_results();
    BED_REQUIRE(state_of(1) == JOB_RUNNING && state_of(3) == JOB_QUEUED);
}

static void close_bed(void)
{
    char command[128];
    daemon_destroy(bed.daemon);
    options_fini(&bed.options);
    snprintf(command, sizeof command, "rm -r %s", bed.dir);
    BED_REQUIRE(system(command) == 0);
    bed.daemon = NULL;
}

void bed_spoil(void)
{
    bed.inputs = INPUTS_MAX;
}

/* After "cancel 1" there is little left to find. */
static bool is_worn(void)
{
    struct active *one = jobs_find(bed.daemon->jobs, 1), *three = jobs_find(bed.daemon->jobs, 3);
    struct job two;
    return !one || one->job.state != JOB_RUNNING || !three || three->job.state != JOB_QUEUED ||
           store_job_load(bed.daemon->store, 2, &two, NULL) != ST_OK;
}

struct daemon *bed_begin(void)
{
    static bool registered;
    if (bed.daemon && is_worn())
        bed.inputs += INPUTS_MAX / WORN_MAX;
    if (bed.daemon && bed.inputs++ >= INPUTS_MAX)
        close_bed();
    if (!bed.daemon) {
        bed.inputs = 0;
        open_bed();
        if (!registered)
            atexit(close_bed);
        registered = true;
    }
    bed.n_calls = 0;
    return bed.daemon;
}

void bed_end(void)
{
    for (int i = 0; i < bed.n_calls; i++) {
        struct rpc_call *c = &bed.call[i];
        c->gone = true;
        if (!c->over && c->ready)
            c->ready(c, c->ready_user);
    }
    settle();
    for (int i = 0; i < bed.n_calls; i++)
        BED_REQUIRE(bed.call[i].over);
}

/* ---- calls ----------------------------------------------------------------------------------- */

size_t bed_method(const char *name)
{
    for (size_t i = 0; i < bed.n_entries; i++)
        if (!strcmp(strrchr(bed.entry[i].path, '/') + 1, name))
            return i;
    bed_broken(name, __FILE__, __LINE__);
}

size_t bed_method_by_sum(unsigned sum)
{
    for (size_t i = 0; i < bed.n_entries; i++) {
        unsigned own = 0;
        for (const char *p = strrchr(bed.entry[i].path, '/') + 1; *p; p++)
            own = own * 31 + (unsigned char)*p;
        if ((own & 0xffff) == sum)
            return i;
    }
    return sum % bed.n_entries;
}

/* Until it is answered, or a stream has no more to say. Threads of the daemon may take their time for an answer. */
static void wait_for(struct rpc_call *c)
{
    struct pollfd inbox = {.fd = inbox_fd(bed.daemon->inbox), .events = POLLIN};
    bool stream = c->entry->kind == RPC_SERVER_STREAM;
    settle();
    for (int i = 0; i < MESSAGES_MAX && !c->over && (!stream || c->sent); i++) {
        if (!stream)
            BED_REQUIRE(poll(&inbox, 1, 60000) == 1);
        c->sent = false;
        if (c->ready)
            c->ready(c, c->ready_user);
        settle();
    }
    BED_REQUIRE(c->over || stream);
}

void bed_call(size_t method, int role, ProtobufCMessage *request)
{
    static const char *const names[ROLES] = {"", "eye", "anna", "boss"};
    const struct rpc_entry *e = &bed.entry[method];
    struct rpc_call *c = &bed.call[bed.n_calls];
    /* It would start mpirun and Slurm's commands each time. */
    bool diagnose = strstr(e->path, "/Diagnose") != NULL;
    if (diagnose || bed.n_calls == CALLS_MAX ||
        !access_allows((enum role)role, service_right(e->path))) {
        protobuf_c_message_free_unpacked(request, NULL);
        return;
    }
    bed.n_calls++;
    *c = (struct rpc_call){.entry = e, .request = request, .identity.role = role};
    snprintf(c->identity.name, sizeof c->identity.name, "%s", names[role]);
    e->handler(c, request, e->user);
    wait_for(c);
}

/* A job file's paths are found in the bed: in a folder that only it knows. */
static void at_home(ProtobufCMessage *request)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, "folder");
    char **folder = f ? (char **)((char *)request + f->offset) : NULL;
    if (folder && strcmp(*folder, "/bed") == 0) {
        free(*folder);
        *folder = strdup(bed.dir);
    }
}

void bed_call_bytes(size_t method, int role, const uint8_t *data, size_t len)
{
    const ProtobufCMessageDescriptor *type = bed.entry[method].input;
    struct err err;
    if (rpc_check_bytes(type, data, len, &err) != ST_OK) {
        BED_REQUIRE(err.text[0]);
        return;
    }
    ProtobufCMessage *request = protobuf_c_message_unpack(type, NULL, len, data);
    if (!request)
        return;
    at_home(request);
    bed_call(method, role, request);
}

/* ---- LeakSanitizer --------------------------------------------------------------------------- */

const char *__lsan_default_suppressions(void);

/* The sweeper removes folders in a thread of its own, and a look for leaks may meet nftw in the middle of a walk. */
const char *__lsan_default_suppressions(void)
{
    return "leak:nftw\n";
}
