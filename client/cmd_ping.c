/* cmd_ping.c - `espalier ping` and `espalier version`. */
#include "client/commands.h"
#include "client/message.h"

#include "base/clock.h"
#include "term/format.h"

static int print_ping(struct cli *cli, const Espalier__V1__PingReply *p, int64_t took_ns)
{
    char memory[FORMAT_MAX], since[FORMAT_MAX];
    const struct clock *clock = clock_system();
    struct buf out;
    buf_init(&out, 65536);
    term_style(&out, &cli->out, STYLE_BOLD, "espalierd %s", p->version);
    buf_printf(&out, " at %s answered in %.1f ms\n", cli->target, (double)took_ns / 1e6);
    buf_printf(&out, "  up %s; %u core%s, %s, %u GPU%s; %u job%s running, %u queued\n",
               format_duration(since, (double)(clock->wall_ms(clock) - p->started_ms) / 1e3),
               p->cores, p->cores == 1 ? "" : "s", format_size(memory, p->memory_bytes), p->gpus,
               p->gpus == 1 ? "" : "s", p->jobs_running, p->jobs_running == 1 ? "" : "s",
               p->jobs_queued);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int run_ping(struct cli *cli, const struct args *args)
{
    (void)args;
    struct err err;
    Espalier__V1__PingRequest request = ESPALIER__V1__PING_REQUEST__INIT;
    Espalier__V1__PingReply *reply = NULL;
    int64_t start = clock_mono_ns();
    if (cli_call(cli, "Ping", &request.base, &espalier__v1__ping_reply__descriptor, CALL_MS, &reply,
                 &err) != ST_OK)
        return cli_fail(cli, &err);
    int64_t took = clock_mono_ns() - start;
    int code =
        cli->json ? cli_print_json(cli, message_json(&reply->base)) : print_ping(cli, reply, took);
    reply_free(reply);
    return code;
}

static const struct option_row options[] = {
    {0, "json", NULL, "the answer as one JSON object"},
    {0, NULL, NULL, NULL},
};

const struct command command_ping = {
    .name = "ping",
    .summary = "ask the daemon for its version and capacity",
    .usage = "[--json]",
    .details = "",
    .examples = "espalier ping\nespalier ping --server unix:/run/espalier/espalierd.sock\n",
    .options = options,
    .run = run_ping,
};

static int run_version(struct cli *cli, const struct args *args)
{
    (void)args;
    struct buf out;
    buf_init(&out, 256);
    buf_puts(&out, "espalier " ESPALIER_VERSION "\n");
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

const struct command command_version = {
    .name = "version",
    .summary = "print the version of this program",
    .usage = "",
    .details = "`espalier ping` gives the daemon's.\n",
    .examples = "",
    .run = run_version,
};
