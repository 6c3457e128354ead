/* cmd_explain.c - `espalier explain`: why a job waits, runs or ended as it did, and what would help. */
#include "client/commands.h"
#include "client/job_text.h"
#include "client/message.h"

#include <string.h>

#define HELPS "    what helps: "

static void print_cause(struct buf *out, const struct term *t, const Espalier__V1__Cause *c)
{
    buf_puts(out, t->unicode ? "  \u2022 " : "  * ");
    term_wrap(out, t, 4, c->text);
    buf_puts(out, "\n");
    if (!c->remedy[0])
        return;
    term_style(out, t, STYLE_DIM, "%s", HELPS);
    term_wrap(out, t, (int)strlen(HELPS), c->remedy);
    buf_puts(out, "\n");
}

static int print_reply(struct cli *cli, const Espalier__V1__ExplainReply *r)
{
    struct buf out;
    char state[16];
    buf_init(&out, 1 << 20);
    term_style(&out, &cli->out, STYLE_BOLD, "job %s", r->id);
    buf_puts(&out, "  ");
    term_style(&out, &cli->out, state_style(r->state), "%s", state_text(r->state, state));
    buf_puts(&out, "  ");
    term_wrap(&out, &cli->out, term_width(buf_str(&out)), r->summary);
    buf_puts(&out, "\n");
    for (size_t i = 0; i < r->n_causes; i++)
        print_cause(&out, &cli->out, r->causes[i]);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int run_explain(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__ExplainRequest request = ESPALIER__V1__EXPLAIN_REQUEST__INIT;
    Espalier__V1__ExplainReply *reply = NULL;
    request.id = (char *)args->positional[0];
    if (cli_call(cli, "Explain", &request.base, &espalier__v1__explain_reply__descriptor, CALL_MS,
                 &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code =
        cli->json ? cli_print_json(cli, message_json(&reply->base)) : print_reply(cli, reply);
    reply_free(reply);
    return code;
}

static const struct option_row options[] = {
    {0, "json", NULL, "the answer as one JSON object"},
    {0, NULL, NULL, NULL},
};

const struct command command_explain = {
    .name = "explain",
    .summary = "say why a job waits, runs or ended as it did, and what would help",
    .usage = "ID [--json]",
    .details = "ID may be `last`. Joins the queue, what is free on the nodes, waits between "
               "attempts and Slurm's\n"
               "reason; each cause comes with the command that would help, where there is one.\n",
    .examples = "espalier explain 12\n"
                "espalier explain last --json | jq '.causes[0]'\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_explain,
};
