/* ask_cluster.c - see ask_cluster.h. */
#include "service/ask_cluster.h"

#include "daemon.h"
#include "doctor/doctor.h"
#include "launch/command.h"
#include "launch/slurm_parse.h"
#include "launch/slurm_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS 1500
#define SCRIPT_MAX (64u << 10)

static enum status write_script(const struct daemon *d, const struct jobfile *job, char *path,
                                struct err *err)
{
    struct slurm_request request;
    struct buf script;
    slurm_request_of(&request, job);
    buf_init(&script, SCRIPT_MAX);
    struct slurm_script s = {.request = &request,
                             .name = "espalier-plan",
                             .comment = "a question of espalier",
                             .job_dir = d->options.home,
                             .attempt_dir = d->options.home,
                             .launcher = d->options.launcher_path,
                             .keep_off = "",
                             .nice_step = (int)d->options.config.slurm_nice_step};
    enum status st = slurm_script_render(&s, &script, err);
    int fd = st == ST_OK ? mkstemp(path) : -1;
    if (st == ST_OK && (fd < 0 || write(fd, buf_str(&script), script.len) != (ssize_t)script.len))
        st = err_errno(err, "cannot write %s", path);
    if (fd >= 0)
        close(fd);
    buf_fini(&script);
    return st;
}

/* Behind jobs without a time limit Slurm sees no end of the queue, and names a day thousands of years away. */
static bool is_no_date(const char *words)
{
    static const char start[] = "to start at ";
    const char *at = strstr(words, start);
    return at && strtol(at + strlen(start), NULL, 10) >= 2200;
}

static void take_words(const struct buf *said, char *out, size_t size)
{
    char words[200];
    slurm_trouble_text(buf_str(said), words, sizeof words);
    snprintf(out, size, "%s%s", words[0] ? words : "nothing",
             is_no_date(words) ? " (no real date: jobs before it have no time limit)" : "");
}

extern char **environ;

void ask_cluster(const struct daemon *d, const struct jobfile *job, char *out, size_t size)
{
    const char *bin = d->options.config.slurm_bin;
    char sbatch[1200], path[1100];
    struct buf said;
    struct err err;
    int code = 0;
    snprintf(sbatch, sizeof sbatch, "%s%ssbatch", bin, *bin ? "/" : "");
    snprintf(path, sizeof path, "%s/plan-XXXXXX", d->options.home);
    const char *argv[] = {sbatch, "--test-only", path, NULL};
    char **environment = environment_for_slurm(environ);
    buf_init(&said, SCRIPT_MAX);
    enum status st =
        environment ? write_script(d, job, path, &err) : err_set(&err, ST_NOMEM, "out of memory");
    if (st == ST_OK) {
        st = capture_until(argv, environment, ASK_MS, -1, &said, &code, &err);
        unlink(path);
    }
    if (st == ST_OK)
        take_words(&said, out, size);
    else
        snprintf(out, size, "unknown: %s", err.text);
    buf_fini(&said);
    environment_free(environment);
}
