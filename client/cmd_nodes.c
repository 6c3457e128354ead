/* cmd_nodes.c - `espalier nodes`: what there is and what is free; where nothing new may start. */
#include "client/commands.h"
#include "client/message.h"
#include "term/format.h"
#include "term/table.h"

#include <string.h>

static const struct table_column columns[] = {
    {.heading = "NODE", .flexible = true},     {.heading = "STATE"},
    {.heading = "CORES FREE", .right = true},  {.heading = "GPUS FREE", .right = true},
    {.heading = "MEMORY FREE", .right = true}, {.heading = "JOBS"}};
#define NCOLUMNS ((int)(sizeof columns / sizeof *columns))

static void memory_cell(struct table *t, const Espalier__V1__Node *n)
{
    char is[FORMAT_MAX], has[FORMAT_MAX];
    if (n->memory_bytes)
        table_cell(t, STYLE_PLAIN, "%s of %s", format_size(is, n->memory_free_bytes),
                   format_size(has, n->memory_bytes));
    else
        table_cell(t, STYLE_DIM, "not counted");
}

static void add_row(struct table *t, const Espalier__V1__Node *n)
{
    struct buf host, jobs;
    buf_init(&host, 4096);
    buf_init(&jobs, 1 << 16);
    term_clean(&host, n->host, strlen(n->host));
    for (size_t i = 0; i < n->n_jobs; i++)
        buf_printf(&jobs, "%s%s", i ? " " : "", n->jobs[i]);
    table_cell(t, STYLE_PLAIN, "%s", buf_str(&host));
    table_cell(t, n->drained ? STYLE_YELLOW : STYLE_GREEN, "%s",
               n->drained                  ? n->n_jobs ? "draining" : "drained"
               : n->cores_free == n->cores ? "idle"
               : n->cores_free == 0        ? "full"
                                           : "in use");
    table_cell(t, STYLE_PLAIN, "%u of %u", n->cores_free, n->cores);
    table_cell(t, STYLE_PLAIN, "%u of %u", n->gpus_free, n->gpus);
    memory_cell(t, n);
    table_cell(t, STYLE_PLAIN, "%s", buf_str(&jobs));
    buf_fini(&host);
    buf_fini(&jobs);
}

static int print_nodes(struct cli *cli, Espalier__V1__Node **nodes, size_t n)
{
    struct table table;
    struct buf out;
    buf_init(&out, 4 << 20);
    table_init(&table, columns, NCOLUMNS);
    for (size_t i = 0; i < n; i++)
        add_row(&table, nodes[i]);
    table_print(&table, &cli->out, &out);
    table_fini(&table);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int list_nodes(struct cli *cli)
{
    struct err err;
    Espalier__V1__NodesRequest request = ESPALIER__V1__NODES_REQUEST__INIT;
    Espalier__V1__NodesReply *reply = NULL;
    if (cli_call(cli, "Nodes", &request.base, &espalier__v1__nodes_reply__descriptor, CALL_MS,
                 &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code = cli->json ? cli_print_json(cli, message_json(&reply->base))
                         : print_nodes(cli, reply->nodes, reply->n_nodes);
    reply_free(reply);
    return code;
}

static int change_node(struct cli *cli, const char *host, bool drain)
{
    struct err err;
    Espalier__V1__DrainNodeRequest request = ESPALIER__V1__DRAIN_NODE_REQUEST__INIT;
    Espalier__V1__DrainNodeReply *reply = NULL;
    request.host = (char *)host;
    request.drain = drain;
    if (cli_call(cli, "DrainNode", &request.base, &espalier__v1__drain_node_reply__descriptor,
                 CALL_MS, &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code = cli->json ? cli_print_json(cli, message_json(&reply->base))
                         : print_nodes(cli, &reply->node, reply->node != NULL);
    reply_free(reply);
    return code;
}

static int run_nodes(struct cli *cli, const struct args *args)
{
    const char *drain = args_value(args, "drain", NULL), *resume = args_value(args, "resume", NULL);
    struct err err;
    if (drain && resume) {
        err_set(&err, ST_INVALID, "--drain and --resume do not go together");
        return cli_fail(cli, &err);
    }
    if (drain || resume)
        return change_node(cli, drain ? drain : resume, drain != NULL);
    return list_nodes(cli);
}

static const struct option_row options[] = {
    {0, "drain", "NODE", "start nothing new there; what runs goes on"},
    {0, "resume", "NODE", "let jobs start there again"},
    {0, "json", NULL, "the answer as one JSON object"},
    {0, NULL, NULL, NULL},
};

const struct command command_nodes = {
    .name = "nodes",
    .summary = "show the nodes, what is free on them and what runs there",
    .usage = "[--drain NODE | --resume NODE] [--json]",
    .details =
        "Nodes are those of the daemon's configuration (key nodes); without any, its own host. A "
        "drained\n"
        "node stays drained over restarts of the daemon. Draining needs the role operator.\n",
    .examples = "espalier nodes\n"
                "espalier nodes --drain node07\n",
    .options = options,
    .run = run_nodes,
};
