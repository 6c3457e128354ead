/* cmd_doctor.c - `espalier doctor`: what is wrong with client, daemon, MPI, Slurm and nodes, and what to do. */
#include "client/commands.h"
#include "client/doctor.h"
#include "client/message.h"

#include "base/diagnosis.h"

#include <string.h>

#define DOCTOR_MS 250000
#define FAULT ESPALIER__V1__CHECK_RESULT__CHECK_RESULT_FAULT

/* What both sides said, in one list. */
struct report {
    const Espalier__V1__Check *check[DOCTOR_CHECKS_MAX + 300];
    int n;
};

static void add(struct report *r, const Espalier__V1__Check *check)
{
    if (r->n < (int)(sizeof r->check / sizeof *r->check))
        r->check[r->n++] = check;
}

static void print_check(struct buf *out, const struct term *t, const Espalier__V1__Check *c)
{
    char result[16];
    diagnosis_print(out, t,
                    &(struct diagnosis){.result = enum_text(&espalier__v1__check_result__descriptor,
                                                            (int)c->result, result),
                                        .name = c->name,
                                        .text = c->text,
                                        .remedy = c->remedy});
}

static int print_report(struct cli *cli, const struct report *r)
{
    struct buf out;
    if (cli->json) {
        struct json_object *reply = json_object_new_object(), *list = json_object_new_array();
        for (int i = 0; i < r->n; i++)
            json_object_array_add(list, message_json(&r->check[i]->base));
        json_object_object_add(reply, "checks", list);
        return cli_print_json(cli, reply);
    }
    buf_init(&out, 1 << 20);
    for (int i = 0; i < r->n; i++)
        print_check(&out, &cli->out, r->check[i]);
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

static int run_doctor(struct cli *cli, const struct args *args)
{
    (void)args;
    struct finding_side side = {0};
    struct report report = {0};
    struct err err;
    Espalier__V1__DiagnoseRequest request = ESPALIER__V1__DIAGNOSE_REQUEST__INIT;
    Espalier__V1__DiagnoseReply *reply = NULL;
    enum status st = ST_OK;
    if (client_checks(cli, &side)) {
        st = cli_call(cli, "Diagnose", &request.base, &espalier__v1__diagnose_reply__descriptor,
                      DOCTOR_MS, &reply, &err);
        if (st != ST_OK)
            return cli_fail(cli, &err);
        client_check_clock(&side, reply->time_ms);
    }
    for (int i = 0; i < side.n; i++)
        add(&report, &side.row[i].check);
    for (size_t i = 0; reply && i < reply->n_checks; i++)
        add(&report, reply->checks[i]);
    int code = print_report(cli, &report);
    for (int i = 0; i < report.n && code == 0; i++)
        if (report.check[i]->result == FAULT)
            code = EXIT_UNWELL;
    reply_free(reply);
    return code;
}

static const struct option_row options[] = {
    {0, "json", NULL, "the checks as one JSON object"},
    {0, NULL, NULL, NULL},
};

const struct command command_doctor = {
    .name = "doctor",
    .summary = "check client, daemon, MPI, Slurm and nodes, and say what to do",
    .usage = "[--json]",
    .details = "Looks at the way to the daemon and both clocks, then has the daemon examine what "
               "it stands on:\n"
               "folders, disk, worker, mpirun, GPUs, nodes, munge and Slurm. Changes nothing; "
               "takes some seconds.\n"
               "Exit code 23 when something is at fault. Without a daemon: `espalierd doctor` on "
               "its host.\n",
    .examples = "espalier doctor\n"
                "espalier doctor --json | jq '.checks[] | select(.result == \"FAULT\")'\n",
    .options = options,
    .run = run_doctor,
};
