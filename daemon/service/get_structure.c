/* get_structure.c - GetStructure: one read-out, the newest by default; ListStructures: what there is. */
#include "loop.h"
#include "service/service.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- all of them ----------------------------------------------------------------------------- */

struct structures {
    V1(StructureInfo) * *list; /* owned, with what they hold */
    size_t n;
    bool failed;
};

static bool add_structure(const struct stored_structure *st, void *user)
{
    struct structures *w = user;
    void *more = reallocarray(w->list, w->n + 1, sizeof *w->list);
    V1(StructureInfo) *to = malloc(sizeof *to);
    char *sha256 = strdup(st->sha256);
    if (more)
        w->list = more;
    w->failed = !more || !to || !sha256;
    if (w->failed) {
        free(to);
        free(sha256);
        return false;
    }
    espalier__v1__structure_info__init(to);
    to->version = (uint32_t)st->version;
    to->total_step = (uint64_t)st->total_step;
    to->sha256 = sha256;
    to->params_kept = st->params_kept;
    to->pruned = st->pruned;
    to->shared = st->shared;
    w->list[w->n++] = to;
    return true;
}

static void send_structures(struct daemon *d, struct rpc_call *call, void *arg)
{
    struct structures w = {0};
    struct err err;
    enum status st = store_structures(d->store, *(int64_t *)arg, add_structure, &w, &err);
    if (st == ST_OK && w.failed)
        st = err_set(&err, ST_NOMEM, "the daemon is out of memory");
    V1(ListStructuresReply) reply = ESPALIER__V1__LIST_STRUCTURES_REPLY__INIT;
    reply.structures = w.list;
    reply.n_structures = w.n;
    if (st == ST_OK)
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, st, err.text);
    for (size_t i = 0; i < w.n; i++) {
        free(w.list[i]->sha256);
        free(w.list[i]);
    }
    free(w.list);
}

enum status serve_list_structures(struct daemon *d, struct rpc_call *call,
                                  const V1(ListStructuresRequest) * request, struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    int64_t *id = malloc(sizeof *id);
    if (id)
        *id = job.id;
    if (!id || !loop_answer_read(d, call, send_structures, id, free)) {
        free(id);
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    }
    return ST_OK;
}
