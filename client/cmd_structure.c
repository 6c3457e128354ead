/* cmd_structure.c - `espalier structure`: which groups of a job's model are kept, shared, pruned. */
#include "client/commands.h"
#include "client/structures.h"

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
    snprintf(title, sizeof title, "Job %s, structure %u at step %llu", id, reply->version,
             (unsigned long long)reply->total_step);
    buf_init(&out, 64 << 20);
    structure_draw_svg(st, title, &out);
    int code = drawing_save(cli, path, &out);
    buf_fini(&out);
    return code;
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

static int run_show(struct cli *cli, const struct args *args, const char *which)
{
    struct readout r = {0};
    struct err err;
    int64_t version;
    const char *svg = args_value(args, "svg", NULL);
    int code;
    if (args_number(args, "version", 0, 1, UINT32_MAX, &version, &err) != ST_OK ||
        readout_load(cli, which, version, &r, &err) != ST_OK)
        code = cli_fail(cli, &err);
    else if (cli->json)
        code = print_json(cli, r.reply);
    else if (svg)
        code = write_svg(cli, svg, r.id, r.reply, r.structure);
    else
        code = print_map(cli, r.id, r.reply, r.structure);
    readout_fini(&r);
    return code;
}

static int show_named(struct cli *cli, const struct args *args)
{
    return run_show(cli, args, args->positional[1]);
}

/* `structure ID` is `structure show ID`. */
static int run_structure(struct cli *cli, const struct args *args)
{
    static const struct verb verbs[] = {
        {"show", 2, 2, "ID", show_named},
        {"history", 2, 2, "ID", run_history},
        {"diff", 3, 4, "ID and two versions, or ID:A and ID2:B", run_diff},
        {"apply", 3, 3, "ID:VERSION or a structure's file, and a job file", run_apply},
        {NULL, 0, 0, NULL, NULL}};
    const char *first = args->positional[0];
    if (args->npositionals == 1 && !verb_find(verbs, first))
        return run_show(cli, args, first);
    return verb_run(cli, args, "structure", verbs);
}

static const struct option_row options[] = {
    {0, "svg", "FILE", "show, diff: draw it into FILE instead"},
    {0, "version", "N", "show, apply: read-out number N; the newest when it is left out"},
    {0, "set", "KEY=VALUE", "apply: as in submit"},
    {'f', "follow", NULL, "apply: as in submit"},
    {0, "hold", NULL, "apply: as in submit"},
    {0, "json", NULL, "JSON; show: the structure file (docs/spec/structure.md)"},
    {0, NULL, NULL, NULL},
};

const struct command command_structure = {
    .name = "structure",
    .summary = "draw, compare and use again which groups of a model are kept, shared, pruned",
    .usage = "[show] ID [--version N] [--svg FILE | --json] | history ID [--json] | diff ID A B | "
             "diff ID:A ID2:B [--svg FILE | --json] | apply ID[:N] JOBFILE",
    .details = "A structure is read out during the search whenever it changes; the last one is "
               "what the exported\n"
               "model has. `apply` submits a job whose search starts frozen on a read-out (or on a "
               "structure's\n"
               "file, FILE.json): nothing is searched, its weights are drawn to that structure at "
               "once. The job's\n"
               "model must have the same shape. ID may be `last`.\n",
    .examples = "espalier structure 12\n"
                "espalier structure show 12 --version 3 --json > third.json\n"
                "espalier structure history 12\n"
                "espalier structure diff 12 3 7\n"
                "espalier structure diff 12:7 15:2 --svg diff.svg\n"
                "espalier structure apply 12:7 job.yaml --set train.seed=2\n",
    .options = options,
    .min_args = 1,
    .max_args = 4,
    .run = run_structure,
};
