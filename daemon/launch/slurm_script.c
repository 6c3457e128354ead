/* slurm_script.c - see slurm_script.h. */
#include "launch/slurm_script.h"

#include "base/json.h"
#include "jobfile/slurm_words.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the request ----------------------------------------------------------------------------- */

/* Members that are words: key in JSON, option of sbatch, place. */
#define WORD(member, option)                                                                       \
    {                                                                                              \
#member, option, offsetof(struct slurm_request, member),                                   \
            sizeof(((struct slurm_request *)0)->member)                                            \
    }
static const struct {
    const char *key, *option;
    size_t at, size;
} texts[] = {
    WORD(account, "account"),         WORD(partition, "partition"), WORD(qos, "qos"),
    WORD(constraint, "constraint"),   WORD(gres, "gres"),           WORD(exclude, NULL),
    WORD(reservation, "reservation"), WORD(options, NULL),
};
#define TEXTS (sizeof texts / sizeof *texts)

static char *text_at(struct slurm_request *r, size_t i)
{
    return (char *)r + texts[i].at;
}

static const char *text_of(const struct slurm_request *r, size_t i)
{
    return (const char *)r + texts[i].at;
}

/* The options as the user wrote them, with one blank between two. */
static void squeeze(char *out, size_t size, const char *from)
{
    size_t n = 0;
    while (*from) {
        size_t len = strcspn(from, " ");
        if (len > 0 && n + len + 2 < size) {
            if (n > 0)
                out[n++] = ' ';
            memcpy(out + n, from, len);
            n += len;
        }
        from += len + (from[len] == ' ');
    }
    out[n] = '\0';
}

void slurm_request_of(struct slurm_request *ret_request, const struct jobfile *job)
{
    const char *words[TEXTS] = {job->slurm_account,    job->slurm_partition, job->slurm_qos,
                                job->slurm_constraint, job->slurm_gres,      job->slurm_exclude,
                                job->slurm_reservation};
    *ret_request = (struct slurm_request){.ranks = (int)job->resources_ranks,
                                          .threads = (int)job->resources_threads,
                                          .gpus_per_rank = (int)job->resources_gpus,
                                          .memory_mib = job->resources_memory_mib,
                                          .nodes = (int)job->slurm_nodes,
                                          .ranks_a_node = (int)job->slurm_ranks_per_node,
                                          .time_minutes = job->slurm_time_minutes,
                                          .warn_seconds = job->slurm_warn_seconds,
                                          .priority = (int)job->resources_priority};
    for (size_t i = 0; i + 1 < TEXTS; i++)
        snprintf(text_at(ret_request, i), texts[i].size, "%s", words[i]);
    squeeze(ret_request->options, sizeof ret_request->options, job->slurm_options);
}

#define NUMBERS(X)                                                                                 \
    X(ranks)                                                                                       \
    X(threads)                                                                                     \
    X(gpus_per_rank)                                                                               \
    X(memory_mib) X(nodes) X(ranks_a_node) X(time_minutes) X(warn_seconds) X(priority)

enum status slurm_request_print(const struct slurm_request *r, struct buf *out, struct err *err)
{
    struct json_object *obj = json_object_new_object();
#define ADD(member) json_object_object_add(obj, #member, json_object_new_int64(r->member));
    NUMBERS(ADD)
#undef ADD
    for (size_t i = 0; i < TEXTS; i++)
        if (text_of(r, i)[0])
            json_object_object_add(obj, texts[i].key, json_object_new_string(text_of(r, i)));
    buf_puts(out, json_object_to_json_string_ext(obj, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(obj);
    return buf_ok(out) ? ST_OK : err_set(err, ST_NOMEM, "out of memory for a request to Slurm");
}

static enum status check(const struct slurm_request *r, struct err *err)
{
    for (size_t i = 0; i + 1 < TEXTS; i++)
        if (!slurm_word_ok(text_of(r, i)))
            return err_set(err, ST_INVALID, "slurm.%s: '%.100s' cannot be passed to Slurm",
                           texts[i].key, text_of(r, i));
    char why[160];
    if (!slurm_options_ok(r->options, why, sizeof why))
        return err_set(err, ST_INVALID, "slurm.options: %s", why);
    if (r->ranks < 1 || r->threads < 1)
        return err_set(err, ST_CORRUPT, "a request to Slurm asks for %d ranks x %d threads",
                       r->ranks, r->threads);
    return ST_OK;
}

enum status slurm_request_read(struct slurm_request *ret_request, const char *json, size_t len,
                               struct err *err)
{
    struct json_object *obj = NULL;
    struct slurm_request r = {0};
    TRY(json_parse(&obj, json, len, "the request to Slurm", err));
#define GET(member) r.member = (__typeof__(r.member))json_get_int(obj, #member, 0);
    NUMBERS(GET)
#undef GET
    for (size_t i = 0; i < TEXTS; i++)
        snprintf(text_at(&r, i), texts[i].size, "%s", json_get_str(obj, texts[i].key, ""));
    json_object_put(obj);
    TRY(check(&r, err));
    *ret_request = r;
    return ST_OK;
}

/* ---- the script ------------------------------------------------------------------------------ */

/* sbatch knows %x and \ in file names, the shell knows quotes: a path with one of them is not written at all. */
static enum status check_path(const char *what, const char *path, struct err *err)
{
    if (path[0] != '/' || path[strcspn(path, "'\"\\%\n\r")] != '\0')
        return err_set(
            err, ST_INVALID,
            "%s '%.200s' cannot stand in a batch script: it must be absolute, without quotes, %%, "
            "backslash and line breaks",
            what, path);
    return ST_OK;
}

static void add_shape(const struct slurm_request *r, struct buf *out)
{
    buf_printf(out, "#SBATCH --ntasks=%d\n#SBATCH --cpus-per-task=%d\n", r->ranks, r->threads);
    if (r->nodes)
        buf_printf(out, "#SBATCH --nodes=%d\n", r->nodes);
    if (r->ranks_a_node)
        buf_printf(out, "#SBATCH --ntasks-per-node=%d\n", r->ranks_a_node);
    if (r->memory_mib)
        buf_printf(out, "#SBATCH --mem-per-cpu=%lldM\n",
                   (long long)((r->memory_mib + r->threads - 1) / r->threads));
    if (r->gpus_per_rank && !r->gres[0])
        buf_printf(out, "#SBATCH --gpus-per-task=%d\n", r->gpus_per_rank);
    if (r->time_minutes)
        buf_printf(out, "#SBATCH --time=%lld\n", (long long)r->time_minutes);
}

static void add_exclude(const struct slurm_script *s, struct buf *out)
{
    const char *user = s->request->exclude, *ours = s->keep_off;
    if (user[0] || ours[0])
        buf_printf(out, "#SBATCH --exclude=%s%s%s\n", user, user[0] && ours[0] ? "," : "", ours);
}

static void add_texts(const struct slurm_request *r, struct buf *out)
{
    for (size_t i = 0; i < TEXTS; i++)
        if (texts[i].option && text_of(r, i)[0])
            buf_printf(out, "#SBATCH --%s=%s\n", texts[i].option, text_of(r, i));
    for (const char *at = r->options; *at;) {
        size_t len = strcspn(at, " ");
        buf_printf(out, "#SBATCH %.*s\n", (int)len, at);
        at += len + (at[len] == ' ');
    }
}

/* What the daemon relies on. No --requeue: only the daemon starts an attempt. */
static void add_managed(const struct slurm_script *s, struct buf *out)
{
    buf_printf(out, "#SBATCH --job-name=%s\n#SBATCH --comment=\"%s\"\n", s->name, s->comment);
    buf_printf(out, "#SBATCH --chdir=\"%s\"\n", s->job_dir);
    buf_printf(out, "#SBATCH --output=\"%s/log.txt\"\n#SBATCH --open-mode=append\n", s->job_dir);
    buf_puts(out, "#SBATCH --input=/dev/null\n#SBATCH --no-requeue\n#SBATCH --export=ALL\n");
    buf_printf(out, "#SBATCH --signal=B:USR2@%lld\n", (long long)s->request->warn_seconds);
    buf_printf(out, "#SBATCH --nice=%d\n", (100 - s->request->priority) * s->nice_step);
    if (s->after)
        buf_printf(out, "#SBATCH --dependency=afterany:%lld\n", (long long)s->after);
}

enum status slurm_script_render(const struct slurm_script *s, struct buf *out, struct err *err)
{
    TRY(check(s->request, err));
    TRY(check_path("the job's folder", s->job_dir, err));
    TRY(check_path("the attempt's folder", s->attempt_dir, err));
    TRY(check_path("the launcher", s->launcher, err));
    if (!slurm_word_ok(s->keep_off))
        return err_set(err, ST_CORRUPT, "'%.100s' are no names of nodes", s->keep_off);
    buf_puts(
        out,
        "#!/bin/sh\n"
        "# Written by espalierd, which reads nothing back from here. What runs: command.json.\n");
    add_managed(s, out);
    add_shape(s->request, out);
    add_texts(s->request, out);
    add_exclude(s, out);
    /* The shell gives way to the launcher: it is the process that Slurm's signals reach. */
    buf_printf(out, "exec '%s' --in-slurm '%s'\n", s->launcher, s->attempt_dir);
    return buf_ok(out) ? ST_OK : err_set(err, ST_NOMEM, "out of memory for a batch script");
}

/* ---- the command ----------------------------------------------------------------------------- */

void slurm_command_make(struct slurm_command *ret_command, const struct slurm_request *r,
                        const struct slurm_start *start, const char *job_dir)
{
    struct slurm_command *c = ret_command;
    size_t n = 0, e = 0;
    *c = (struct slurm_command){0};
    snprintf(c->ranks, sizeof c->ranks, "%d", r->ranks);
    snprintf(c->omp, sizeof c->omp, "OMP_NUM_THREADS=%d", r->threads);
    snprintf(c->blas, sizeof c->blas, "OPENBLAS_NUM_THREADS=%d", r->threads);
    if (start->mpi) {
        /* Without --kill-on-bad-exit srun waits for ever for ranks that wait for a dead one, and without --wait for those of a
         * node whose slurmstepd was killed; healthy ranks leave MPI together. From version 22.05 on it no longer takes
         * --cpus-per-task from the allocation. */
        snprintf(c->mpi, sizeof c->mpi, "--mpi=%s", start->mpi);
        snprintf(c->cpus, sizeof c->cpus, "--cpus-per-task=%d", r->threads);
        const char *srun[] = {start->srun, c->mpi,        "--ntasks",
                              c->ranks,    c->cpus,       "--kill-on-bad-exit=1",
                              "--wait=60", "--export=ALL"};
        for (size_t i = 0; i < sizeof srun / sizeof *srun; i++)
            c->argv[n++] = srun[i];
    } else {
        const char *mpirun[] = {start->mpirun, "-n", c->ranks, "--bind-to", "none"};
        for (size_t i = 0; i < sizeof mpirun / sizeof *mpirun; i++)
            c->argv[n++] = mpirun[i];
    }
    const char *worker[] = {start->worker, "run", "--job-dir", job_dir};
    for (size_t i = 0; i < sizeof worker / sizeof *worker; i++)
        c->argv[n++] = worker[i];
    c->env[e++] = c->omp;
    c->env[e++] = c->blas;
    if (geteuid() == 0) {
        c->env[e++] = "OMPI_ALLOW_RUN_AS_ROOT=1";
        c->env[e++] = "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
    }
}
