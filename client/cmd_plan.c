/* cmd_plan.c - `espalier plan`: checks a job file and says what it would do. Needs no daemon. */
#include "client/commands.h"
#include "client/job_input.h"
#include "client/job_text.h"
#include "client/message.h"
#include "term/format.h"

#include <string.h>

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

static int print_plan(struct cli *cli, const struct job_input *in)
{
    struct err err;
    struct job_plan plan;
    char *notes[8];
    Espalier__V1__Plan wire;
    if (jobfile_plan(in->job, &plan, &err) != ST_OK)
        return cli_fail(cli, &err);
    wire_plan(in->job, &plan, notes, &wire);
    if (cli->json) {
        struct json_object *json = json_object_new_object();
        json_object_object_add(json, "findings", findings_json(&in->findings));
        json_object_object_add(json, "plan", message_json(&wire.base));
        return cli_print_json(cli, json);
    }
    struct buf out;
    buf_init(&out, 1 << 20);
    term_style(&out, &cli->out, STYLE_BOLD, "%s", in->name);
    buf_printf(&out, "%s%s\n", in->job->name[0] ? "  " : "", in->job->name);
    plan_text(&out, &cli->out, &wire);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

/* Errors as JSON too, so that a script reads one form. */
static int print_refusal(struct cli *cli, const struct job_input *in, const struct err *err)
{
    if (in->findings.n == 0)
        return cli_fail(cli, err);
    if (cli->json) {
        struct json_object *json = json_object_new_object();
        json_object_object_add(json, "findings", findings_json(&in->findings));
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

static int run_plan(struct cli *cli, const struct args *args)
{
    struct job_input in;
    struct err err;
    enum status st = job_input_load(&in, args, true, &err);
    if (in.findings.n > 0 && !cli->json)
        job_input_print_findings(cli, &in);
    int code = st != ST_OK                    ? print_refusal(cli, &in, &err)
               : args_flag(args, "effective") ? print_effective(cli, &in)
                                              : print_plan(cli, &in);
    job_input_fini(&in);
    return code;
}

static const struct option_row options[] = {
    {0, "set", "KEY=VALUE",
     "replace one value of the job file; may be given often, later ones win"},
    {0, "effective", NULL, "print the job file with every value instead, as YAML"},
    {0, "json", NULL, "findings and plan as one JSON object"},
    {0, NULL, NULL, NULL},
};

const struct command command_plan = {
    .name = "plan",
    .summary = "check a job file and say what it would do",
    .usage = "FILE [--set KEY=VALUE]... [--effective | --json]",
    .details = "Needs no daemon. All faults of the file are shown at once, as a compiler does; "
               "exit code 2\n"
               "when there is an error. FILE may be `-` for standard input.\n",
    .examples = "espalier plan job.yaml\n"
                "espalier plan job.yaml --set method.target=0.55\n"
                "espalier plan job.yaml --effective > all-values.yaml\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_plan,
};
