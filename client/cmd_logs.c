/* cmd_logs.c - `espalier logs`: what the ranks wrote. */
#include "client/commands.h"
#include "client/feed.h"

static int print_chunk(struct cli *cli, const Espalier__V1__LogChunk *chunk)
{
    struct buf out;
    buf_init(&out, 64 << 20);
    if (cli->out.tty)
        text_clean(&out, (const char *)chunk->text.data, chunk->text.len);
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
    int code = -1;
    feed_block_signals();
    if (cli_get_job(cli, args->positional[0], &job, &err) != ST_OK)
        return cli_fail(cli, &err);
    if (feed_open(&feed, cli, FEED_LOG, job->job->id, 0, args_flag(args, "follow"), &err) != ST_OK)
        code = cli_fail(cli, &err);
    while (code < 0)
        code = logs_step(cli, feed);
    feed_close(feed);
    reply_free(job);
    return code;
}

static const struct option_row options[] = {
    {'f', "follow", NULL, "stay until the job is over"},
    {0, NULL, NULL, NULL},
};

const struct command command_logs = {
    .name = "logs",
    .summary = "print a job's log",
    .usage = "ID [-f]",
    .details = "ID may be `last`.\n",
    .examples = "espalier logs 12\nespalier logs last -f | grep -i warn\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_logs,
};
