/* cmd_watch.c - `espalier watch` and `espalier wait`: a job until it is over. */
#include "client/commands.h"
#include "client/follow.h"
#include "client/job_text.h"

static int run_watch(struct cli *cli, const struct args *args)
{
    return follow_job(cli, args->positional[0], follow_how(cli), 0);
}

static const struct option_row watch_options[] = {
    {0, "json", NULL, "one JSON object a line and event, as in job.proto"},
    {0, NULL, NULL, NULL},
};

const struct command command_watch = {
    .name = "watch",
    .summary = "follow a job: live on a terminal, one line an event when piped",
    .usage = "ID [--json]",
    .details = "Shows every event from the start and stays until the job is over; the exit code is "
               "the job's\n"
               "result (espalier help exit-codes). Ctrl-C leaves the job running. When the daemon "
               "restarts,\n"
               "watching goes on where it was, with nothing lost or doubled. ID may be `last`.\n",
    .examples =
        "espalier watch 12\n"
        "espalier watch last | tee run.txt\n"
        "espalier watch 12 --json | jq -c 'select(.metric) | [.metric.name, .metric.value]'\n",
    .options = watch_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_watch,
};

static int run_wait(struct cli *cli, const struct args *args)
{
    struct err err;
    int64_t timeout;
    if (args_number(args, "timeout", 0, 1, 100000000, &timeout, &err) != ST_OK)
        return cli_fail(cli, &err);
    return follow_job(cli, args->positional[0], FOLLOW_QUIET, timeout);
}

static const struct option_row wait_options[] = {
    {0, "timeout", "S", "wait at most S seconds, then exit with 9; the job goes on"},
    {0, NULL, NULL, NULL},
};

const struct command command_wait = {
    .name = "wait",
    .summary = "wait silently until a job is over; the exit code is its result",
    .usage = "ID [--timeout S]",
    .details = "Exit codes: 0 completed, 20 failed, 21 cancelled, 22 ended by its own time limit, "
               "9 still going\n"
               "after --timeout (espalier help exit-codes). ID may be `last`.\n",
    .examples = "espalier wait 12 && espalier pull 12\n"
                "espalier wait last --timeout 3600 || echo \"not done: $?\"\n",
    .options = wait_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_wait,
};
