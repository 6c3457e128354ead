/* health.c - grpc.health.v1.Health. A server that answers is serving: the state does not change
 * while it listens, so Watch answers once and stays open. */
#include "rpc/core.h"

#include "grpc/health/v1/health.pb-c.h"

#include <string.h>

#define SERVICE "/grpc.health.v1.Health/"

static bool knows(const struct rpc_server *s, const char *name)
{
    if (!*name)
        return true; /* the server as a whole */
    for (size_t i = 0; i < s->n_services; i++)
        if (strcmp(s->services[i], name) == 0)
            return true;
    return false;
}

static void health_check(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    const Grpc__Health__V1__HealthCheckRequest *q = (const void *)request;
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    if (!knows(user, q->service)) {
        struct err err;
        err_set(&err, ST_NOT_FOUND, "there is no service '%.200s' here", q->service);
        rpc_call_fail(call, err.code, err.text);
        return;
    }
    reply.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    rpc_call_reply(call, &reply.base);
}

static void watch_ready(struct rpc_call *call, void *user)
{
    (void)user;
    if (rpc_call_gone(call))
        rpc_call_finish(call);
}

static void health_watch(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    const Grpc__Health__V1__HealthCheckRequest *q = (const void *)request;
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    reply.status = knows(user, q->service)
                       ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                       : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    rpc_call_send(call, &reply.base);
    rpc_call_on_ready(call, watch_ready, NULL);
}

enum status rpc_add_health(struct rpc_server *s, struct err *err)
{
    const ProtobufCMessageDescriptor *input = &grpc__health__v1__health_check_request__descriptor;
    const ProtobufCMessageDescriptor *output = &grpc__health__v1__health_check_response__descriptor;
    struct rpc_entry check = {SERVICE "Check", RPC_UNARY, true, health_check, s, input, output};
    struct rpc_entry watch = {SERVICE "Watch", RPC_SERVER_STREAM, true, health_watch, s, input,
                              output};
    TRY(rpc_server_add_entry(s, &check, err));
    TRY(rpc_server_add_entry(s, &watch, err));
    return rpc_server_note_service(s, "grpc.health.v1.Health", err);
}
