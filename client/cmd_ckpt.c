/* cmd_ckpt.c - `espalier ckpt`: a job's checkpoints as things to look at, keep, check and fetch. */
#include "client/commands.h"
#include "client/message.h"
#include "client/pull.h"

#include "base/file.h"
#include "jobfile/keep.h"
#include "term/format.h"
#include "term/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERIFY_MS 3600000 /* of a checkpoint of many gigabytes on a slow disk */

static enum status load_list(struct cli *cli, const char *id,
                             Espalier__V1__ListCheckpointsReply **ret_reply, struct err *err)
{
    Espalier__V1__ListCheckpointsRequest request = ESPALIER__V1__LIST_CHECKPOINTS_REQUEST__INIT;
    request.id = (char *)id;
    return cli_call(cli, "ListCheckpoints", &request.base,
                    &espalier__v1__list_checkpoints_reply__descriptor, CALL_MS, ret_reply, err);
}

/* ---- ls -------------------------------------------------------------------------------------- */

static void add_metric(struct table *t, const char *name, double value)
{
    if (name[0])
        table_cell(t, STYLE_PLAIN, "%s %.4g", name, value);
    else
        table_cell(t, STYLE_DIM, "-");
}

static void add_row(struct table *t, const Espalier__V1__Checkpoint *c)
{
    char size[FORMAT_MAX], time[FORMAT_MAX];
    table_cell(t, STYLE_BOLD, "%s", path_base(c->name));
    table_cell(t, STYLE_PLAIN, "%llu", (unsigned long long)c->total_step);
    table_cell(t, STYLE_PLAIN, "%s", c->phase[0] ? c->phase : "-");
    table_cell(t, STYLE_PLAIN, "%u", c->attempt);
    add_metric(t, c->metric_name, c->metric);
    table_cell(t, STYLE_PLAIN, "%s", format_size(size, c->size_bytes));
    table_cell(t, c->present ? STYLE_PLAIN : STYLE_RED, "%s",
               !c->present ? "missing"
               : c->pinned ? "pinned"
                           : "");
    table_cell(t, STYLE_DIM, "%s", format_time(time, c->time_ms));
    table_cell(t, STYLE_DIM, "%.12s", c->sha256);
}

static int print_list(struct cli *cli, const char *id,
                      const Espalier__V1__ListCheckpointsReply *reply)
{
    static const struct table_column columns[] = {
        {"NAME", false, false, false},   {"STEP", true, false, false},
        {"PHASE", false, false, false},  {"ATTEMPT", true, false, true},
        {"METRIC", false, false, false}, {"SIZE", true, false, false},
        {"STATE", false, false, false},  {"WRITTEN", false, false, true},
        {"SHA-256", false, false, true}};
    struct table t;
    if (reply->n_checkpoints == 0) {
        cli_note(cli, "job %s has no checkpoints", id);
        return 0;
    }
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < reply->n_checkpoints; i++)
        add_row(&t, reply->checkpoints[i]);
    return cli_print_table(cli, &t);
}

static int run_ls(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__ListCheckpointsReply *reply = NULL;
    if (load_list(cli, args->positional[1], &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code;
    if (cli->json) {
        struct json_object *list = json_object_new_array();
        for (size_t i = 0; i < reply->n_checkpoints; i++)
            json_object_array_add(list, message_json(&reply->checkpoints[i]->base));
        code = cli_print_json(cli, list);
    } else {
        code = print_list(cli, args->positional[1], reply);
    }
    reply_free(reply);
    return code;
}

/* ---- get ------------------------------------------------------------------------------------- */

static bool is_named(const Espalier__V1__Checkpoint *c, const char *name)
{
    char step[24];
    snprintf(step, sizeof step, "%llu", (unsigned long long)c->total_step);
    return !strcmp(c->name, name) || !strcmp(path_base(c->name), name) || !strcmp(step, name);
}

/* By the metric of the newest phase that has one. */
static const Espalier__V1__Checkpoint *best_of(const Espalier__V1__ListCheckpointsReply *reply)
{
    const Espalier__V1__Checkpoint *best = NULL;
    for (size_t i = reply->n_checkpoints; i-- > 0;) {
        const Espalier__V1__Checkpoint *c = reply->checkpoints[i];
        if (c->present && c->metric_name[0] &&
            (!best ||
             (!strcmp(c->phase, best->phase) && !strcmp(c->metric_name, best->metric_name) &&
              keep_metric_better(keep_metric_find(c->metric_name), c->metric, best->metric))))
            best = c;
    }
    return best;
}

static enum status find(const Espalier__V1__ListCheckpointsReply *reply, const char *id,
                        const char *name, const Espalier__V1__Checkpoint **ret_checkpoint,
                        struct err *err)
{
    const Espalier__V1__Checkpoint *found = strcmp(name, "best") == 0 ? best_of(reply) : NULL;
    for (size_t i = reply->n_checkpoints; !found && i-- > 0;)
        if (is_named(reply->checkpoints[i], name) ||
            (!strcmp(name, "newest") && reply->checkpoints[i]->present))
            found = reply->checkpoints[i];
    if (!found)
        return err_set(err, ST_NOT_FOUND,
                       "job %s has no checkpoint '%.80s'; `espalier ckpt ls %s` lists them", id,
                       name, id);
    *ret_checkpoint = found;
    return ST_OK;
}

static int get(struct cli *cli, const struct args *args,
               const Espalier__V1__ListCheckpointsReply *reply)
{
    struct err err;
    const char *id = args->positional[1];
    const Espalier__V1__Checkpoint *c = NULL;
    Espalier__V1__Artifact file = ESPALIER__V1__ARTIFACT__INIT;
    if (find(reply, id, args->positional[2], &c, &err) != ST_OK)
        return cli_fail(cli, &err);
    file.name = c->name;
    file.size_bytes = c->size_bytes;
    file.sha256 = c->sha256;
    const char *base = path_base(c->name);
    if (!base[0] || !strcmp(base, ".") || !strcmp(base, "..")) {
        err_set(&err, ST_CORRUPT, "the daemon names a checkpoint '%.80s'", c->name);
        return cli_fail(cli, &err);
    }
    return pull_file(cli, id, &file, args_value(args, "output", base));
}

static int run_get(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__ListCheckpointsReply *reply = NULL;
    if (load_list(cli, args->positional[1], &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code = get(cli, args, reply);
    reply_free(reply);
    return code;
}

/* ---- pin, unpin, verify ---------------------------------------------------------------------- */

static int set_pin(struct cli *cli, const struct args *args, bool pinned)
{
    struct err err;
    Espalier__V1__PinCheckpointRequest request = ESPALIER__V1__PIN_CHECKPOINT_REQUEST__INIT;
    Espalier__V1__PinCheckpointReply *reply = NULL;
    request.id = (char *)args->positional[1];
    request.name = (char *)args->positional[2];
    request.pinned = pinned;
    if (cli_call(cli, "PinCheckpoint", &request.base,
                 &espalier__v1__pin_checkpoint_reply__descriptor, CALL_MS, &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code = 0;
    if (cli->json)
        code =
            cli_print_json(cli, reply->checkpoint ? message_json(&reply->checkpoint->base) : NULL);
    else
        cli_note(cli, "%s is %s", reply->checkpoint ? reply->checkpoint->name : request.name,
                 pinned ? "kept until it is unpinned" : "the rule's again");
    reply_free(reply);
    return code;
}

static int run_pin(struct cli *cli, const struct args *args)
{
    return set_pin(cli, args, true);
}

static int run_unpin(struct cli *cli, const struct args *args)
{
    return set_pin(cli, args, false);
}

static enum status verify(struct cli *cli, const char *id, const char *name, struct buf *out,
                          struct err *err)
{
    Espalier__V1__VerifyCheckpointRequest request = ESPALIER__V1__VERIFY_CHECKPOINT_REQUEST__INIT;
    Espalier__V1__VerifyCheckpointReply *reply = NULL;
    request.id = (char *)id;
    request.name = (char *)name;
    TRY(cli_call(cli, "VerifyCheckpoint", &request.base,
                 &espalier__v1__verify_checkpoint_reply__descriptor, VERIFY_MS, &reply, err));
    buf_printf(out, "%s  %s\n", reply->sha256, path_base(name));
    reply_free(reply);
    return ST_OK;
}

/* Every fault is said; the exit code is the first one's. only: NULL = all of them. */
static int verify_all(struct cli *cli, const char *id,
                      const Espalier__V1__ListCheckpointsReply *reply,
                      const Espalier__V1__Checkpoint *only)
{
    struct err err;
    int code = 0;
    for (size_t i = 0; i < reply->n_checkpoints; i++) {
        if (only && reply->checkpoints[i] != only)
            continue;
        struct buf out;
        buf_init(&out, 4096);
        enum status st = verify(cli, id, reply->checkpoints[i]->name, &out, &err);
        int one = st == ST_OK ? cli_print(cli, &out) : cli_fail(cli, &err);
        code = code ? code : one;
        buf_fini(&out);
    }
    if (reply->n_checkpoints == 0)
        cli_note(cli, "job %s has no checkpoints", id);
    return code;
}

static int run_verify(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__ListCheckpointsReply *reply = NULL;
    const Espalier__V1__Checkpoint *only = NULL;
    const char *id = args->positional[1];
    enum status st = load_list(cli, id, &reply, &err);
    if (st == ST_OK && args->npositionals == 3)
        st = find(reply, id, args->positional[2], &only, &err);
    int code = st == ST_OK ? verify_all(cli, id, reply, only) : cli_fail(cli, &err);
    reply_free(reply);
    return code;
}

/* ---- gc -------------------------------------------------------------------------------------- */

static void add_collected(struct table *t, const Espalier__V1__Collected *c, bool stays)
{
    char size[FORMAT_MAX];
    table_cell(t, STYLE_BOLD, "%s", c->name);
    table_cell(t, STYLE_PLAIN, "%s", format_size(size, c->size_bytes));
    add_metric(t, c->metric_name, c->metric);
    table_cell(t, stays ? STYLE_GREEN : STYLE_RED, "%s", stays ? "stays" : "goes");
    table_cell(t, STYLE_PLAIN, "%s", c->why);
}

/* What stays is told before anything goes, with why. */
static int print_collected(struct cli *cli, const Espalier__V1__CollectCheckpointsReply *reply,
                           bool dry_run)
{
    static const struct table_column columns[] = {{"NAME", false, false, false},
                                                  {"SIZE", true, false, false},
                                                  {"METRIC", false, false, false},
                                                  {"", false, false, false},
                                                  {"WHY", false, false, false}};
    char size[FORMAT_MAX], kept[FORMAT_MAX];
    uint64_t bytes = 0;
    struct table t;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < reply->n_collected; i++) {
        add_collected(&t, reply->collected[i], false);
        bytes += reply->collected[i]->size_bytes;
    }
    for (size_t i = 0; dry_run && i < reply->n_kept; i++)
        add_collected(&t, reply->kept[i], true);
    int code = 0;
    if (t.ncells)
        code = cli_print_table(cli, &t);
    else
        table_fini(&t);
    cli_note(cli, "%zu checkpoint%s, %s %s; %s stay", reply->n_collected,
             reply->n_collected == 1 ? "" : "s", format_size(size, bytes),
             dry_run ? "would go" : "are gone", format_size(kept, reply->kept_bytes));
    return code;
}

static int run_gc(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__CollectCheckpointsRequest request =
        ESPALIER__V1__COLLECT_CHECKPOINTS_REQUEST__INIT;
    Espalier__V1__CollectCheckpointsReply *reply = NULL;
    request.id = (char *)args->positional[1];
    request.dry_run = args_flag(args, "dry-run");
    if (cli_call(cli, "CollectCheckpoints", &request.base,
                 &espalier__v1__collect_checkpoints_reply__descriptor, CALL_MS, &reply,
                 &err) != ST_OK)
        return cli_fail(cli, &err);
    int code = cli->json ? cli_print_json(cli, message_json(&reply->base))
                         : print_collected(cli, reply, request.dry_run);
    reply_free(reply);
    return code;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run_ckpt(struct cli *cli, const struct args *args)
{
    static const struct verb verbs[] = {
        {"ls", 2, 2, "ID", run_ls},        {"get", 3, 3, "ID NAME", run_get},
        {"pin", 3, 3, "ID NAME", run_pin}, {"unpin", 3, 3, "ID NAME", run_unpin},
        {"gc", 2, 2, "ID", run_gc},        {"verify", 2, 3, "ID [NAME]", run_verify},
        {NULL, 0, 0, NULL, NULL}};
    return verb_run(cli, args, "ckpt", verbs);
}

static const struct option_row options[] = {
    {'o', "output", "FILE", "get: write it to FILE (default: its own name, here)"},
    {0, "dry-run", NULL, "gc: say what would go, remove nothing"},
    {0, "json", NULL, "JSON instead of a table"},
    {0, NULL, NULL, NULL},
};

const struct command command_ckpt = {
    .name = "ckpt",
    .summary = "list, fetch, pin, check and collect a job's checkpoints",
    .usage = "ls ID | get ID NAME [-o FILE] | pin ID NAME | unpin ID NAME | verify ID [NAME] | "
             "gc ID [--dry-run]",
    .details =
        "NAME is a file's name, a total step, or for `get` and `verify` newest or best. What stays "
        "is the\n"
        "job file's rule (train.checkpoint_keep, checkpoint.*), applied by the worker after each\n"
        "checkpoint; a pinned one stays in any case, and so does the newest. `verify` reads every "
        "byte\n"
        "and compares the SHA-256. `gc` applies the rule to a job that does not run. ID may be "
        "`last`.\n",
    .examples = "espalier ckpt ls 12\n"
                "espalier ckpt get 12 best -o best.safetensors\n"
                "espalier ckpt pin 12 4000\n"
                "espalier ckpt verify last\n"
                "espalier ckpt gc 12 --dry-run\n",
    .options = options,
    .min_args = 1,
    .max_args = 3,
    .run = run_ckpt,
};
