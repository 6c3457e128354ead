/* cmd_plan.c - `espalier plan` and `submit --dry-run`: check a job file and say what it would do. */
#include "client/commands.h"
#include "client/job_input.h"
#include "client/job_text.h"
#include "client/message.h"
#include "client/plan.h"
#include "term/format.h"

#include <string.h>

#define PLAN_MS 10000

/* ---- printing --------------------------------------------------------------------------------- */

static int print_plan(struct cli *cli, const struct job_input *in, const struct findings *findings,
                      const Espalier__V1__Plan *plan)
{
    if (cli->json) {
        struct json_object *json = json_object_new_object();
        json_object_object_add(json, "findings", findings_json(findings));
        json_object_object_add(json, "plan", plan ? message_json(&plan->base) : NULL);
        return cli_print_json(cli, json);
    }
    struct buf out;
    buf_init(&out, 1 << 20);
    term_style(&out, &cli->out, STYLE_BOLD, "%s", in->name);
    buf_printf(&out, "%s%s\n", in->job->name[0] ? "  " : "", in->job->name);
    plan_text(&out, &cli->out, plan);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

/* Errors as JSON too, so that a script reads one form. */
static int print_refusal(struct cli *cli, const struct findings *findings, const struct err *err)
{
    if (findings->n == 0)
        return cli_fail(cli, err);
    if (cli->json) {
        struct json_object *json = json_object_new_object();
        json_object_object_add(json, "findings", findings_json(findings));
        json_object_object_add(json, "plan", NULL);
        cli_print_json(cli, json);
    }
    return status_exit_code(err->code);
}

/* The whole effective job file instead of the plan. */
static int print_effective(struct cli *cli, const struct job_input *in)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    jobfile_print(in->job, &out);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

/* ---- from the file alone ---------------------------------------------------------------------- */

/* The plan in the wire's form, so that every printer knows one. Notes stay the plan's. */
static void wire_plan(const struct jobfile *job, struct job_plan *plan, char *notes[8],
                      Espalier__V1__Plan *out)
{
    espalier__v1__plan__init(out);
    out->params_whole = (uint64_t)plan->dense.whole;
    out->params_backbones = (uint64_t)plan->dense.backbones;
    out->params_target = (uint64_t)plan->params_target;
    out->params_smallest = (uint64_t)plan->params_smallest;
    out->macs = (uint64_t)plan->dense.macs;
    out->steps = (uint64_t)plan->steps;
    out->ranks = (uint32_t)job->resources_ranks;
    out->threads_per_rank = (uint32_t)job->resources_threads;
    out->memory_per_rank_bytes = (uint64_t)plan->memory_bytes;
    for (int i = 0; i < plan->n_notes; i++)
        notes[i] = plan->notes[i];
    out->n_notes = (size_t)plan->n_notes;
    out->notes = notes;
}

static int plan_here(struct cli *cli, const struct job_input *in)
{
    struct err err;
    struct job_plan plan;
    char *notes[8];
    Espalier__V1__Plan wire;
    if (jobfile_plan(in->job, &plan, &err) != ST_OK)
        return cli_fail(cli, &err);
    wire_plan(in->job, &plan, notes, &wire);
    return print_plan(cli, in, &in->findings, &wire);
}

/* ---- by the daemon ---------------------------------------------------------------------------- */

void wire_overrides_fill(struct wire_overrides *w, const struct job_input *in)
{
    for (int i = 0; i < in->n_over; i++) {
        espalier__v1__override__init(&w->over[i]);
        w->over[i].key = (char *)in->over[i].key;
        w->over[i].value = (char *)in->over[i].value;
        w->list[i] = &w->over[i];
    }
}

void validate_request(Espalier__V1__ValidateRequest *request, struct wire_overrides *w,
                      const struct job_input *in)
{
    espalier__v1__validate_request__init(request);
    wire_overrides_fill(w, in);
    request->job_file.data = (uint8_t *)buf_str(&in->text);
    request->job_file.len = in->text.len;
    request->file_name = (char *)in->name;
    request->n_overrides = (size_t)in->n_over;
    request->overrides = w->list;
    request->folder = in->folder;
}

/* The daemon's findings are of its own host, so they count, not ours. */
static int print_answer(struct cli *cli, struct job_input *in,
                        const Espalier__V1__ValidateReply *reply)
{
    struct err err = {.code = ST_INVALID};
    struct findings f = {0};
    for (size_t i = 0; i < reply->n_findings; i++) {
        const Espalier__V1__Finding *r = reply->findings[i];
        findings_add(&f, r->severity == ESPALIER__V1__SEVERITY__SEVERITY_WARNING, (int)r->line,
                     (int)r->column, r->key, "%s", r->text);
    }
    findings_fini(&in->findings);
    in->findings = f;
    if (f.n > 0 && !cli->json)
        job_input_print_findings(cli, in);
    return reply->plan ? print_plan(cli, in, &in->findings, reply->plan)
                       : print_refusal(cli, &in->findings, &err);
}

/* ST_UNAVAILABLE: nobody answered; *ret_code is untouched then. */
static enum status plan_there(struct cli *cli, struct job_input *in, int *ret_code, struct err *err)
{
    struct wire_overrides w;
    Espalier__V1__ValidateRequest request;
    Espalier__V1__ValidateReply *reply = NULL;
    validate_request(&request, &w, in);
    TRY(cli_call(cli, "Validate", &request.base, &espalier__v1__validate_reply__descriptor, PLAN_MS,
                 &reply, err));
    *ret_code = print_answer(cli, in, reply);
    reply_free(reply);
    return ST_OK;
}

static bool nobody_answers(enum status st)
{
    return st == ST_UNAVAILABLE || st == ST_TIMEOUT;
}

/* A file that is well here is asked about there; one with faults needs no daemon to be refused. */
static int plan_checked(struct cli *cli, struct job_input *in, enum plan_by by)
{
    struct err err;
    int code = 0;
    enum status st = by == PLAN_BY_FILE ? ST_UNAVAILABLE : plan_there(cli, in, &code, &err);
    if (st == ST_OK)
        return code;
    if (by == PLAN_BY_DAEMON || (by == PLAN_BY_ANY && !nobody_answers(st)))
        return cli_fail(cli, &err);
    if (in->findings.n > 0 && !cli->json)
        job_input_print_findings(cli, in);
    if (by == PLAN_BY_ANY && cli->err.tty)
        cli_note(cli, "no daemon answers, so how long it takes is not known");
    return plan_here(cli, in);
}

int plan_job(struct cli *cli, const struct args *args, enum plan_by by)
{
    struct job_input in;
    struct err err;
    int code;
    /* Without a daemon, or beside it, its files are ours. */
    bool here = by == PLAN_BY_FILE || cli_connect(cli, &err) != ST_OK || cli_same_host(cli);
    enum status st = job_input_load(&in, args, here, &err);
    if (st == ST_OK) {
        code =
            args_flag(args, "effective") ? print_effective(cli, &in) : plan_checked(cli, &in, by);
    } else {
        if (in.findings.n > 0 && !cli->json)
            job_input_print_findings(cli, &in);
        code = print_refusal(cli, &in.findings, &err);
    }
    job_input_fini(&in);
    return code;
}

static int run_plan(struct cli *cli, const struct args *args)
{
    return plan_job(cli, args,
                    args_flag(args, "local") || args_flag(args, "effective") ? PLAN_BY_FILE
                                                                             : PLAN_BY_ANY);
}

static const struct option_row options[] = {
    {0, "set", "KEY=VALUE",
     "replace one value of the job file; may be given often, later ones win"},
    {0, "local", NULL, "ask no daemon"},
    {0, "effective", NULL, "print the job file with every value instead, as YAML"},
    {0, "json", NULL, "findings and plan as one JSON object"},
    {0, NULL, NULL, NULL},
};

const struct command command_plan = {
    .name = "plan",
    .summary = "check a job file and say what it would do",
    .usage = "FILE [--set KEY=VALUE]... [--local] [--effective | --json]",
    .details = "All faults of the file are shown at once, as a compiler does; exit code 2 when "
               "there is an error.\n"
               "Where a daemon answers, it says how long earlier jobs of the same model, batch and "
               "ranks took, and\n"
               "what Slurm answers to a test where the job would go there; without one the rest is "
               "told all the\n"
               "same. FILE may be `-` for standard input. Nothing is submitted.\n",
    .examples = "espalier plan job.yaml\n"
                "espalier plan job.yaml --set method.target=0.55\n"
                "espalier plan job.yaml --effective > all-values.yaml\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_plan,
};
