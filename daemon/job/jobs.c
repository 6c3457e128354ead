/* jobs.c - see jobs.h. */
#include "job/jobs.h"

#include <stdlib.h>

enum status jobs_create(struct jobs **ret_jobs, struct err *err)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs)
        return err_set(err, ST_NOMEM, "out of memory for the jobs");
    jobs->changed_end = &jobs->changed;
    *ret_jobs = jobs;
    return ST_OK;
}

/* ---- what is counted ------------------------------------------------------------------------ */

static void count(struct jobs *jobs, const struct job *job, int64_t by)
{
    bool waits = job_state_is_waiting(job->state), holds = job_state_holds(job->state);
    jobs->running += holds * by;
    jobs->waiting += waits * by;
    jobs->waiting_in_slurm += (waits && job->in_slurm) * by;
    jobs->over += job_state_is_over(job->state) * by;
    if (!holds || job->in_slurm)
        return;
    jobs->held.cores += by * job->need.cores;
    jobs->held.gpus += by * job->need.gpus;
    jobs->held.memory_bytes += by * job->need.memory_bytes;
}

static void mark_changed(struct jobs *jobs, struct active *a)
{
    if (a->changed)
        return;
    a->changed = true;
    a->next_changed = NULL;
    *jobs->changed_end = a;
    jobs->changed_end = &a->next_changed;
    jobs->n_changed++;
}

void jobs_set(struct jobs *jobs, struct active *a, const struct job *next)
{
    count(jobs, &a->job, -1);
    a->job = *next;
    count(jobs, &a->job, 1);
    mark_changed(jobs, a);
}

struct active *jobs_take_changed(struct jobs *jobs)
{
    struct active *a = jobs->changed;
    if (!a)
        return NULL;
    jobs->changed = a->next_changed;
    if (!jobs->changed)
        jobs->changed_end = &jobs->changed;
    jobs->n_changed--;
    a->changed = false;
    return a;
}

/* ---- the table ------------------------------------------------------------------------------ */

static void active_destroy(struct active *a)
{
    placement_destroy(a->placement);
    free(a);
}

static void jobs_clear(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->n; i++)
        active_destroy(jobs->list[i]);
    *jobs = (struct jobs){.list = jobs->list, .size = jobs->size, .changed_end = &jobs->changed};
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
    count(jobs, job, 1);
    mark_changed(jobs, a);
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

/* Among those whose effects are due there may be some that are over. */
static void forget_changed(struct jobs *jobs)
{
    for (size_t n = jobs->n_changed; n > 0; n--) {
        struct active *a = jobs_take_changed(jobs);
        if (!job_state_is_over(a->job.state))
            mark_changed(jobs, a);
    }
}

void jobs_drop_over(struct jobs *jobs)
{
    size_t kept = 0;
    if (jobs->over == 0)
        return;
    forget_changed(jobs);
    for (size_t i = 0; i < jobs->n; i++) {
        if (job_state_is_over(jobs->list[i]->job.state))
            active_destroy(jobs->list[i]);
        else
            jobs->list[kept++] = jobs->list[i];
    }
    jobs->n = kept;
    jobs->over = 0;
}

struct jobs_load jobs_load(const struct jobs *jobs, const struct resources *node)
{
    struct jobs_load load = {(uint32_t)jobs->running, (uint32_t)jobs->waiting, *node};
    resources_take(&load.free, &jobs->held);
    return load;
}
