/* cmd_structures.c - `espalier structure history | diff | apply`. See structures.h. */
#include "client/commands.h"
#include "client/message.h"
#include "client/structures.h"
#include "client/submit.h"

#include "base/file.h"
#include "term/format.h"
#include "term/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRUCTURE_MAX (64u << 20)

/* ---- one read-out ---------------------------------------------------------------------------- */

/* "12:3" into "12" and 3; 0 = the newest. */
static enum status split_which(const char *which, char id[24], int64_t *version, struct err *err)
{
    const char *colon = strchr(which, ':');
    size_t len = colon ? (size_t)(colon - which) : strlen(which);
    char *end = NULL;
    if (len == 0 || len >= 24)
        return err_set(err, ST_INVALID, "'%.40s' is no job: give ID or ID:VERSION", which);
    snprintf(id, 24, "%.*s", (int)len, which);
    if (!colon || *version > 0)
        return ST_OK;
    errno = 0;
    *version = strtoll(colon + 1, &end, 10);
    if (errno || *end || *version < 1 || *version > UINT32_MAX)
        return err_set(err, ST_INVALID, "'%.40s' is no read-out: versions are 1, 2, ...", which);
    return ST_OK;
}

static enum status fetch(struct cli *cli, const char *id, int64_t version, struct readout *r,
                         struct err *err)
{
    Espalier__V1__GetReply *job = NULL;
    Espalier__V1__GetStructureRequest request = ESPALIER__V1__GET_STRUCTURE_REQUEST__INIT;
    TRY(cli_get_job(cli, id, &job, err));
    snprintf(r->id, sizeof r->id, "%s", job->job->id);
    reply_free(job);
    request.id = r->id;
    request.version = (uint32_t)version;
    return cli_call(cli, "GetStructure", &request.base,
                    &espalier__v1__get_structure_reply__descriptor, CALL_MS, &r->reply, err);
}

enum status readout_load(struct cli *cli, const char *which, int64_t version,
                         struct readout *ret_readout, struct err *err)
{
    char id[24];
    *ret_readout = (struct readout){0};
    TRY(split_which(which, id, &version, err));
    TRY(fetch(cli, id, version, ret_readout, err));
    enum status st = structure_read_json(&ret_readout->frame, &ret_readout->structure,
                                         (const char *)ret_readout->reply->structure_json.data,
                                         ret_readout->reply->structure_json.len, err);
    return st == ST_OK ? st : err_prefix(err, "the structure of job %s", ret_readout->id);
}

void readout_fini(struct readout *r)
{
    structure_destroy(r->structure);
    frame_destroy(r->frame);
    reply_free(r->reply);
    *r = (struct readout){0};
}

/* ---- history --------------------------------------------------------------------------------- */

static void put_part(struct table *t, double part)
{
    char text[FORMAT_MAX];
    table_cell(t, STYLE_PLAIN, "%s", part < 0 ? "-" : format_percent(text, part));
}

static int print_history(struct cli *cli, const Espalier__V1__ListStructuresReply *reply)
{
    static const struct table_column columns[] = {
        {"VERSION", true, false, false}, {"STEP", true, false, false},
        {"KEPT", true, false, false},    {"PRUNED", true, false, false},
        {"SHARED", true, false, false},  {"SHA-256", false, false, true}};
    struct table t;
    table_init(&t, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < reply->n_structures; i++) {
        const Espalier__V1__StructureInfo *s = reply->structures[i];
        table_cell(&t, STYLE_BOLD, "%u", s->version);
        table_cell(&t, STYLE_PLAIN, "%llu", (unsigned long long)s->total_step);
        put_part(&t, s->params_kept);
        put_part(&t, s->pruned);
        put_part(&t, s->shared);
        table_cell(&t, STYLE_DIM, "%.12s", s->sha256);
    }
    return cli_print_table(cli, &t);
}

int run_history(struct cli *cli, const struct args *args)
{
    struct err err;
    int code = 0;
    Espalier__V1__ListStructuresRequest request = ESPALIER__V1__LIST_STRUCTURES_REQUEST__INIT;
    Espalier__V1__ListStructuresReply *reply = NULL;
    request.id = (char *)args->positional[1];
    if (cli_call(cli, "ListStructures", &request.base,
                 &espalier__v1__list_structures_reply__descriptor, CALL_MS, &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    if (cli->json) {
        struct json_object *list = json_object_new_array();
        for (size_t i = 0; i < reply->n_structures; i++)
            json_object_array_add(list, message_json(&reply->structures[i]->base));
        code = cli_print_json(cli, list);
    } else if (reply->n_structures == 0) {
        cli_note(cli, "%s: no structure yet; a search makes the first", request.id);
    } else {
        code = print_history(cli, reply);
    }
    reply_free(reply);
    return code;
}

/* ---- diff ------------------------------------------------------------------------------------ */

static void put_int(struct json_object *o, const char *key, int64_t v)
{
    json_object_object_add(o, key, json_object_new_int64(v));
}

static struct json_object *side_json(const struct readout *r)
{
    struct json_object *o = json_object_new_object();
    struct structure_count c;
    structure_count(r->structure, &c);
    json_object_object_add(o, "job", json_object_new_string(r->id));
    put_int(o, "version", r->reply->version);
    put_int(o, "total_step", (int64_t)r->reply->total_step);
    put_int(o, "parameters", c.whole);
    json_object_object_add(o, "kept", json_object_new_double(c.kept));
    put_int(o, "pruned_groups", c.pruned);
    put_int(o, "shared_groups", c.shared);
    return o;
}

/* {"from", "to", "sites": [{"site", "groups", "pruned", "kept_again", "shared", "own_again"}]} of the sites that changed */
static struct json_object *diff_json(const struct readout *from, const struct readout *to)
{
    struct json_object *o = json_object_new_object(), *sites = json_object_new_array();
    const struct frame *f = from->frame;
    for (int i = 0; i < f->nsites; i++) {
        struct structure_diff d;
        structure_diff_site(from->structure, to->structure, i, &d);
        if (d.m_on + d.m_off + d.s_on + d.s_off == 0)
            continue;
        struct json_object *site = json_object_new_object();
        json_object_object_add(site, "site", json_object_new_string(f->site[i].name));
        put_int(site, "groups", f->site[i].groups);
        put_int(site, "pruned", d.m_off);
        put_int(site, "kept_again", d.m_on);
        put_int(site, "shared", d.s_on);
        put_int(site, "own_again", d.s_off);
        json_object_array_add(sites, site);
    }
    json_object_object_add(o, "from", side_json(from));
    json_object_object_add(o, "to", side_json(to));
    json_object_object_add(o, "sites", sites);
    return o;
}

int drawing_save(struct cli *cli, const char *path, const struct buf *svg)
{
    struct err err;
    enum status st = buf_ok(svg) ? file_write_atomic(path, buf_str(svg), svg->len, 0644, &err)
                                 : err_set(&err, ST_NOMEM, "the drawing is too large");
    if (st != ST_OK)
        return cli_fail(cli, &err);
    cli_note(cli, "drawn into %s", path);
    return 0;
}

static int write_diff_svg(struct cli *cli, const char *path, const struct readout *from,
                          const struct readout *to)
{
    char title[160];
    struct buf out;
    snprintf(title, sizeof title, "Job %s, structure %u, against job %s, structure %u", to->id,
             to->reply->version, from->id, from->reply->version);
    buf_init(&out, 64 << 20);
    structure_diff_svg(from->structure, to->structure, title, &out);
    int code = drawing_save(cli, path, &out);
    buf_fini(&out);
    return code;
}

static int print_diff(struct cli *cli, const struct readout *from, const struct readout *to)
{
    struct buf out;
    buf_init(&out, 64 << 20);
    term_style(&out, &cli->out, STYLE_BOLD, "job %s structure %u -> job %s structure %u", from->id,
               from->reply->version, to->id, to->reply->version);
    buf_puts(&out, "\n\n");
    structure_diff_text(from->structure, to->structure, cli->out.columns, cli->out.colour, &out);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int show_diff(struct cli *cli, const struct args *args, const struct readout *from,
                     const struct readout *to)
{
    struct err err;
    const char *svg = args_value(args, "svg", NULL);
    if (frame_match(from->frame, to->frame, &err) != ST_OK) {
        err_prefix(&err, "the structures of job %s and job %s cannot be compared", from->id,
                   to->id);
        return cli_fail(cli, &err);
    }
    if (svg)
        return write_diff_svg(cli, svg, from, to);
    return cli->json ? cli_print_json(cli, diff_json(from, to)) : print_diff(cli, from, to);
}

/* `diff ID A B`, or `diff ID:A ID2:B`. */
static enum status read_sides(const struct args *args, const char *which[2], int64_t version[2],
                              struct err *err)
{
    which[0] = args->positional[1];
    which[1] = args->npositionals == 4 ? args->positional[1] : args->positional[2];
    version[0] = version[1] = 0;
    for (int i = 0; i < 2 && args->npositionals == 4; i++) {
        char *end;
        errno = 0;
        version[i] = strtoll(args->positional[2 + i], &end, 10);
        if (errno || *end || version[i] < 1 || version[i] > UINT32_MAX || strchr(which[0], ':'))
            return err_set(err, ST_INVALID,
                           "`structure diff` takes ID and two versions, or ID:A and ID2:B; got "
                           "'%.40s'",
                           args->positional[2 + i]);
    }
    return ST_OK;
}

int run_diff(struct cli *cli, const struct args *args)
{
    struct readout from = {0}, to = {0};
    const char *which[2];
    int64_t version[2];
    struct err err;
    int code;
    if (read_sides(args, which, version, &err) == ST_OK &&
        readout_load(cli, which[0], version[0], &from, &err) == ST_OK &&
        readout_load(cli, which[1], version[1], &to, &err) == ST_OK)
        code = show_diff(cli, args, &from, &to);
    else
        code = cli_fail(cli, &err);
    readout_fini(&to);
    readout_fini(&from);
    return code;
}

/* ---- apply ----------------------------------------------------------------------------------- */

static bool is_file(const char *which)
{
    size_t len = strlen(which);
    return strchr(which, '/') || (len > 5 && !strcmp(which + len - 5, ".json"));
}

/* The job file is what `submit` sees as its first argument. */
static int apply(struct cli *cli, const struct args *args, const void *json, size_t len)
{
    struct args rest = *args;
    const ProtobufCBinaryData structure = {len, (uint8_t *)json};
    rest.positional[0] = args->positional[2];
    rest.npositionals = 1;
    return submit_file(cli, &rest, &structure);
}

static int apply_file(struct cli *cli, const struct args *args)
{
    struct buf text;
    struct err err;
    buf_init(&text, STRUCTURE_MAX);
    int code = file_read(&text, args->positional[1], &err) == ST_OK
                   ? apply(cli, args, buf_str(&text), text.len)
                   : cli_fail(cli, &err);
    buf_fini(&text);
    return code;
}

int run_apply(struct cli *cli, const struct args *args)
{
    struct readout r = {0};
    struct err err;
    int64_t version;
    if (is_file(args->positional[1]))
        return apply_file(cli, args);
    int code;
    if (args_number(args, "version", 0, 1, UINT32_MAX, &version, &err) == ST_OK &&
        readout_load(cli, args->positional[1], version, &r, &err) == ST_OK)
        code = apply(cli, args, r.reply->structure_json.data, r.reply->structure_json.len);
    else
        code = cli_fail(cli, &err);
    readout_fini(&r);
    return code;
}
