/* cmd_structure.c - `espalier structure`: which groups of a job's model are kept, shared, pruned. */
#include "client/commands.h"

#include "base/file.h"
#include "structure/structure.h"

#include <stdio.h>
#include <string.h>

static int print_map(struct cli *cli, const char *id, const Espalier__V1__GetStructureReply *reply,
                     const struct structure *st)
{
    struct buf out;
    buf_init(&out, 64 << 20);
    term_style(&out, &cli->out, STYLE_BOLD, "job %s", id);
    buf_printf(&out, "  structure %u, read out at step %llu\n\n", reply->version,
               (unsigned long long)reply->total_step);
    structure_draw_text(st, cli->out.columns, cli->out.colour, &out);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int write_svg(struct cli *cli, const char *path, const char *id,
                     const Espalier__V1__GetStructureReply *reply, const struct structure *st)
{
    char title[96];
    struct buf out;
    struct err err;
    snprintf(title, sizeof title, "Job %s, structure %u at step %llu", id, reply->version,
             (unsigned long long)reply->total_step);
    buf_init(&out, 64 << 20);
    structure_draw_svg(st, title, &out);
    enum status status = buf_ok(&out) ? file_write_atomic(path, buf_str(&out), out.len, 0644, &err)
                                      : err_set(&err, ST_NOMEM, "the drawing is too large");
    buf_fini(&out);
    return status == ST_OK ? 0 : cli_fail(cli, &err);
}

static int print_json(struct cli *cli, const Espalier__V1__GetStructureReply *reply)
{
    struct buf out;
    buf_init(&out, 64 << 20);
    buf_add(&out, reply->structure_json.data, reply->structure_json.len);
    if (!out.len || out.data[out.len - 1] != '\n')
        buf_puts(&out, "\n");
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int show(struct cli *cli, const struct args *args, const char *id,
                const Espalier__V1__GetStructureReply *reply)
{
    struct frame *frame = NULL;
    struct structure *st = NULL;
    struct err err;
    const char *svg = args_value(args, "svg", NULL);
    if (cli->json)
        return print_json(cli, reply);
    if (structure_read_json(&frame, &st, (const char *)reply->structure_json.data,
                            reply->structure_json.len, &err) != ST_OK) {
        err_prefix(&err, "the structure of job %s", id);
        return cli_fail(cli, &err);
    }
    int code = svg ? write_svg(cli, svg, id, reply, st) : print_map(cli, id, reply, st);
    structure_destroy(st);
    frame_destroy(frame);
    return code;
}

static int run_structure(struct cli *cli, const struct args *args)
{
    struct err err;
    int64_t version;
    int code;
    Espalier__V1__GetReply *job = NULL;
    Espalier__V1__GetStructureRequest request = ESPALIER__V1__GET_STRUCTURE_REQUEST__INIT;
    Espalier__V1__GetStructureReply *reply = NULL;
    if (args_number(args, "version", 0, 1, UINT32_MAX, &version, &err) ||
        cli_get_job(cli, args->positional[0], &job, &err))
        return cli_fail(cli, &err);
    request.id = job->job->id;
    request.version = (uint32_t)version;
    if (cli_call(cli, "GetStructure", &request.base, &espalier__v1__get_structure_reply__descriptor,
                 CALL_MS, &reply, &err) == ST_OK)
        code = show(cli, args, job->job->id, reply);
    else
        code = cli_fail(cli, &err);
    reply_free(reply);
    reply_free(job);
    return code;
}

static const struct option_row options[] = {
    {0, "svg", "FILE", "draw it into FILE instead"},
    {0, "version", "N", "read-out number N; the newest when it is left out"},
    {0, "json", NULL, "the structure file (docs/spec/structure.md)"},
    {0, NULL, NULL, NULL},
};

const struct command command_structure = {
    .name = "structure",
    .summary = "draw the map of kept, shared and pruned groups of every layer",
    .usage = "ID [--version N] [--svg FILE | --json]",
    .details = "A structure is read out during the search whenever it changes; the last one is "
               "what the exported\n"
               "model has. ID may be `last`.\n",
    .examples = "espalier structure 12\n"
                "espalier structure 12 --version 3\n"
                "espalier structure last --svg map.svg\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_structure,
};
