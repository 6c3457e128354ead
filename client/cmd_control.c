/* cmd_control.c - what a person may ask of jobs: pause, resume, hold, release, retry, resolve, update, rm. */
#include "client/commands.h"
#include "client/job_text.h"
#include "client/message.h"

#include <string.h>

/* Asks one thing of one job; *ret_state: the word that is printed behind its id. */
typedef enum status (*ask_f)(struct cli *cli, const char *id, const struct args *args,
                             const char **ret_state, char room[16], struct err *err);

static int ask_one(struct cli *cli, const char *id, const struct args *args, ask_f ask)
{
    struct err err;
    char room[16];
    const char *state = "";
    Espalier__V1__GetReply *job = NULL;
    struct buf out;
    int code = 0;
    if (cli_get_job(cli, id, &job, &err) != ST_OK)
        return cli_fail(cli, &err);
    buf_init(&out, 4096);
    if (ask(cli, job->job->id, args, &state, room, &err) != ST_OK)
        code = cli_fail(cli, &err);
    else if (cli->json)
        buf_printf(&out, "{\"id\":\"%s\",\"state\":\"%s\"}\n", job->job->id, state);
    else
        buf_printf(&out, "%s %s\n", job->job->id, state);
    code = code ? code : cli_print(cli, &out);
    buf_fini(&out);
    reply_free(job);
    return code;
}

/* Every job is asked, also after one that refused; the exit code is the largest. */
static int ask_all(struct cli *cli, const struct args *args, ask_f ask)
{
    int code = 0;
    for (int i = 0; i < args->npositionals; i++) {
        int one = ask_one(cli, args->positional[i], args, ask);
        code = one > code ? one : code;
    }
    return code;
}

static enum status call_state(struct cli *cli, const char *method, const ProtobufCMessage *request,
                              const char **ret_state, char room[16], struct err *err)
{
    Espalier__V1__ControlReply *reply = NULL;
    TRY(cli_call(cli, method, request, &espalier__v1__control_reply__descriptor, CALL_MS, &reply,
                 err));
    *ret_state = state_text(reply->state, room);
    reply_free(reply);
    return ST_OK;
}

/* ---- pause, resume, hold, release ------------------------------------------------------------ */

static enum status control(struct cli *cli, const char *method, const char *id,
                           const struct args *args, const char **ret_state, char room[16],
                           struct err *err)
{
    Espalier__V1__ControlRequest request = ESPALIER__V1__CONTROL_REQUEST__INIT;
    request.id = (char *)id;
    request.text = (char *)args_value(args, "reason", "");
    return call_state(cli, method, &request.base, ret_state, room, err);
}

static const struct option_row why_options[] = {
    {0, "reason", "TEXT", "why; kept with the job"},
    {0, "json", NULL, "one JSON object a line and job"},
    {0, NULL, NULL, NULL},
};

#define CONTROL(verb, method)                                                                      \
    static enum status ask_##verb(struct cli *cli, const char *id, const struct args *args,        \
                                  const char **ret_state, char room[16], struct err *err)          \
    {                                                                                              \
        return control(cli, method, id, args, ret_state, room, err);                               \
    }                                                                                              \
    static int run_##verb(struct cli *cli, const struct args *args)                                \
    {                                                                                              \
        return ask_all(cli, args, ask_##verb);                                                     \
    }
CONTROL(pause, "Pause")
CONTROL(resume, "Resume")
CONTROL(hold, "Hold")
CONTROL(release, "Release")
#undef CONTROL

const struct command command_pause = {
    .name = "pause",
    .summary = "stop jobs with a checkpoint and give their cores back",
    .usage = "ID... [--reason TEXT] [--json]",
    .details =
        "Prints the state right after the request: PAUSING while the checkpoint is written, "
        "then the job is\n"
        "PAUSED until `espalier resume`. A job that does not run cannot be paused (exit code "
        "5);\n"
        "`espalier hold` keeps it from starting. ID may be `last`.\n",
    .examples = "espalier pause 12\nespalier pause 12 13 --reason 'the node is needed'\n",
    .options = why_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_pause,
};

const struct command command_resume = {
    .name = "resume",
    .summary = "queue paused jobs again; they go on from their checkpoint",
    .usage = "ID... [--reason TEXT] [--json]",
    .details =
        "The next attempt waits for room as any job does and costs none of the job's retries. "
        "A job that is\n"
        "not PAUSED cannot be resumed (exit code 5). ID may be `last`.\n",
    .examples = "espalier resume 12\nespalier resume 12 13 --json\n",
    .options = why_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_resume,
};

const struct command command_hold = {
    .name = "hold",
    .summary = "keep waiting jobs from starting",
    .usage = "ID... [--reason TEXT] [--json]",
    .details =
        "The job is HELD until `espalier release`. A job that runs cannot be held (exit code "
        "5);\n"
        "`espalier pause` stops it. `espalier submit --hold` brings a job in held. ID may be "
        "`last`.\n",
    .examples = "espalier hold 12\nespalier hold 12 13 --reason 'wait for the data'\n",
    .options = why_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_hold,
};

const struct command command_release = {
    .name = "release",
    .summary = "let held jobs wait for room again",
    .usage = "ID... [--reason TEXT] [--json]",
    .details = "ID may be `last`.\n",
    .examples = "espalier release 12\nespalier release 12 13 --json\n",
    .options = why_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_release,
};

/* ---- retry ----------------------------------------------------------------------------------- */

static enum status ask_retry(struct cli *cli, const char *id, const struct args *args,
                             const char **ret_state, char room[16], struct err *err)
{
    Espalier__V1__RetryRequest request = ESPALIER__V1__RETRY_REQUEST__INIT;
    request.id = (char *)id;
    request.text = (char *)args_value(args, "reason", "");
    request.checkpoint = (char *)args_value(args, "from", "");
    return call_state(cli, "Retry", &request.base, ret_state, room, err);
}

static int run_retry(struct cli *cli, const struct args *args)
{
    return ask_all(cli, args, ask_retry);
}

static const struct option_row retry_options[] = {
    {0, "from", "CKPT", "go back to this checkpoint: its name or its step; else the newest"},
    {0, "reason", "TEXT", "why; kept with the job"},
    {0, "json", NULL, "one JSON object a line and job"},
    {0, NULL, NULL, NULL},
};

const struct command command_retry = {
    .name = "retry",
    .summary = "another attempt of jobs that failed, timed out or were cancelled",
    .usage = "ID... [--from CKPT] [--reason TEXT] [--json]",
    .details =
        "The job keeps its id and its results; the attempt has the next number and goes on from "
        "the newest\n"
        "checkpoint. With --from, newer checkpoints are set aside. The job's retries are "
        "counted anew.\n"
        "A job that is COMPLETED or not over cannot be retried (exit code 5). ID may be "
        "`last`.\n",
    .examples = "espalier retry 12\n"
                "espalier retry 12 --from 4000 --reason 'before the loss rose'\n"
                "espalier retry 12 13 14\n",
    .options = retry_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_retry,
};

/* ---- resolve --------------------------------------------------------------------------------- */

static enum status ask_resolve(struct cli *cli, const char *id, const struct args *args,
                               const char **ret_state, char room[16], struct err *err)
{
    const char *as = args_value(args, "as", "");
    Espalier__V1__ResolveRequest request = ESPALIER__V1__RESOLVE_REQUEST__INIT;
    request.id = (char *)id;
    request.text = (char *)args_value(args, "reason", "");
    request.as = strcmp(as, "failed") == 0 ? ESPALIER__V1__RESOLUTION__RESOLUTION_FAILED
                                           : ESPALIER__V1__RESOLUTION__RESOLUTION_REQUEUE;
    return call_state(cli, "Resolve", &request.base, ret_state, room, err);
}

static int run_resolve(struct cli *cli, const struct args *args)
{
    struct err err;
    const char *as = args_value(args, "as", "");
    if (strcmp(as, "failed") != 0 && strcmp(as, "requeue") != 0) {
        err_set(&err, ST_INVALID, "--as expects failed or requeue%s%.40s%s", *as ? ", got '" : "",
                as, *as ? "'" : "");
        return cli_fail(cli, &err);
    }
    return ask_all(cli, args, ask_resolve);
}

static const struct option_row resolve_options[] = {
    {0, "as", "failed|requeue", "failed: the job is over; requeue: another attempt may start"},
    {0, "reason", "TEXT", "how you know; kept with the job"},
    {0, "json", NULL, "one JSON object a line and job"},
    {0, NULL, NULL, NULL},
};

const struct command command_resolve = {
    .name = "resolve",
    .summary = "say what became of unreachable jobs, when nothing else can tell",
    .usage = "ID... --as failed|requeue [--reason TEXT] [--json]",
    .details =
        "For a job that is UNREACHABLE: no contact and no evidence of an end. Your word is "
        "written into the\n"
        "job's record. An old attempt that wakes up later is refused: it reports nothing and "
        "writes no\n"
        "checkpoint. A job of which something is known cannot be resolved (exit code 5). ID "
        "may be `last`.\n",
    .examples = "espalier resolve 12 --as requeue --reason 'node7 lost its power supply'\n"
                "espalier resolve 12 --as failed\n",
    .options = resolve_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_resolve,
};

/* ---- update ---------------------------------------------------------------------------------- */

static enum status ask_update(struct cli *cli, const char *id, const struct args *args,
                              const char **ret_state, char room[16], struct err *err)
{
    Espalier__V1__UpdateRequest request = ESPALIER__V1__UPDATE_REQUEST__INIT;
    int64_t priority;
    TRY(args_number(args, "priority", -1, 0, 100, &priority, err));
    request.id = (char *)id;
    request.has_priority_case = ESPALIER__V1__UPDATE_REQUEST__HAS_PRIORITY_PRIORITY;
    request.priority = (int32_t)priority;
    return call_state(cli, "Update", &request.base, ret_state, room, err);
}

static int run_update(struct cli *cli, const struct args *args)
{
    struct err err;
    if (!args_value(args, "priority", NULL)) {
        err_set(&err, ST_INVALID, "`update` needs what to change: --priority N");
        return cli_fail(cli, &err);
    }
    return ask_all(cli, args, ask_update);
}

static const struct option_row update_options[] = {
    {0, "priority", "N", "0 to 100; larger runs earlier"},
    {0, "json", NULL, "one JSON object a line and job"},
    {0, NULL, NULL, NULL},
};

const struct command command_update = {
    .name = "update",
    .summary = "change the priority of jobs that are not over",
    .usage = "ID... --priority N [--json]",
    .details = "Counts from the next start of a job on; what runs is not taken away. ID may be "
               "`last`.\n",
    .examples = "espalier update 12 --priority 90\nespalier update 12 13 --priority 10\n",
    .options = update_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_update,
};

/* ---- rm -------------------------------------------------------------------------------------- */

static enum status ask_rm(struct cli *cli, const char *id, const struct args *args,
                          const char **ret_state, char room[16], struct err *err)
{
    (void)args;
    (void)room;
    Espalier__V1__RemoveRequest request = ESPALIER__V1__REMOVE_REQUEST__INIT;
    Espalier__V1__RemoveReply *reply = NULL;
    request.id = (char *)id;
    TRY(cli_call(cli, "Remove", &request.base, &espalier__v1__remove_reply__descriptor, CALL_MS,
                 &reply, err));
    *ret_state = "REMOVED";
    reply_free(reply);
    return ST_OK;
}

static int run_rm(struct cli *cli, const struct args *args)
{
    return ask_all(cli, args, ask_rm);
}

static const struct option_row rm_options[] = {
    {0, "json", NULL, "one JSON object a line and job"},
    {0, NULL, NULL, NULL},
};

const struct command command_rm = {
    .name = "rm",
    .summary = "forget jobs that are over: records, checkpoints, results",
    .usage = "ID... [--json]",
    .details =
        "Removes a job's rows and its folder for good; `espalier pull` fetches results first. "
        "A job that is\n"
        "not over cannot be removed (exit code 5): cancel it and wait until it has ended. ID "
        "may be `last`.\n",
    .examples = "espalier rm 12\nespalier cancel 13; espalier wait 13; espalier rm 13\n",
    .options = rm_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_rm,
};
