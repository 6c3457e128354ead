/* cmd_submit.c - `espalier submit`: checks a job file here, then hands it to the daemon. The id alone goes to stdout. */
#include "client/commands.h"
#include "client/feed.h"
#include "client/follow.h"
#include "client/job_input.h"
#include "client/job_text.h"
#include "client/message.h"
#include "client/plan.h"
#include "client/submit.h"
#include "term/format.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define TRIES 3 /* the request id makes a repeated Submit one job */

struct wire {
    struct wire_overrides overrides;
    char request_id[33];
};

static enum status fill_request(struct wire *w, const struct job_input *in,
                                Espalier__V1__SubmitRequest *request, struct err *err)
{
    unsigned char random[16];
    espalier__v1__submit_request__init(request);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_errno(err, "no random bytes for the request's id");
    for (int i = 0; i < 16; i++)
        snprintf(w->request_id + 2 * i, 3, "%02x", random[i]);
    wire_overrides_fill(&w->overrides, in);
    request->job_file.data = (uint8_t *)buf_str(&in->text);
    request->job_file.len = in->text.len;
    request->file_name = (char *)in->name;
    request->n_overrides = (size_t)in->n_over;
    request->overrides = w->overrides.list;
    request->request_id = w->request_id;
    request->folder = in->folder;
    return ST_OK;
}

static enum status send_job(struct cli *cli, const Espalier__V1__SubmitRequest *request,
                            Espalier__V1__SubmitReply **ret_reply, struct err *err)
{
    enum status st = ST_OK;
    for (int i = 0; i < TRIES; i++) {
        st = cli_call(cli, "Submit", &request->base, &espalier__v1__submit_reply__descriptor,
                      SUBMIT_MS, ret_reply, err);
        if (st != ST_UNAVAILABLE)
            return st;
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    }
    return st;
}

static void add_findings(struct findings *to, Espalier__V1__Finding **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        findings_add(to, list[i]->severity == ESPALIER__V1__SEVERITY__SEVERITY_WARNING,
                     (int)list[i]->line, (int)list[i]->column, list[i]->key, "%s", list[i]->text);
}

static void print_findings(struct cli *cli, const struct job_input *in,
                           Espalier__V1__Finding **list, size_t n)
{
    struct findings f = {0};
    struct buf out;
    buf_init(&out, 4 << 20);
    add_findings(&f, list, n);
    findings_text(&out, &cli->err, in->name, buf_str(&in->text), in->text.len, &f);
    term_write(&cli->err, buf_str(&out), out.len, NULL);
    buf_fini(&out);
    findings_fini(&f);
}

/* The daemon refused what we took: a file that is not there on its host, another version. Ask for all of it. */
static int explain_refusal(struct cli *cli, const struct job_input *in,
                           const Espalier__V1__SubmitRequest *submit, const struct err *why)
{
    Espalier__V1__ValidateRequest request = ESPALIER__V1__VALIDATE_REQUEST__INIT;
    Espalier__V1__ValidateReply *reply = NULL;
    request.job_file = submit->job_file;
    request.file_name = submit->file_name;
    request.n_overrides = submit->n_overrides;
    request.overrides = submit->overrides;
    request.folder = submit->folder;
    if (why->code == ST_INVALID &&
        cli_call(cli, "Validate", &request.base, &espalier__v1__validate_reply__descriptor,
                 SUBMIT_MS, &reply, NULL) == ST_OK &&
        !reply->plan && reply->n_findings > 0) {
        print_findings(cli, in, reply->findings, reply->n_findings);
        reply_free(reply);
        return status_exit_code(ST_INVALID);
    }
    reply_free(reply);
    return cli_fail(cli, why);
}

static void print_next(struct cli *cli, const Espalier__V1__SubmitReply *reply, bool hold)
{
    char steps[FORMAT_MAX], params[FORMAT_MAX], part[FORMAT_MAX];
    struct buf out;
    const Espalier__V1__Plan *p = reply->plan;
    if (!cli->err.tty)
        return;
    buf_init(&out, 65536);
    term_style(&out, &cli->err, STYLE_BOLD, "job %s", reply->id);
    buf_puts(&out, hold ? " is held" : " is queued");
    if (p && p->params_whole)
        buf_printf(&out, ": %s steps, %s parameters, target %s", format_count(steps, p->steps),
                   format_count(params, p->params_whole),
                   format_percent(part, (double)p->params_target / (double)p->params_whole));
    if (hold)
        buf_printf(&out, "\n  espalier release %s   let it wait for its turn", reply->id);
    buf_printf(&out,
               "\n  espalier watch %s     follow it\n  espalier logs %s -f   its log\n  espalier "
               "cancel %s    end it\n",
               reply->id, reply->id, reply->id);
    term_write(&cli->err, buf_str(&out), out.len, NULL);
    buf_fini(&out);
}

static int print_id(struct cli *cli, const Espalier__V1__SubmitReply *reply)
{
    struct buf out;
    if (cli->json)
        return cli_print_json(cli, message_json(&reply->base));
    buf_init(&out, 256);
    buf_printf(&out, "%s\n", reply->id);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int submit(struct cli *cli, const struct job_input *in, const struct args *args,
                  const ProtobufCBinaryData *structure)
{
    bool follow = args_flag(args, "follow"), hold = args_flag(args, "hold");
    struct wire wire;
    struct err err;
    char id[24];
    Espalier__V1__SubmitRequest request;
    Espalier__V1__SubmitReply *reply = NULL;
    if (fill_request(&wire, in, &request, &err) != ST_OK)
        return cli_fail(cli, &err);
    request.hold = hold;
    if (structure)
        request.structure_json = *structure;
    if (send_job(cli, &request, &reply, &err) != ST_OK)
        return explain_refusal(cli, in, &request, &err);
    print_findings(cli, in, reply->findings, reply->n_findings);
    int code = print_id(cli, reply);
    if (!follow)
        print_next(cli, reply, hold);
    snprintf(id, sizeof id, "%s", reply->id);
    reply_free(reply);
    return code == 0 && follow ? follow_job(cli, id, follow_how(cli), 0) : code;
}

int submit_file(struct cli *cli, const struct args *args, const ProtobufCBinaryData *structure)
{
    struct job_input in = {0};
    struct err err;
    int code;
    if (args_flag(args, "dry-run"))
        return plan_job(cli, args, PLAN_BY_DAEMON);
    if (args_flag(args, "follow"))
        feed_block_signals();
    enum status st = cli_connect(cli, &err);
    if (st == ST_OK) {
        st = job_input_load(&in, args, cli_same_host(cli), &err);
        if (in.findings.errors > 0)
            job_input_print_findings(cli, &in);
    }
    if (st == ST_OK)
        code = submit(cli, &in, args, structure);
    else
        code = in.findings.errors > 0 ? status_exit_code(st) : cli_fail(cli, &err);
    job_input_fini(&in);
    return code;
}

static int run_submit(struct cli *cli, const struct args *args)
{
    return submit_file(cli, args, NULL);
}

static const struct option_row options[] = {
    {0, "set", "KEY=VALUE",
     "replace one value of the job file; may be given often, later ones win"},
    {0, "dry-run", NULL, "only what `plan` says, by the daemon; nothing is queued"},
    {'f', "follow", NULL, "then watch it; the exit code is the job's result"},
    {0, "hold", NULL, "bring it in HELD: it waits for `espalier release`"},
    {0, "json", NULL,
     "id, findings and plan as one JSON object; with --follow, events as JSON lines"},
    {0, NULL, NULL, NULL},
};

const struct command command_submit = {
    .name = "submit",
    .summary = "check a job file and queue it; its id goes to stdout",
    .usage = "FILE [--set KEY=VALUE]... [--dry-run | --follow] [--hold] [--json]",
    .details = "The file is checked here first and again by the daemon; all faults are shown at "
               "once. Paths in it\n"
               "are those of the daemon's host; relative ones start at the file's folder. FILE may "
               "be `-` for\n"
               "standard input. Sent twice because a connection broke, it is still one job.\n",
    .examples = "espalier submit job.yaml\n"
                "espalier submit job.yaml --set train.seed=2 --set name=seed-2\n"
                "espalier submit job.yaml --follow\n"
                "id=$(espalier submit job.yaml) && espalier wait $id && espalier pull $id\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_submit,
};
