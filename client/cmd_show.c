/* cmd_show.c - `espalier show`: everything about one job. */
#include "client/commands.h"

#include "base/clock.h"
#include "client/job_text.h"
#include "client/message.h"
#include "term/format.h"
#include "term/table.h"

#include <string.h>

static void head(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    char state[16];
    term_style(out, t, STYLE_BOLD, "job %s", j->id);
    buf_puts(out, j->name[0] ? "  " : "");
    term_clean(out, j->name, strlen(j->name));
    buf_puts(out, "  ");
    term_style(out, t, state_style(j->state), "%s", state_text(j->state, state));
    if (j->reason[0]) {
        buf_puts(out, " (");
        term_clean(out, j->reason, strlen(j->reason));
        buf_puts(out, ")");
    }
    buf_puts(out, "\n");
    row_text(out, t, "", j->text);
}

static void times(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    char text[FORMAT_MAX], lasted[FORMAT_MAX];
    row_text(out, t, "submitted", format_time(text, j->submitted_ms));
    if (j->started_ms)
        row_text(out, t, "started", format_time(text, j->started_ms));
    if (j->ended_ms) {
        row_begin(out, t, "ended");
        buf_puts(out, format_time(text, j->ended_ms));
        if (j->started_ms)
            buf_printf(out, ", after %s",
                       format_duration(lasted, (double)(j->ended_ms - j->started_ms) / 1e3));
        buf_puts(out, "\n");
    }
    row_begin(out, t, "attempt");
    buf_printf(out, "%u of %u rank%s, priority %d", j->attempt, j->ranks, j->ranks == 1 ? "" : "s",
               j->priority);
    if (j->ended_ms && j->started_ms)
        buf_printf(out, ", launcher's exit code %d", j->exit_code);
    buf_puts(out, "\n");
}

static void attempt_row(struct buf *out, const struct term *t, const Espalier__V1__Attempt *a,
                        bool first)
{
    char when[FORMAT_MAX], lasted[FORMAT_MAX];
    row_begin(out, t, first ? "attempts" : "");
    buf_printf(out, "#%-2u %s", a->number, format_time(when, a->started_ms));
    if (a->host[0]) {
        buf_puts(out, " on ");
        term_clean(out, a->host, strlen(a->host));
    }
    if (a->resumed_step)
        buf_printf(out, " from step %llu", (unsigned long long)a->resumed_step);
    if (a->ended_ms)
        buf_printf(out, ", %s",
                   format_duration(lasted, (double)(a->ended_ms - a->started_ms) / 1e3));
    if (a->reason[0]) {
        buf_puts(out, ", ");
        term_style(out, t, STYLE_YELLOW, "%s", a->reason);
    }
    buf_puts(out, "\n");
    row_text(out, t, "", a->text);
}

/* Said in full where there was more than one; a single attempt is told by the lines above. */
static void attempts(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    const struct clock *clock = clock_system();
    char left[FORMAT_MAX];
    int64_t wait = j->not_before_ms - clock->wall_ms(clock);
    if (j->not_before_ms && wait > 0)
        row_text(out, t, "next attempt",
                 format_duration(left, (double)wait / 1e3)); /* it waits for room after that */
    for (size_t i = 0; j->n_attempts > 1 && i < j->n_attempts; i++)
        attempt_row(out, t, j->attempts[i], i == 0);
}

static void progress(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    const Espalier__V1__Progress *p = j->progress;
    char a[FORMAT_MAX], b[FORMAT_MAX];
    if (!p)
        return;
    row_begin(out, t, "progress");
    term_clean(out, p->phase, strlen(p->phase));
    buf_printf(out, " %llu / %llu, in all %llu / %llu\n", (unsigned long long)p->step,
               (unsigned long long)p->steps, (unsigned long long)p->total_step,
               (unsigned long long)p->total_steps);
    row_begin(out, t, "");
    buf_printf(out, "loss %.4g, step %s", p->loss, format_duration(a, p->step_seconds));
    if (!j->ended_ms)
        buf_printf(out, ", ETA %s", format_duration(b, p->eta_seconds));
    buf_puts(out, "\n");
    if (p->params_target > 0) {
        row_begin(out, t, "kept");
        buf_printf(out, "%s of the parameters, target %s\n", format_percent(a, p->params_kept),
                   format_percent(b, p->params_target));
    }
}

/* "0-3,8"; "none" for an empty list. */
static void number_list(struct buf *out, const uint32_t *number, size_t n)
{
    for (size_t i = 0, last; i < n; i = last + 1) {
        for (last = i; last + 1 < n && number[last + 1] == number[last] + 1;)
            last++;
        buf_printf(out, "%s%u", i ? "," : "", number[i]);
        if (last > i)
            buf_printf(out, "-%u", number[last]);
    }
    if (n == 0)
        buf_puts(out, "none");
}

/* Where each rank is. */
static void places(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    for (size_t i = 0; i < j->n_places; i++) {
        const Espalier__V1__RankPlace *p = j->places[i];
        row_begin(out, t, i ? "" : "ranks");
        buf_printf(out, "%zu on ", i);
        term_clean(out, p->host, strlen(p->host));
        buf_puts(out, ", cores ");
        number_list(out, p->cores, p->n_cores);
        if (p->n_gpus) {
            buf_puts(out, ", GPUs ");
            number_list(out, p->gpus, p->n_gpus);
        }
        buf_puts(out, "\n");
    }
}

/* sbatch may have refused the job: then there is nothing to tell. */
static void slurm(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    const Espalier__V1__SlurmJob *s = j->slurm;
    if (!s || (!s->id[0] && j->ended_ms))
        return;
    row_begin(out, t, "slurm");
    buf_printf(out, "job %s", s->id[0] ? s->id : "not yet known");
    const char *parts[][2] = {
        {" ", s->state}, {", ", s->reason}, {", partition ", s->partition}, {", nodes ", s->nodes}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_puts(out, parts[i][1][0] ? parts[i][0] : "");
        term_clean(out, parts[i][1], strlen(parts[i][1]));
    }
    buf_puts(out, "\n");
}

static void phases(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    char text[FORMAT_MAX];
    for (size_t i = 0; i < j->n_phase_times; i++) {
        row_begin(out, t, i ? "" : "phases");
        buf_printf(out, "%-10.16s %s\n", j->phase_times[i]->phase,
                   format_duration(text, j->phase_times[i]->seconds));
    }
}

static void artifacts(struct buf *out, const struct term *t, const Espalier__V1__Job *j)
{
    static const struct table_column columns[] = {{.heading = "FILE", .flexible = true},
                                                  {.heading = "SIZE", .right = true},
                                                  {.heading = "SHA-256"}};
    struct table table;
    char text[FORMAT_MAX];
    if (j->n_artifacts == 0)
        return;
    table_init(&table, columns, 3);
    for (size_t i = 0; i < j->n_artifacts; i++) {
        struct buf name;
        buf_init(&name, 65536);
        term_clean(&name, j->artifacts[i]->name, strlen(j->artifacts[i]->name));
        table_cell(&table, STYLE_PLAIN, "%s", buf_str(&name));
        table_cell(&table, STYLE_PLAIN, "%s", format_size(text, j->artifacts[i]->size_bytes));
        table_cell(&table, STYLE_DIM, "%.12s", j->artifacts[i]->sha256);
        buf_fini(&name);
    }
    buf_puts(out, "\n");
    table_print(&table, t, out);
    table_fini(&table);
}

static int print_job(struct cli *cli, const Espalier__V1__Job *j)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    head(&out, &cli->out, j);
    times(&out, &cli->out, j);
    attempts(&out, &cli->out, j);
    row_text(&out, &cli->out, "owner", j->owner);
    row_text(&out, &cli->out, "folder", j->folder);
    for (size_t i = 0; i < j->n_overrides; i++) {
        row_begin(&out, &cli->out, i ? "" : "set");
        buf_printf(&out, "%s=%s\n", j->overrides[i]->key, j->overrides[i]->value);
    }
    places(&out, &cli->out, j);
    slurm(&out, &cli->out, j);
    progress(&out, &cli->out, j);
    phases(&out, &cli->out, j);
    artifacts(&out, &cli->out, j);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

/* The file alone, byte for byte. */
static int print_file(struct cli *cli, const Espalier__V1__Job *j)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    buf_add(&out, j->job_file.data, j->job_file.len);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

/* The newest attempt's batch script, byte for byte. */
static int print_script(struct cli *cli, const Espalier__V1__Job *j)
{
    struct buf out;
    struct err err;
    if (!j->slurm || !j->slurm->script[0]) {
        err_set(&err, ST_NOT_FOUND, "job %s has no batch script: it was not submitted to Slurm",
                j->id);
        return cli_fail(cli, &err);
    }
    buf_init(&out, 16 << 20);
    buf_puts(&out, j->slurm->script);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int run_show(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__GetReply *reply = NULL;
    if (cli_get_job(cli, args->positional[0], &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code = args_flag(args, "file")     ? print_file(cli, reply->job)
               : args_flag(args, "script") ? print_script(cli, reply->job)
               : cli->json                 ? cli_print_json(cli, message_json(&reply->job->base))
                                           : print_job(cli, reply->job);
    reply_free(reply);
    return code;
}

static const struct option_row options[] = {
    {0, "file", NULL, "print the job file as it was submitted instead"},
    {0, "script", NULL, "print the batch script that Slurm was given instead"},
    {0, "json", NULL, "the job as one JSON object"},
    {0, NULL, NULL, NULL},
};

const struct command command_show = {
    .name = "show",
    .summary = "show one job: state, times, progress, results",
    .usage = "ID [--file | --script | --json]",
    .details = "ID may be `last`.\n",
    .examples = "espalier show 12\n"
                "espalier show last --json | jq .progress\n"
                "espalier show 12 --file > again.yaml\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
