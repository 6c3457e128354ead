/* ask_cluster.c - see ask_cluster.h. */
#include "service/ask_cluster.h"

#include "daemon.h"
#include "doctor/doctor.h"
#include "launch/command.h"
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

/* "sbatch: Job 7 to start at ..." without the program's name. */
static void take_words(const struct buf *said, char *out, size_t size)
{
    char words[256];
    first_words(said, words, sizeof words);
    const char *from = words;
    static const char *const heads[] = {"sbatch: ", "error: ", "allocation failure: "};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(from, heads[i], strlen(heads[i])) == 0)
            from += strlen(heads[i]);
    snprintf(out, size, "%s", *from ? from : "nothing");
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
