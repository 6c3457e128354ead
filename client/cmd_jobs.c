/* cmd_jobs.c - `espalier jobs`: the newest jobs, one a line. */
#include "client/commands.h"
#include "client/job_text.h"
#include "client/message.h"
#include "base/clock.h"
#include "term/format.h"
#include "term/table.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PAGE 200
#define TEXT_MAX (256u << 20) /* a million lines */
#define STATES_MAX 32

/* "running" or "RUNNING" -> the state. */
static enum status read_state(const char *text, Espalier__V1__JobState *ret_state, struct err *err)
{
    const ProtobufCEnumDescriptor *type = &espalier__v1__job_state__descriptor;
    char name[64] = "JOB_STATE_";
    size_t at = strlen(name);
    for (const char *c = text; *c && at < sizeof name - 1; c++)
        name[at++] = (char)toupper((unsigned char)*c);
    const ProtobufCEnumValue *row = protobuf_c_enum_descriptor_get_value_by_name(type, name);
    if (row && row->value != 0) {
        *ret_state = (Espalier__V1__JobState)row->value;
        return ST_OK;
    }
    char all[256] = "", number[16];
    for (unsigned i = 1; i < type->n_values; i++) {
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", i > 1 ? ", " : "",
                 enum_text(type, type->values[i].value, number));
    }
    return err_set(err, ST_INVALID, "--state expects one of %s; got '%.40s'", all, text);
}

static enum status read_states(const struct args *args, Espalier__V1__JobState *states,
                               size_t *ret_n, struct err *err)
{
    size_t n = 0;
    for (int i = 0; i < args->noptions; i++)
        if (!strcmp(args->option[i].name, "state") && n < STATES_MAX)
            TRY(read_state(args->option[i].value, &states[n++], err));
    *ret_n = n;
    return ST_OK;
}

/* ---- rows ----------------------------------------------------------------------------------------- */

static const struct table_column columns[] = {
    {.heading = "ID", .right = true},
    {.heading = "NAME", .flexible = true},
    {.heading = "STATE"},
    {.heading = "PHASE"},
    {.heading = "DONE", .right = true},
    {.heading = "KEPT", .right = true, .optional = true},
    {.heading = "ETA", .right = true},
    {.heading = "TIME", .right = true, .optional = true},
    {.heading = "SUBMITTED", .optional = true},
};

static void progress_cells(struct table *t, const Espalier__V1__JobSummary *j, bool over)
{
    char text[FORMAT_MAX];
    const Espalier__V1__Progress *p = j->progress;
    if (!p) {
        for (int i = 0; i < 4; i++)
            table_cell(t, STYLE_DIM, "-");
        return;
    }
    table_cell(t, STYLE_PLAIN, "%.12s", p->phase);
    if (p->total_steps)
        table_cell(t, STYLE_PLAIN, "%.0f %%",
                   100.0 * (double)p->total_step / (double)p->total_steps);
    else
        table_cell(t, STYLE_DIM, "-");
    if (p->params_target > 0)
        table_cell(t, STYLE_PLAIN, "%s", format_percent(text, p->params_kept));
    else
        table_cell(t, STYLE_DIM, "-");
    table_cell(t, STYLE_PLAIN, "%s", over ? "-" : format_duration(text, p->eta_seconds));
}

static void add_row(struct table *t, const Espalier__V1__JobSummary *j)
{
    const struct clock *clock = clock_system();
    char text[FORMAT_MAX], state[16];
    struct buf name;
    bool over = exit_of_state(j->state) >= 0;
    buf_init(&name, 4096);
    term_clean(&name, j->name, strlen(j->name));
    table_cell(t, STYLE_BOLD, "%s", j->id);
    table_cell(t, STYLE_PLAIN, "%s", buf_str(&name));
    if (j->attempt > 1)
        table_cell(t, state_style(j->state), "%s #%u", state_text(j->state, state), j->attempt);
    else
        table_cell(t, state_style(j->state), "%s", state_text(j->state, state));
    progress_cells(t, j, over);
    int64_t until = j->ended_ms ? j->ended_ms : clock->wall_ms(clock);
    double seconds = j->started_ms ? (double)(until - j->started_ms) / 1e3 : -1;
    table_cell(t, STYLE_PLAIN, "%s", format_duration(text, seconds));
    table_cell(t, STYLE_DIM, "%s", format_time(text, j->submitted_ms));
    buf_fini(&name);
}

/* ---- pages ---------------------------------------------------------------------------------------- */

struct listing {
    struct table table;
    struct buf text; /* --json, --ids */
    bool json, only_ids, pretty;
    int64_t limit, n;
};

/* As text at once: a hundred thousand jobs as objects would take 300 MB. */
static void add_json(struct listing *l, const Espalier__V1__JobSummary *j)
{
    struct json_object *o = message_json(&j->base);
    int style = JSON_C_TO_STRING_NOSLASHESCAPE | (l->pretty ? JSON_C_TO_STRING_PRETTY : 0);
    buf_puts(&l->text, l->n == 0 ? "[" : l->pretty ? ",\n" : ",");
    buf_puts(&l->text, json_object_to_json_string_ext(o, style));
    json_object_put(o);
}

static void take_page(struct listing *l, const Espalier__V1__ListReply *reply)
{
    for (size_t i = 0; i < reply->n_jobs && l->n < l->limit; i++, l->n++)
        if (l->json)
            add_json(l, reply->jobs[i]);
        else if (l->only_ids)
            buf_printf(&l->text, "%s\n", reply->jobs[i]->id);
        else
            add_row(&l->table, reply->jobs[i]);
}

static enum status read_pages(struct cli *cli, Espalier__V1__ListRequest *request,
                              struct listing *l, struct err *err)
{
    char token[256] = "";
    do {
        Espalier__V1__ListReply *reply = NULL;
        int64_t left = l->limit - l->n;
        request->page_size = (uint32_t)(left < PAGE ? left : PAGE);
        request->page_token = token;
        TRY(cli_call(cli, "List", &request->base, &espalier__v1__list_reply__descriptor, CALL_MS,
                     &reply, err));
        take_page(l, reply);
        snprintf(token, sizeof token, "%s", reply->next_page_token);
        reply_free(reply);
    } while (token[0] && l->n < l->limit);
    return ST_OK;
}

static int print_listing(struct cli *cli, struct listing *l)
{
    struct buf out;
    if (l->json)
        buf_puts(&l->text, l->n ? "]\n" : "[]\n");
    if (l->json || l->only_ids)
        return cli_print(cli, &l->text);
    if (l->n == 0) {
        cli_note(cli, "no jobs");
        return 0;
    }
    buf_init(&out, TEXT_MAX);
    table_print(&l->table, &cli->out, &out);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int run_jobs(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__JobState states[STATES_MAX];
    Espalier__V1__ListRequest request = ESPALIER__V1__LIST_REQUEST__INIT;
    struct listing l = {0};
    request.states = states;
    if (read_states(args, states, &request.n_states, &err) ||
        args_number(args, "limit", 20, 1, 1000000, &l.limit, &err))
        return cli_fail(cli, &err);
    table_init(&l.table, columns, (int)(sizeof columns / sizeof *columns));
    l.json = cli->json;
    l.pretty = cli->out.tty;
    l.only_ids = args_flag(args, "ids");
    buf_init(&l.text, TEXT_MAX);
    int code =
        read_pages(cli, &request, &l, &err) == ST_OK ? print_listing(cli, &l) : cli_fail(cli, &err);
    buf_fini(&l.text);
    table_fini(&l.table);
    return code;
}

static const struct option_row options[] = {
    {0, "state", "STATE", "only jobs in this state, such as running or failed; may be given often"},
    {'n', "limit", "N", "at most N jobs, the newest first (default 20)"},
    {0, "ids", NULL, "ids alone, one a line"},
    {0, "json", NULL, "a JSON array of jobs"},
    {0, NULL, NULL, NULL},
};

const struct command command_jobs = {
    .name = "jobs",
    .summary = "list the newest jobs with progress and time left",
    .usage = "[--state STATE]... [--limit N] [--ids | --json]",
    .details = "",
    .examples =
        "espalier jobs\n"
        "espalier jobs --state running --state queued\n"
        "espalier jobs --json --limit 100 | jq -r '.[] | select(.state == \"FAILED\") | .id'\n",
    .options = options,
    .run = run_jobs,
};
