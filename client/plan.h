/* plan.h - what a job would do: by the daemon where one answers, else from the file alone. */
#ifndef CLIENT_PLAN_H
#define CLIENT_PLAN_H

#include "client/cli.h"

enum plan_by {
    PLAN_BY_ANY,    /* the daemon if it can be reached; else said in one line */
    PLAN_BY_DAEMON, /* a daemon that cannot be reached is a failure */
    PLAN_BY_FILE,
};

/* Checks FILE (args' first positional) with its --set, prints findings and plan. The exit code. */
int plan_job(struct cli *cli, const struct args *args, enum plan_by by);

/* The wire form of a job file and its --set list; what they point at belongs to `in`. */
struct job_input;
struct wire_overrides {
    Espalier__V1__Override over[ARGS_MAX], *list[ARGS_MAX];
};
void wire_overrides_fill(struct wire_overrides *w, const struct job_input *in);
void validate_request(Espalier__V1__ValidateRequest *request, struct wire_overrides *w,
                      const struct job_input *in);

#endif
