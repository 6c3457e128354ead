/* cmd_cancel.c - `espalier cancel`: asks jobs to end. */
#include "client/commands.h"
#include "client/job_text.h"
#include "client/message.h"

static int cancel_one(struct cli *cli, const char *id, const char *why)
{
    struct err err;
    char state[16];
    Espalier__V1__GetReply *job = NULL;
    Espalier__V1__CancelRequest request = ESPALIER__V1__CANCEL_REQUEST__INIT;
    Espalier__V1__CancelReply *reply = NULL;
    struct buf out;
    int code = 0;
    if (cli_get_job(cli, id, &job, &err) != ST_OK)
        return cli_fail(cli, &err);
    request.id = job->job->id;
    request.text = (char *)why;
    buf_init(&out, 4096);
    if (cli_call(cli, "Cancel", &request.base, &espalier__v1__cancel_reply__descriptor, CALL_MS,
                 &reply, &err) != ST_OK)
        code = cli_fail(cli, &err);
    else if (cli->json)
        buf_printf(&out, "{\"id\":\"%s\",\"state\":\"%s\"}\n", job->job->id,
                   state_text(reply->state, state));
    else
        buf_printf(&out, "%s %s\n", job->job->id, state_text(reply->state, state));
    code = code ? code : cli_print(cli, &out);
    buf_fini(&out);
    reply_free(reply);
    reply_free(job);
    return code;
}

static int run_cancel(struct cli *cli, const struct args *args)
{
    int code = 0;
    for (int i = 0; i < args->npositionals; i++) {
        int one = cancel_one(cli, args->positional[i], args_value(args, "reason", ""));
        code = one > code ? one : code;
    }
    return code;
}

static const struct option_row options[] = {
    {0, "reason", "TEXT", "why; kept with the job"},
    {0, "json", NULL, "one JSON object a line and job"},
    {0, NULL, NULL, NULL},
};

const struct command command_cancel = {
    .name = "cancel",
    .summary = "ask jobs to end; they write a checkpoint first",
    .usage = "ID... [--reason TEXT] [--json]",
    .details = "Prints the state right after the request: CANCELLED for a job that had not "
               "started, STOPPING for\n"
               "one that has to end first. A job that has ended cannot be cancelled (exit code 5). "
               "ID may be\n"
               "`last`.\n",
    .examples = "espalier cancel 12\nespalier cancel 12 13 --reason 'wrong learning rate'\n",
    .options = options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_cancel,
};
