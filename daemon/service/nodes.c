/* nodes.c - Nodes and DrainNode: what there is, what is free of it, and where nothing new may start. */
#include "base/log.h"
#include "job/change.h"
#include "job/placing.h"
#include "loop.h"
#include "service/access.h"
#include "service/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 24

/* One node's wire form, and the ids it points at. */
struct wire_node {
    V1(Node) node;
    char **ids;
    char *text; /* all ids, ID_MAX apart */
};

static bool is_on(const struct active *a, int node)
{
    if (!job_state_holds(a->job.state) || a->job.in_slurm)
        return false;
    for (int r = 0; a->placement && r < a->placement->ranks; r++)
        if (a->placement->node[r] == node)
            return true;
    return !a->placement && node == 0;
}

static bool fill_jobs(const struct daemon *d, struct wire_node *w, int node)
{
    size_t most = d->jobs->n + 1, n = 0;
    w->ids = calloc(most, sizeof(char *));
    w->text = calloc(most, ID_MAX);
    if (!w->ids || !w->text)
        return false;
    for (size_t i = 0; i < d->jobs->n; i++)
        if (is_on(d->jobs->list[i], node) &&
            access_sees_job((struct daemon *)d, d->jobs->list[i]->job.id)) {
            w->ids[n] = w->text + n * ID_MAX;
            snprintf(w->ids[n++], ID_MAX, "%lld", (long long)d->jobs->list[i]->job.id);
        }
    w->node.jobs = w->ids;
    w->node.n_jobs = n;
    return true;
}

static bool fill_node(const struct daemon *d, const struct rooms *rooms, int i, struct wire_node *w)
{
    struct node *from = &d->nodes.list[i];
    espalier__v1__node__init(&w->node);
    w->node.host = from->host;
    w->node.local = from->local;
    w->node.drained = from->drained;
    w->node.cores = (uint32_t)from->has.cores;
    w->node.cores_free = (uint32_t)rooms->free[i].cores;
    w->node.gpus = (uint32_t)from->has.gpus;
    w->node.gpus_free = (uint32_t)rooms->free[i].gpus;
    if (from->has.memory_bytes < NODE_MEMORY_NOT_COUNTED) {
        w->node.memory_bytes = (uint64_t)from->has.memory_bytes;
        w->node.memory_free_bytes = (uint64_t)rooms->free[i].memory_bytes;
    }
    return fill_jobs(d, w, i);
}

static void wire_node_fini(struct wire_node *w)
{
    free(w->ids);
    free(w->text);
}

static void send_nodes(struct daemon *d, struct rpc_call *call, void *arg)
{
    (void)arg;
    size_t n = (size_t)d->nodes.n;
    struct rooms *rooms = rooms_now(d);
    struct wire_node *w = calloc(n, sizeof *w);
    V1(Node) **list = calloc(n, sizeof(V1(Node) *));
    bool ok = rooms && w && list;
    for (size_t i = 0; ok && i < n; i++) {
        ok = fill_node(d, rooms, (int)i, &w[i]);
        list[i] = &w[i].node;
    }
    V1(NodesReply) reply = ESPALIER__V1__NODES_REPLY__INIT;
    reply.nodes = list;
    reply.n_nodes = n;
    if (ok)
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
    for (size_t i = 0; w && i < n; i++)
        wire_node_fini(&w[i]);
    free(list);
    free(w);
    rooms_destroy(rooms);
}

enum status serve_nodes(struct daemon *d, struct rpc_call *call, const V1(NodesRequest) * request,
                        struct err *err)
{
    (void)request;
    if (!loop_answer_read(d, call, send_nodes, NULL, NULL))
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    return ST_OK;
}

/* ---- drain ------------------------------------------------------------------------------------ */

/* Memory follows once it is durable. */
static void send_drained(struct daemon *d, struct rpc_call *call, void *arg)
{
    const V1(DrainNodeRequest) *q = arg;
    int i = nodes_find(&d->nodes, q->host);
    struct wire_node w = {0};
    d->nodes.list[i].drained = q->drain;
    d->queue_dirty = true;
    log_info("node %s %s", q->host, q->drain ? "is drained" : "takes jobs again");
    struct rooms *rooms = rooms_now(d);
    V1(DrainNodeReply) reply = ESPALIER__V1__DRAIN_NODE_REPLY__INIT;
    reply.node = &w.node;
    if (rooms && fill_node(d, rooms, i, &w))
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory; the node was changed");
    wire_node_fini(&w);
    rooms_destroy(rooms);
}

enum status serve_drain_node(struct daemon *d, struct rpc_call *call,
                             const V1(DrainNodeRequest) * request, struct err *err)
{
    if (nodes_find(&d->nodes, request->host) < 0)
        return err_set(err, ST_NOT_FOUND, "no node %.100s; `espalier nodes` lists them",
                       request->host);
    if (store_node_drain(d->store, request->host, request->drain, err) != ST_OK)
        return group_fail(d, err);
    if (!loop_answer(d, call, send_drained, (void *)request, NULL))
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    return ST_OK;
}
