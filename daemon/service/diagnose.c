/* diagnose.c - Diagnose: runs `espalierd doctor --json` with the daemon's own options. A thread of its own waits for it,
 * since it takes seconds; one at a time. */
#include "base/clock.h"
#include "base/json.h"
#include "daemon.h"
#include "doctor/doctor.h"
#include "inbox.h"
#include "loop.h"
#include "service/diagnose.h"
#include "service/service.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DIAGNOSE_MS 240000
#define SAID_MAX (4u << 20)

struct diagnosis {
    struct message message; /* first member: back to the loop */
    struct rpc_call *call;
    struct daemon *daemon;
    pthread_t thread;
    const char **argv; /* owned list, borrowed strings */
    int cancel;        /* eventfd: readable = end it */
    bool joined;
    struct buf said;
    enum status st;
    struct err err;
};

static void diagnosis_destroy(struct diagnosis *g)
{
    free(g->argv);
    if (g->cancel >= 0)
        close(g->cancel);
    buf_fini(&g->said);
    free(g);
}

/* ---- the answer ------------------------------------------------------------------------------- */

static V1(CheckResult) result_of(const char *name)
{
    char full[48];
    snprintf(full, sizeof full, "CHECK_RESULT_%.30s", name);
    const ProtobufCEnumValue *v =
        protobuf_c_enum_descriptor_get_value_by_name(&espalier__v1__check_result__descriptor, full);
    return v ? (V1(CheckResult))v->value : ESPALIER__V1__CHECK_RESULT__CHECK_RESULT_UNSPECIFIED;
}

/* Strings are those of the JSON. */
static void reply_with(struct daemon *d, struct rpc_call *call, struct json_object *said)
{
    struct json_object *list = json_find(said, "checks");
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    V1(Check) *check = calloc(n + 1, sizeof *check), **checks = calloc(n + 1, sizeof(V1(Check) *));
    V1(DiagnoseReply) reply = ESPALIER__V1__DIAGNOSE_REPLY__INIT;
    for (size_t i = 0; check && checks && i < n; i++) {
        struct json_object *from = json_object_array_get_idx(list, i);
        espalier__v1__check__init(&check[i]);
        check[i].name = (char *)json_get_str(from, "name", "");
        check[i].result = result_of(json_get_str(from, "result", ""));
        check[i].text = (char *)json_get_str(from, "text", "");
        check[i].remedy = (char *)json_get_str(from, "remedy", "");
        checks[i] = &check[i];
    }
    reply.checks = checks;
    reply.n_checks = n;
    reply.time_ms = daemon_now_ms(d);
    if (check && checks)
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
    free(check);
    free(checks);
}

static void diagnosed(struct daemon *d, struct message *m)
{
    struct diagnosis *g = (struct diagnosis *)m;
    struct json_object *said = NULL;
    if (!g->joined)
        pthread_join(g->thread, NULL);
    d->diagnosis = NULL;
    if (g->st == ST_OK)
        g->st = json_parse(&said, buf_str(&g->said), g->said.len, "the doctor's answer", &g->err);
    if (g->st == ST_OK)
        reply_with(d, g->call, said);
    else
        rpc_call_fail(g->call, g->st, g->err.text);
    json_object_put(said);
    diagnosis_destroy(g);
}

/* ---- the thread ------------------------------------------------------------------------------- */

static void *diagnose(void *arg)
{
    struct diagnosis *g = arg;
    int code = 0;
    g->st = capture_until(g->argv, NULL, DIAGNOSE_MS, g->cancel, &g->said, &code, &g->err);
    inbox_post(g->daemon->inbox, &g->message);
    return NULL;
}

/* The daemon's own program and options, with "doctor --json" in front of them. */
static const char **doctor_argv(char *const *own)
{
    size_t n = 0;
    while (own && own[n])
        n++;
    const char **argv = calloc(n + 4, sizeof(char *));
    if (!argv)
        return NULL;
    argv[0] = "/proc/self/exe";
    argv[1] = "doctor";
    argv[2] = "--json";
    for (size_t i = 1; i < n; i++)
        argv[2 + i] = own[i];
    return argv;
}

enum status serve_diagnose(struct daemon *d, struct rpc_call *call,
                           const V1(DiagnoseRequest) * request, struct err *err)
{
    (void)request;
    if (d->diagnosis)
        return err_set(err, ST_UNAVAILABLE,
                       "the daemon is being examined already; try again in a "
                       "moment");
    struct diagnosis *g = calloc(1, sizeof *g);
    if (!g || !(g->argv = doctor_argv(d->options.argv))) {
        free(g);
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    }
    g->cancel = eventfd(0, EFD_CLOEXEC);
    g->message.run = diagnosed;
    g->call = call;
    g->daemon = d;
    buf_init(&g->said, SAID_MAX);
    if (pthread_create(&g->thread, NULL, diagnose, g) != 0) {
        diagnosis_destroy(g);
        return err_set(err, ST_LIMIT, "cannot start a thread");
    }
    d->diagnosis = g;
    return ST_OK;
}

void diagnose_stop(struct daemon *d)
{
    struct diagnosis *g = d->diagnosis;
    if (!g)
        return;
    eventfd_write(g->cancel, 1);
    pthread_join(g->thread, NULL);
    g->joined = true;
}
