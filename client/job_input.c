/* job_input.c - see job_input.h. */
#include "client/job_input.h"

#include "base/file.h"
#include "client/job_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX (16u << 20) /* above jobfile's own limit, which says it better */

const struct option_row job_input_options[] = {
    {0, "set", "KEY=VALUE",
     "replace one value of the job file; may be given often, later ones win"},
    {0, NULL, NULL, NULL},
};

static enum status read_stdin(struct buf *text, struct err *err)
{
    char chunk[65536];
    ssize_t n;
    while ((n = read(STDIN_FILENO, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "cannot read standard input");
        buf_add(text, chunk, (size_t)n);
        if (!buf_ok(text))
            return err_set(err, ST_LIMIT, "standard input is larger than %u bytes", READ_MAX);
    }
    return ST_OK;
}

static enum status read_file(struct job_input *in, const char *path, struct err *err)
{
    bool standard = !strcmp(path, "-");
    struct stat sb;
    in->name = standard ? "stdin" : path;
    if (!standard && stat(path, &sb) == 0 && S_ISDIR(sb.st_mode))
        return err_set(err, ST_INVALID, "%s is a folder; a job file is expected", path);
    TRY(standard ? read_stdin(&in->text, err) : file_read(&in->text, path, err));
    char *dir = standard ? strdup(".") : path_dir(path);
    in->folder = dir ? realpath(dir, NULL) : NULL;
    free(dir);
    return in->folder ? ST_OK : err_errno(err, "cannot resolve the folder of %s", in->name);
}

static enum status read_overrides(struct job_input *in, const struct args *args, struct err *err)
{
    for (int i = 0; i < args->noptions; i++) {
        if (strcmp(args->option[i].name, "set") != 0)
            continue;
        const char *pair = args->option[i].value, *equals = strchr(pair, '=');
        if (!equals || equals == pair)
            return err_set(err, ST_INVALID, "--set expects KEY=VALUE, got '%.80s'", pair);
        char *key = strndup(pair, (size_t)(equals - pair));
        if (!key)
            return err_set(err, ST_NOMEM, "out of memory for --set");
        in->over[in->n_over++] = (struct jobfile_override){key, equals + 1};
    }
    return ST_OK;
}

enum status job_input_load(struct job_input *in, const struct args *args, bool check_paths,
                           struct err *err)
{
    *in = (struct job_input){0};
    buf_init(&in->text, READ_MAX);
    TRY(read_file(in, args->positional[0], err));
    TRY(read_overrides(in, args, err));
    const struct jobfile_source source = {.text = buf_str(&in->text),
                                          .len = in->text.len,
                                          .folder = in->folder,
                                          .over = in->over,
                                          .n_over = in->n_over,
                                          .check_paths = check_paths};
    return jobfile_parse(&in->job, &source, &in->findings, err);
}

void job_input_fini(struct job_input *in)
{
    for (int i = 0; i < in->n_over; i++)
        free((char *)in->over[i].key);
    jobfile_destroy(in->job);
    findings_fini(&in->findings);
    buf_fini(&in->text);
    free(in->folder);
}

void job_input_print_findings(struct cli *cli, const struct job_input *in)
{
    struct buf out;
    buf_init(&out, 4 << 20);
    findings_text(&out, &cli->err, in->name, buf_str(&in->text), in->text.len, &in->findings);
    if (in->findings.errors > 1)
        buf_printf(&out, "%d errors in %s\n", in->findings.errors, in->name);
    term_write(&cli->err, buf_str(&out), out.len, NULL);
    buf_fini(&out);
}

struct json_object *findings_json(const struct findings *findings)
{
    struct json_object *list = json_object_new_array();
    for (int i = 0; i < findings->n; i++) {
        const struct finding *f = &findings->list[i];
        struct json_object *one = json_object_new_object();
        json_object_object_add(one, "severity",
                               json_object_new_string(f->warning ? "WARNING" : "ERROR"));
        json_object_object_add(one, "line", json_object_new_int(f->line));
        json_object_object_add(one, "column", json_object_new_int(f->column));
        json_object_object_add(one, "key", json_object_new_string(f->key));
        json_object_object_add(one, "text", json_object_new_string(f->text));
        json_object_array_add(list, one);
    }
    return list;
}
