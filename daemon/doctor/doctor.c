/* doctor.c - the list of checks, and what they found as a table or as JSON. See doctor.h. */
#include "doctor/doctor.h"

#include "base/clock.h"
#include "base/diagnosis.h"
#include "base/json.h"
#include "doctor/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct check *doctor_say(struct doctor *d, const char *name, enum check_result result,
                         const char *fmt, ...)
{
    struct check *c = &d->list[d->n < CHECKS_MAX ? d->n++ : CHECKS_MAX - 1];
    va_list ap;
    *c = (struct check){.result = result};
    snprintf(c->name, sizeof c->name, "%s", name);
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
    return c;
}

void check_remedy(struct check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->remedy, sizeof c->remedy, fmt, ap);
    va_end(ap);
}

static const char *result_name(enum check_result r)
{
    static const char *const names[] = {[CHECK_OK] = "OK",
                                        [CHECK_WARNING] = "WARNING",
                                        [CHECK_FAULT] = "FAULT",
                                        [CHECK_SKIPPED] = "SKIPPED"};
    return names[r];
}

static void print_text(const struct doctor *d)
{
    struct term out;
    struct buf text;
    term_init(&out, STDOUT_FILENO, COLOUR_AUTO);
    buf_init(&text, 1 << 20);
    for (int i = 0; i < d->n; i++) {
        const struct check *c = &d->list[i];
        diagnosis_print(&text, &out,
                        &(struct diagnosis){result_name(c->result), c->name, c->text, c->remedy});
    }
    (void)term_write(&out, buf_str(&text), text.len, NULL);
    buf_fini(&text);
}

/* The fields of job.proto's DiagnoseReply. */
static void print_json(const struct doctor *d)
{
    struct json_object *reply = json_object_new_object(), *list = json_object_new_array();
    for (int i = 0; i < d->n; i++) {
        const struct check *c = &d->list[i];
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(c->name));
        json_object_object_add(o, "result", json_object_new_string(result_name(c->result)));
        json_object_object_add(o, "text", json_object_new_string(c->text));
        json_object_object_add(o, "remedy", json_object_new_string(c->remedy));
        json_object_array_add(list, o);
    }
    json_object_object_add(reply, "checks", list);
    json_object_object_add(reply, "time_ms",
                           json_object_new_int64(clock_system()->wall_ms(clock_system())));
    puts(json_object_to_json_string_ext(reply,
                                        JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(reply);
}

static int examine_all(const struct options *options, bool json)
{
    struct doctor *d = calloc(1, sizeof *d);
    int faults = 0;
    if (!d)
        return status_exit_code(ST_NOMEM);
    d->options = options;
    examine_environment(d);
    examine_folders(d);
    examine_worker(d);
    if (options->fake)
        doctor_say(d, "mpi", CHECK_SKIPPED, "the launcher is fake");
    else
        examine_mpi(d);
    examine_nodes(d);
    examine_slurm(d);
    if (json)
        print_json(d);
    else
        print_text(d);
    for (int i = 0; i < d->n; i++)
        faults += d->list[i].result == CHECK_FAULT;
    free(d);
    return faults ? DOCTOR_EXIT_FAULT : 0;
}

int doctor_command(int argc, char **argv)
{
    struct options options;
    struct err err;
    bool json = false;
    int kept = 0, code = -1;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    if (options_parse(&options, kept, argv, &code, &err) != ST_OK) {
        fprintf(stderr, "espalierd: %s\n", err.text);
        return status_exit_code(err.code);
    }
    if (code >= 0)
        return code;
    code = examine_all(&options, json);
    options_fini(&options);
    return code;
}
