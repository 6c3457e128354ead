/* cmd_events.c - `espalier events` and `espalier metrics`: what a job has told so far. Neither waits for more. */
#include "client/commands.h"
#include "client/job_text.h"
#include "client/message.h"
#include "term/format.h"
#include "term/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Return false to stop early. */
typedef bool (*event_f)(const Espalier__V1__Event *e, void *user);

/* Every event of the job behind the cursor that there is now. kind: of Event's oneof, NULL = all. */
static enum status read_events(struct cli *cli, const char *id, uint64_t after, const char *kind,
                               event_f each, void *user, struct err *err)
{
    Espalier__V1__GetReply *job = NULL;
    struct rpc_stream *stream = NULL;
    Espalier__V1__WatchRequest request = ESPALIER__V1__WATCH_REQUEST__INIT;
    char *kinds[] = {(char *)kind};
    TRY(cli_get_job(cli, id, &job, err));
    request.id = job->job->id;
    request.after = after;
    request.kinds = kinds;
    request.n_kinds = kind != NULL;
    enum status st = rpc_stream_open(&stream, cli->rpc, "/espalier.v1.JobService/Watch",
                                     &request.base, &espalier__v1__event__descriptor, err);
    bool more = true;
    while (st == ST_OK && more) {
        ProtobufCMessage *message = NULL;
        st = rpc_stream_next(stream, &message, err);
        more = st == ST_OK && message && each((const Espalier__V1__Event *)message, user);
        reply_free(message);
    }
    rpc_stream_close(stream);
    reply_free(job);
    return st;
}

/* ---- events ---------------------------------------------------------------------------------- */

struct printing {
    struct cli *cli;
    int code;
};

static bool print_event(const Espalier__V1__Event *e, void *user)
{
    struct printing *p = user;
    char time[FORMAT_MAX];
    struct buf out;
    buf_init(&out, 1 << 20);
    if (p->cli->json) {
        struct json_object *json = message_json(&e->base);
        buf_puts(&out, json_object_to_json_string_ext(json, JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(json);
    } else {
        buf_printf(&out, "%s  ", format_time(time, e->time_ms));
        event_text(&out, &p->cli->out, e);
    }
    buf_puts(&out, "\n");
    p->code = cli_print(p->cli, &out);
    buf_fini(&out);
    return p->code == 0;
}

static int run_events(struct cli *cli, const struct args *args)
{
    struct err err;
    int64_t after;
    struct printing p = {cli, 0};
    if (args_number(args, "after", 0, 0, INT64_MAX, &after, &err) != ST_OK ||
        read_events(cli, args->positional[0], (uint64_t)after, args_value(args, "kind", NULL),
                    print_event, &p, &err) != ST_OK)
        return cli_fail(cli, &err);
    return p.code;
}

static const struct option_row event_options[] = {
    {0, "after", "CURSOR", "only events behind this one (\"cursor\" of --json)"},
    {0, "kind", "KIND", "only state, progress, metric, structure, checkpoint, note or phase_done"},
    {0, "json", NULL, "one JSON object a line and event, as in job.proto"},
    {0, NULL, NULL, NULL},
};

const struct command command_events = {
    .name = "events",
    .summary = "print what has happened to a job so far",
    .usage = "ID [--after CURSOR] [--kind KIND] [--json]",
    .details = "Ends at the newest event, whether the job is over or not; `espalier watch` "
               "follows. ID may be\n"
               "`last`.\n",
    .examples = "espalier events 12\n"
                "espalier events 12 --kind state\n"
                "espalier events last --json | jq -c 'select(.state) | [.time_ms, .state.to]'\n",
    .options = event_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_events,
};

/* ---- metrics --------------------------------------------------------------------------------- */

#define NAMES_MAX 4096 /* of metrics in the summary */

struct series {
    char *name, *unit; /* owned */
    uint64_t points, total_step;
    double last, least, most;
};

struct metrics {
    struct cli *cli;
    const struct args *args;
    bool csv, summary, found;
    int code;
    struct series *series; /* owned */
    size_t n;
};

/* Names after the ID; one that ends in '*' means all that begin so. */
static bool is_wanted(const struct metrics *m, const char *name)
{
    for (int i = 1; i < m->args->npositionals; i++) {
        const char *want = m->args->positional[i];
        size_t len = strlen(want);
        if (strcmp(want, name) == 0 ||
            (len > 0 && want[len - 1] == '*' && strncmp(want, name, len - 1) == 0))
            return true;
    }
    return m->args->npositionals == 1;
}

static struct series *series_of(struct metrics *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->series[i].name, name) == 0)
            return &m->series[i];
    struct series *more =
        m->n < NAMES_MAX ? reallocarray(m->series, m->n + 1, sizeof *m->series) : NULL;
    if (!more)
        return NULL;
    m->series = more;
    more[m->n] = (struct series){.name = strdup(name)};
    return more[m->n].name ? &more[m->n++] : NULL;
}

static void add_point(struct metrics *m, const Espalier__V1__Metric *v)
{
    struct series *s = series_of(m, v->name);
    if (!s)
        return;
    if (!s->unit)
        s->unit = strdup(v->unit);
    s->least = s->points == 0 || v->value < s->least ? v->value : s->least;
    s->most = s->points == 0 || v->value > s->most ? v->value : s->most;
    s->last = v->value;
    s->total_step = v->total_step;
    s->points++;
}

/* RFC 4180: a field that holds a quote, a comma or a line's end is quoted. */
static void csv_field(struct buf *out, const char *text)
{
    if (!strpbrk(text, "\",\r\n")) {
        buf_puts(out, text);
        return;
    }
    buf_puts(out, "\"");
    for (const char *p = text; *p; p++)
        buf_printf(out, "%s%c", *p == '"' ? "\"" : "", *p);
    buf_puts(out, "\"");
}

static void csv_row(struct buf *out, const Espalier__V1__Event *e)
{
    buf_printf(out, "%lld,%llu,", (long long)e->time_ms, (unsigned long long)e->metric->total_step);
    csv_field(out, e->metric->name);
    buf_printf(out, ",%.17g,", e->metric->value);
    csv_field(out, e->metric->unit);
}

static void json_row(struct buf *out, const Espalier__V1__Event *e)
{
    struct json_object *json = message_json(&e->metric->base);
    json_object_object_add(json, "time_ms", json_object_new_int64(e->time_ms));
    buf_puts(out, json_object_to_json_string_ext(json, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(json);
}

static void text_row(struct buf *out, const Espalier__V1__Event *e)
{
    char time[FORMAT_MAX];
    buf_printf(out, "%s  %8llu  %-24.24s %.6g %s", format_time(time, e->time_ms),
               (unsigned long long)e->metric->total_step, e->metric->name, e->metric->value,
               e->metric->unit);
}

static bool take_metric(const Espalier__V1__Event *e, void *user)
{
    struct metrics *m = user;
    struct buf out;
    if (e->kind_case != ESPALIER__V1__EVENT__KIND_METRIC || !is_wanted(m, e->metric->name))
        return true;
    m->found = true;
    if (m->summary) {
        add_point(m, e->metric);
        return true;
    }
    buf_init(&out, 1 << 16);
    if (m->csv)
        csv_row(&out, e);
    else if (m->cli->json)
        json_row(&out, e);
    else
        text_row(&out, e);
    buf_puts(&out, "\n");
    m->code = cli_print(m->cli, &out);
    buf_fini(&out);
    return m->code == 0;
}

static int print_summary(struct metrics *m)
{
    static const struct table_column columns[] = {
        {.heading = "METRIC", .flexible = true}, {.heading = "LAST", .right = true},
        {.heading = "UNIT", .optional = true},   {.heading = "STEP", .right = true},
        {.heading = "LEAST", .right = true},     {.heading = "MOST", .right = true},
        {.heading = "POINTS", .right = true},
    };
    struct table table;
    struct buf out;
    if (m->n == 0) {
        cli_note(m->cli, "no metrics yet");
        return 0;
    }
    table_init(&table, columns, (int)(sizeof columns / sizeof *columns));
    for (size_t i = 0; i < m->n; i++) {
        const struct series *s = &m->series[i];
        struct buf name;
        buf_init(&name, 4096);
        term_clean(&name, s->name, strlen(s->name));
        table_cell(&table, STYLE_PLAIN, "%s", buf_str(&name));
        table_cell(&table, STYLE_BOLD, "%.6g", s->last);
        table_cell(&table, STYLE_DIM, "%.16s", s->unit ? s->unit : "");
        table_cell(&table, STYLE_PLAIN, "%llu", (unsigned long long)s->total_step);
        table_cell(&table, STYLE_PLAIN, "%.6g", s->least);
        table_cell(&table, STYLE_PLAIN, "%.6g", s->most);
        table_cell(&table, STYLE_DIM, "%llu", (unsigned long long)s->points);
        buf_fini(&name);
    }
    buf_init(&out, 8 << 20);
    table_print(&table, &m->cli->out, &out);
    int code = cli_print(m->cli, &out);
    buf_fini(&out);
    table_fini(&table);
    return code;
}

static int print_heading(struct cli *cli)
{
    struct buf out;
    buf_init(&out, 256);
    buf_puts(&out, "time_ms,total_step,name,value,unit\n");
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int run_metrics(struct cli *cli, const struct args *args)
{
    struct err err;
    struct metrics m = {.cli = cli, .args = args, .csv = args_flag(args, "csv")};
    m.summary = !m.csv && !cli->json && args->npositionals == 1;
    if (m.csv && cli->json) {
        err_set(&err, ST_INVALID, "--csv and --json cannot go together");
        return cli_fail(cli, &err);
    }
    m.code = m.csv ? print_heading(cli) : 0;
    if (m.code == 0 &&
        read_events(cli, args->positional[0], 0, "metric", take_metric, &m, &err) != ST_OK)
        m.code = cli_fail(cli, &err);
    else if (m.code == 0 && m.summary)
        m.code = print_summary(&m);
    else if (m.code == 0 && !m.found)
        cli_note(cli, "no such metric so far; `espalier metrics %s` lists what there is",
                 args->positional[0]);
    for (size_t i = 0; i < m.n; i++) {
        free(m.series[i].name);
        free(m.series[i].unit);
    }
    free(m.series);
    return m.code;
}

static const struct option_row metric_options[] = {
    {0, "csv", NULL, "time_ms,total_step,name,value,unit; one line a point"},
    {0, "json", NULL, "one JSON object a line and point"},
    {0, NULL, NULL, NULL},
};

const struct command command_metrics = {
    .name = "metrics",
    .summary = "print a job's metrics: the newest of each, or whole series",
    .usage = "ID [NAME...] [--csv | --json]",
    .details =
        "Without a NAME, a table of all metrics; with NAMEs, with --csv or with --json every "
        "point that is\n"
        "kept (old ones grow coarse). A NAME that ends in * means all that begin so. ID may "
        "be `last`.\n",
    .examples = "espalier metrics 12\n"
                "espalier metrics 12 loss.giou\n"
                "espalier metrics 12 'eval.*' --csv > eval.csv\n",
    .options = metric_options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_metrics,
};
