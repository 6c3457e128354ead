/* cmd_watch.c - `espalier watch` and `espalier wait`: a job until it is over. */
#include "client/commands.h"

#include "base/clock.h"
#include "client/follow.h"
#include "client/job_text.h"

/* The live view needs every event; with a filter it is lines. */
static int run_watch(struct cli *cli, const struct args *args)
{
    struct ask ask;
    struct err err;
    const struct clock *clock = clock_system();
    if (ask_read(&ask, args, clock->wall_ms(clock), &err) != ST_OK)
        return cli_fail(cli, &err);
    bool filters = ask.after || ask.level || ask.since_ms || ask.grep || ask.n_kinds;
    enum follow_how how = follow_how(cli);
    return follow_job_asking(cli, args->positional[0],
                             how == FOLLOW_VIEW && filters ? FOLLOW_LINES : how, &ask);
}

static const struct option_row watch_options[] = {
    {0, "after", "CURSOR", "only events behind this one (\"cursor\" of --json)"},
    {0, "kind", "KIND",
     "only state, progress, metric, structure, checkpoint, note or phase_done; may be given often"},
    {0, "level", "LEVEL", "no notes below debug, info, warn or error"},
    {0, "since", "TIME", "only since 90s, 10m, 2h, 3d ago, or a time like 2026-01-31T12:34:56Z"},
    {0, "grep", "RE", "only events whose text matches, as in grep -E"},
    {0, "json", NULL, "one JSON object a line and event, as in job.proto"},
    {0, NULL, NULL, NULL},
};

const struct command command_watch = {
    .name = "watch",
    .summary = "follow a job: live on a terminal, one line an event when piped",
    .usage = "ID [--after CURSOR] [--kind KIND]... [--level LEVEL] [--since TIME] [--grep RE] "
             "[--json]",
    .details = "Shows every event from the start and stays until the job is over; the exit code is "
               "the job's\n"
               "result (espalier help exit-codes). Ctrl-C leaves the job running. When the daemon "
               "restarts,\n"
               "watching goes on where it was, with nothing lost or doubled. The daemon filters; "
               "with a filter a\n"
               "terminal shows lines, not the live view. ID may be `last`.\n",
    .examples =
        "espalier watch 12\n"
        "espalier watch last | tee run.txt\n"
        "espalier watch 12 --kind note --level warn\n"
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
