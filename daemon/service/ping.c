/* ping.c - Ping: version and capacity. */
#include "loop.h"
#include "service/service.h"

static void send_ping(struct daemon *d, struct rpc_call *call, void *arg)
{
    (void)arg;
    struct jobs_load load = jobs_load(d->jobs, &d->options.node);
    V1(PingReply) reply = ESPALIER__V1__PING_REPLY__INIT;
    reply.version = (char *)ESPALIER_VERSION;
    reply.cores = (uint32_t)d->options.node.cores;
    reply.memory_bytes = (uint64_t)d->options.node.memory_bytes;
    reply.gpus = (uint32_t)d->options.node.gpus;
    reply.jobs_running = load.running;
    reply.jobs_queued = load.waiting;
    reply.started_ms = d->started_ms;
    rpc_call_reply(call, &reply.base);
}

enum status serve_ping(struct daemon *d, struct rpc_call *call, const V1(PingRequest) * request,
                       struct err *err)
{
    (void)request;
    if (!loop_answer_read(d, call, send_ping, NULL, NULL))
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    return ST_OK;
}
