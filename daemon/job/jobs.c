/* jobs.c - see jobs.h. */
#include "job/jobs.h"

#include <stdlib.h>

enum status jobs_create(struct jobs **ret_jobs, struct err *err)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs)
        return err_set(err, ST_NOMEM, "out of memory for the jobs");
    *ret_jobs = jobs;
    return ST_OK;
}

static void active_destroy(struct active *a)
{
    placement_destroy(a->placement);
    free(a);
}

static void jobs_clear(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->n; i++)
        active_destroy(jobs->list[i]);
    jobs->n = 0;
}

void jobs_destroy(struct jobs *jobs)
{
    if (!jobs)
        return;
    jobs_clear(jobs);
    free(jobs->list);
    free(jobs);
}

static bool grow(struct jobs *jobs)
{
    if (jobs->n < jobs->size)
        return true;
    size_t size = jobs->size ? 2 * jobs->size : 64;
    struct active **list = reallocarray(jobs->list, size, sizeof(struct active *));
    if (!list)
        return false;
    jobs->list = list;
    jobs->size = size;
    return true;
}

enum status jobs_add(struct jobs *jobs, const struct job *job, struct err *err)
{
    struct active *a = grow(jobs) ? calloc(1, sizeof *a) : NULL;
    if (!a)
        return err_set(err, ST_NOMEM, "out of memory for job %lld", (long long)job->id);
    a->job = *job;
    a->changed = true;
    /* Nearly always the newest; one that is retried goes back to its place. */
    size_t at = jobs->n++;
    for (; at > 0 && jobs->list[at - 1]->job.id > job->id; at--)
        jobs->list[at] = jobs->list[at - 1];
    jobs->list[at] = a;
    return ST_OK;
}

struct reload {
    struct jobs *jobs;
    enum status st;
    struct err *err;
};

static bool reload_one(const struct job *job, void *user)
{
    struct reload *r = user;
    r->st = jobs_add(r->jobs, job, r->err);
    return r->st == ST_OK;
}

/* A placement that cannot be read counts as unknown: the job itself goes on. */
static enum status reload_placement(struct active *a, struct store *store,
                                    const struct nodes *nodes, struct err *err)
{
    struct buf text;
    if (a->job.attempt.number == 0)
        return ST_OK;
    buf_init(&text, STORE_PLACEMENT_MAX);
    enum status st = store_placement_load(store, a->job.id, a->job.attempt.number, &text, err);
    if (st == ST_OK && placement_parse(&a->placement, buf_str(&text), nodes, err) == ST_NOMEM)
        st = ST_NOMEM;
    buf_fini(&text);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum status jobs_reload(struct jobs *jobs, struct store *store, const struct nodes *nodes,
                        struct err *err)
{
    struct reload r = {jobs, ST_OK, err};
    jobs_clear(jobs);
    enum status st = store_jobs_active(store, reload_one, &r, err);
    if (st == ST_OK)
        st = r.st;
    for (size_t i = 0; st == ST_OK && i < jobs->n; i++)
        st = reload_placement(jobs->list[i], store, nodes, err);
    if (st != ST_OK)
        jobs_clear(jobs);
    return st;
}

struct active *jobs_find(const struct jobs *jobs, int64_t id)
{
    size_t lo = 0, hi = jobs->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int64_t at = jobs->list[mid]->job.id;
        if (at == id)
            return jobs->list[mid];
        if (at < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

void jobs_drop_over(struct jobs *jobs)
{
    size_t kept = 0;
    for (size_t i = 0; i < jobs->n; i++) {
        if (job_state_is_over(jobs->list[i]->job.state))
            active_destroy(jobs->list[i]);
        else
            jobs->list[kept++] = jobs->list[i];
    }
    jobs->n = kept;
}

struct jobs_load jobs_load(const struct jobs *jobs, const struct resources *node)
{
    struct jobs_load load = {.free = *node};
    for (size_t i = 0; i < jobs->n; i++) {
        const struct job *job = &jobs->list[i]->job;
        if (job_state_holds(job->state)) {
            load.running++;
            if (!job->in_slurm)
                resources_take(&load.free, &job->need);
        } else if (job_state_is_waiting(job->state)) {
            load.waiting++;
        }
    }
    return load;
}
