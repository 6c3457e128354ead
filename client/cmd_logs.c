/* cmd_logs.c - `espalier logs`: what the ranks wrote. */
#include "client/commands.h"
#include "client/feed.h"

#include "base/clock.h"
#include "term/format.h"

static int print_chunk(struct cli *cli, const Espalier__V1__LogChunk *chunk)
{
    struct buf out;
    char size[FORMAT_MAX];
    if (chunk->gone_bytes)
        cli_note(cli, "%s of the log are gone here: the daemon keeps its newest parts (log_parts)",
                 format_size(size, chunk->gone_bytes));
    buf_init(&out, 64 << 20);
    if (cli->out.tty)
        term_clean(&out, (const char *)chunk->text.data, chunk->text.len);
    else
        buf_add(&out, chunk->text.data, chunk->text.len);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

/* Exit code, or -1 to go on. */
static int logs_step(struct cli *cli, struct feed *feed)
{
    struct err err;
    Espalier__V1__LogChunk *chunk = NULL;
    int code = -1;
    switch (feed_next(feed, -1, &chunk, &err)) {
    case FEED_MESSAGE:
        code = print_chunk(cli, chunk) ? status_exit_code(ST_IO) : -1;
        reply_free(chunk);
        return code;
    case FEED_LOST:
        cli_note(cli, "lost the connection to %s; trying again", cli->target);
        return -1;
    case FEED_BACK:
        cli_note(cli, "connected to %s again", cli->target);
        return -1;
    case FEED_TICK:
    case FEED_RESIZE:
        return -1;
    case FEED_INTERRUPT:
        return EXIT_INTERRUPTED;
    case FEED_END:
        return 0;
    case FEED_FAILED:
        return cli_fail(cli, &err);
    }
    return -1;
}

static int run_logs(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__GetReply *job = NULL;
    struct feed *feed = NULL;
    struct ask ask;
    const struct clock *clock = clock_system();
    int code = -1;
    feed_block_signals();
    if (ask_read(&ask, args, clock->wall_ms(clock), &err) != ST_OK ||
        cli_get_job(cli, args->positional[0], &job, &err) != ST_OK)
        return cli_fail(cli, &err);
    if (feed_open_asking(&feed, cli, FEED_LOG, job->job->id, &ask, &err) != ST_OK)
        code = cli_fail(cli, &err);
    while (code < 0)
        code = logs_step(cli, feed);
    feed_close(feed);
    reply_free(job);
    return code;
}

static const struct option_row options[] = {
    {'f', "follow", NULL, "stay until the job is over"},
    {0, "rank", "N", "only lines of rank N; may be given often"},
    {0, "level", "LEVEL", "no lines below debug, info, warn or error"},
    {0, "since", "TIME", "only since 90s, 10m, 2h, 3d ago, or a time like 2026-01-31T12:34:56Z"},
    {0, "grep", "RE", "only lines that match, as in grep -E"},
    {'n', "tail", "N", "start at the last N lines of these, at most 10000"},
    {0, NULL, NULL, NULL},
};

const struct command command_logs = {
    .name = "logs",
    .summary = "print a job's log",
    .usage = "ID [-f] [--rank N]... [--level LEVEL] [--since TIME] [--grep RE] [-n N]",
    .details =
        "The daemon filters, so only what is asked for travels. Lines without a head, from a "
        "library or\n"
        "mpirun, pass --level, belong to no rank and are as old as the line before them. When "
        "the daemon\n"
        "restarts, -f goes on where it was. ID may be `last`.\n",
    .examples = "espalier logs 12\n"
                "espalier logs last -f -n 20\n"
                "espalier logs 12 --rank 3 --level warn --since 10m\n"
                "espalier logs 12 --grep 'checkpoint|resumed'\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_logs,
};
