/* get_structure.c - GetStructure: one read-out, the newest by default. */
#include "loop.h"
#include "service/service.h"

#include <stdlib.h>

struct structure_query {
    int64_t job_id;
    int version;
};

static void send_structure(struct daemon *d, struct rpc_call *call, void *arg)
{
    const struct structure_query *q = arg;
    struct err err;
    struct buf json;
    int version;
    int64_t total_step;
    buf_init(&json, RPC_MESSAGE_MAX);
    if (store_structure_load(d->store, q->job_id, q->version, &json, &version, &total_step, &err) ==
        ST_OK) {
        V1(GetStructureReply) reply = ESPALIER__V1__GET_STRUCTURE_REPLY__INIT;
        reply.version = (uint32_t)version;
        reply.total_step = (uint64_t)total_step;
        reply.structure_json = (ProtobufCBinaryData){json.len, (uint8_t *)json.data};
        rpc_call_reply(call, &reply.base);
    } else {
        rpc_call_fail(call, err.code, err.text);
    }
    buf_fini(&json);
}

enum status serve_get_structure(struct daemon *d, struct rpc_call *call,
                                const V1(GetStructureRequest) * request, struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    if (request->version > INT32_MAX)
        return err_set(err, ST_NOT_FOUND, "job %lld has no structure version %u", (long long)job.id,
                       request->version);
    struct structure_query *q = malloc(sizeof *q);
    if (q)
        *q = (struct structure_query){job.id, (int)request->version};
    if (!q || !loop_answer_read(d, call, send_structure, q, free)) {
        free(q);
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    }
    return ST_OK;
}
