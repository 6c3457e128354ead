/* service.c - the table of RPCs, and the way from gRPC's thread to the loop's. See service.h. */
#include "service/service.h"

#include "inbox.h"
#include "service/access.h"
#include "service/check.h"
#include "service/streams.h"

#include <stdlib.h>
#include <string.h>

typedef enum status (*serve_f)(struct daemon *d, struct rpc_call *call,
                               const ProtobufCMessage *request, struct err *err);

struct incoming {
    struct message message; /* first member */
    struct rpc_call *call;
    const ProtobufCMessage *request; /* valid while the call is held */
    serve_f serve;
};

static void serve_incoming(struct daemon *d, struct message *m)
{
    struct incoming *in = (struct incoming *)m;
    struct err err;
    streams_note_call(d);
    d->caller = rpc_call_identity(in->call);
    enum status st = d->stale ? err_set(&err, ST_UNAVAILABLE,
                                        "the job store cannot be read now; see the daemon's log")
                              : in->serve(d, in->call, in->request, &err);
    d->caller = NULL;
    if (st != ST_OK)
        rpc_call_fail(in->call, st, err.text);
    free(in);
}

static void arrive(struct daemon *d, struct rpc_call *call, const ProtobufCMessage *request,
                   serve_f serve)
{
    struct incoming *in = malloc(sizeof *in);
    if (!in) {
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
        return;
    }
    *in = (struct incoming){{NULL, serve_incoming}, call, request, serve};
    inbox_post(d->inbox, &in->message);
}

/* One row an RPC that the loop serves: name in the .proto, its handler, its request's type, unary or stream, and what a
 * caller must be allowed to do (access.h). */
#define JOB_SERVICE(X)                                                                             \
    X(Get, get, GetRequest, RPC_UNARY, LOOK)                                                       \
    X(List, list, ListRequest, RPC_UNARY, LOOK)                                                    \
    X(Cancel, cancel, CancelRequest, RPC_UNARY, TOUCH)                                             \
    X(Pause, pause, ControlRequest, RPC_UNARY, TOUCH)                                              \
    X(Resume, resume, ControlRequest, RPC_UNARY, TOUCH)                                            \
    X(Hold, hold, ControlRequest, RPC_UNARY, TOUCH)                                                \
    X(Release, release, ControlRequest, RPC_UNARY, TOUCH)                                          \
    X(Retry, retry, RetryRequest, RPC_UNARY, TOUCH)                                                \
    X(Resolve, resolve, ResolveRequest, RPC_UNARY, TOUCH)                                          \
    X(Update, update, UpdateRequest, RPC_UNARY, TOUCH)                                             \
    X(Remove, remove, RemoveRequest, RPC_UNARY, TOUCH)                                             \
    X(Watch, watch, WatchRequest, RPC_SERVER_STREAM, LOOK)                                         \
    X(Logs, logs, LogsRequest, RPC_SERVER_STREAM, LOOK)                                            \
    X(GetStructure, get_structure, GetStructureRequest, RPC_UNARY, LOOK)                           \
    X(ListStructures, list_structures, ListStructuresRequest, RPC_UNARY, LOOK)                     \
    X(ListCheckpoints, list_checkpoints, ListCheckpointsRequest, RPC_UNARY, LOOK)                  \
    X(PinCheckpoint, pin_checkpoint, PinCheckpointRequest, RPC_UNARY, TOUCH)                       \
    X(VerifyCheckpoint, verify_checkpoint, VerifyCheckpointRequest, RPC_UNARY, LOOK)               \
    X(CollectCheckpoints, collect_checkpoints, CollectCheckpointsRequest, RPC_UNARY, TOUCH)        \
    X(Download, download, DownloadRequest, RPC_SERVER_STREAM, LOOK)                                \
    X(Explain, explain, ExplainRequest, RPC_UNARY, LOOK)                                           \
    X(Nodes, nodes, NodesRequest, RPC_UNARY, LOOK)                                                 \
    X(DrainNode, drain_node, DrainNodeRequest, RPC_UNARY, RULE)                                    \
    X(Diagnose, diagnose, DiagnoseRequest, RPC_UNARY, RULE)                                        \
    X(Ping, ping, PingRequest, RPC_UNARY, LOOK)                                                    \
    X(AddToken, add_token, AddTokenRequest, RPC_UNARY, RULE)                                       \
    X(ListTokens, list_tokens, ListTokensRequest, RPC_UNARY, RULE)                                 \
    X(RevokeToken, revoke_token, RevokeTokenRequest, RPC_UNARY, RULE)
/* A worker has the token of its attempt, which report.c compares. */
#define REPORT_SERVICE(X) X(Report, report, ReportRequest, RPC_UNARY, OPEN)

#define ARRIVE(name, verb, type, kind, right)                                                      \
    static enum status typed_##verb(struct daemon *d, struct rpc_call *call,                       \
                                    const ProtobufCMessage *request, struct err *err)              \
    {                                                                                              \
        return serve_##verb(d, call, (const V1(type) *)request, err);                              \
    }                                                                                              \
    static void arrive_##verb(struct rpc_call *call, const ProtobufCMessage *request, void *user)  \
    {                                                                                              \
        arrive(user, call, request, typed_##verb);                                                 \
    }
JOB_SERVICE(ARRIVE)
REPORT_SERVICE(ARRIVE)
#undef ARRIVE

static void arrive_submit(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    checker_submit(user, call, (const V1(SubmitRequest) *)request);
}

static void arrive_validate(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    checker_validate(user, call, (const V1(ValidateRequest) *)request);
}

#define ROW(name, verb, type, kind, right) {#name, kind, arrive_##verb},
static const struct rpc_method job_methods[] = {{"Submit", RPC_UNARY, arrive_submit},
                                                {"Validate", RPC_UNARY, arrive_validate},
                                                JOB_SERVICE(ROW)};
static const struct rpc_method report_methods[] = {REPORT_SERVICE(ROW)};
#undef ROW

/* ---- who may call what ---------------------------------------------------------------------- */

#define JOB "/espalier.v1.JobService/"
#define REPORT "/espalier.v1.ReportService/"
#define JOB_RIGHT(name, verb, type, kind, right) {JOB #name, RIGHT_##right},
#define REPORT_RIGHT(name, verb, type, kind, right) {REPORT #name, RIGHT_##right},
static const struct {
    const char *method;
    enum right right;
} rights[] = {JOB_SERVICE(JOB_RIGHT) REPORT_SERVICE(REPORT_RIGHT){JOB "Submit", RIGHT_TOUCH},
              {JOB "Validate", RIGHT_TOUCH},
              {"/grpc.health.v1.Health/Check", RIGHT_OPEN}};
#undef JOB_RIGHT
#undef REPORT_RIGHT

enum right service_right(const char *method)
{
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++)
        if (strcmp(rights[i].method, method) == 0)
            return rights[i].right;
    return RIGHT_LOOK; /* reflection, the health stream, and what is no method at all */
}

enum status service_register(struct daemon *d, struct err *err)
{
    TRY(rpc_server_add(d->server, &espalier__v1__job_service__descriptor, job_methods,
                       sizeof job_methods / sizeof *job_methods, d, err));
    return rpc_server_add(d->server, &espalier__v1__report_service__descriptor, report_methods,
                          sizeof report_methods / sizeof *report_methods, d, err);
}
