/* placing.c - see placing.h. */
#include "job/placing.h"

#include "daemon.h"
#include "job/change.h"
#include "job/folder.h"
#include "launch/record.h"

#include <stdlib.h>
#include <string.h>

struct queue_job queue_job_of(const struct job *job)
{
    int64_t ranks = job->ranks > 0 ? job->ranks : 1;
    struct resources each = {job->threads, job->gpus_per_rank, job->need.memory_bytes / ranks};
    return (struct queue_job){job->id, job->priority, {(int)ranks, each, PLACE_ANYWHERE}};
}

/* A job whose placement is not known was started by an older daemon, which had one node. */
static void take_job(struct rooms *rooms, const struct active *a)
{
    const struct queue_job q = queue_job_of(&a->job);
    if (a->placement)
        rooms_take(rooms, a->placement, q.gang.each.memory_bytes);
    else
        resources_take(&rooms->free[0], &a->job.need);
}

struct rooms *rooms_now(const struct daemon *d)
{
    struct rooms *rooms = rooms_create(&d->nodes);
    int64_t left = rooms ? d->jobs->running : 0; /* a long queue is not walked to its end */
    for (size_t i = 0; left > 0 && i < d->jobs->n; i++) {
        const struct active *a = d->jobs->list[i];
        if (!job_state_holds(a->job.state))
            continue;
        left--;
        if (!a->job.in_slurm)
            take_job(rooms, a);
    }
    return rooms;
}

/* Slurm has room of its own, and a queue. False: the group has failed. */
static bool start_in_slurm(struct daemon *d)
{
    struct change change = {.actor = "daemon"};
    for (size_t i = 0; i < d->jobs->n; i++) {
        struct active *a = d->jobs->list[i];
        if (a->job.in_slurm && job_state_is_waiting(a->job.state) &&
            a->job.not_before_ms <= daemon_now_ms(d) &&
            job_apply(d, a, ON_PLACE, &change, NULL) != ST_OK)
            return false;
    }
    return true;
}

/* The node of an attempt that ended for a reason of which another node may be free: the one that its exit record
 * names, or the only one it had. */
static int find_avoided(const struct daemon *d, const struct active *a)
{
    const struct placement *p = a->placement;
    struct exit_record end;
    char dir[FOLDER_PATH_MAX];
    if (!p || job_reason_retry(a->job.attempt.reason) != RETRY_ELSEWHERE)
        return PLACE_ANYWHERE;
    folder_attempt_path(d, &a->job, dir);
    if (record_read_exit(dir, &end, NULL) == ST_OK && end.lost[0])
        return nodes_find(&d->nodes, end.lost);
    for (int r = 1; r < p->ranks; r++)
        if (p->node[r] != p->node[0])
            return PLACE_ANYWHERE;
    return p->node[0];
}

/* Asked of every waiting job at every look at the queue, so its files are read once an attempt. */
static int node_to_avoid(const struct daemon *d, struct active *a)
{
    if (a->avoid.attempt != a->job.attempt.number) {
        a->avoid.attempt = a->job.attempt.number;
        a->avoid.node = find_avoided(d, a);
    }
    return a->avoid.attempt ? a->avoid.node : PLACE_ANYWHERE;
}

/* Those that may start now. One that waits after a bad end is looked at again when its time has come. */
static size_t collect_waiting(struct daemon *d, struct queue_job *to)
{
    size_t n = 0;
    int64_t now = daemon_now_ms(d);
    d->next_start_ms = 0;
    for (size_t i = 0; i < d->jobs->n; i++) {
        const struct job *job = &d->jobs->list[i]->job;
        if (!job_state_is_waiting(job->state))
            continue;
        if (job->not_before_ms > now &&
            (d->next_start_ms == 0 || job->not_before_ms < d->next_start_ms))
            d->next_start_ms = job->not_before_ms;
        if (job->not_before_ms > now || job->in_slurm)
            continue;
        to[n] = queue_job_of(job);
        to[n++].gang.avoid = node_to_avoid(d, d->jobs->list[i]);
    }
    return n;
}

/* ---- starting one ---------------------------------------------------------------------------- */

struct starting {
    struct daemon *d;
    struct rooms *rooms;
};

static enum status keep_placement(struct daemon *d, struct active *a, struct err *err)
{
    char *json = placement_print(a->placement, &d->nodes);
    enum status st =
        json ? store_placement_set(d->store, a->job.id, a->job.attempt.number, json, err)
             : err_set(err, ST_NOMEM, "out of memory for a placement");
    free(json);
    return st;
}

static bool start_job(const struct queue_job *q, const int *on, void *user)
{
    struct starting *s = user;
    struct active *a = jobs_find(s->d->jobs, q->id);
    struct err err;
    struct change change = {.actor = "daemon"};
    struct placement *p = rooms_place(s->rooms, &q->gang, on);
    if (!p) {
        err_set(&err, ST_NOMEM, "out of memory for the placement of job %lld", (long long)q->id);
        group_fail(s->d, &err);
        return false;
    }
    placement_destroy(a->placement);
    a->placement = p;
    if (job_apply(s->d, a, ON_PLACE, &change, &err) != ST_OK)
        return false;
    if (keep_placement(s->d, a, &err) != ST_OK)
        group_fail(s->d, &err);
    return s->d->group_err.code == ST_OK;
}

/* Every rank needs a core; and Slurm has cores of its own. Asked of each node: what is held on one that is no longer
 * configured, or that was made smaller, takes nothing from the others. */
static bool any_may_start(const struct daemon *d, const struct rooms *rooms)
{
    bool may = d->jobs->waiting_in_slurm > 0;
    for (int i = 0; i < d->nodes.n && !may; i++)
        may = !d->nodes.list[i].drained && rooms->free[i].cores > 0;
    return may;
}

static void start_waiting(struct daemon *d, struct rooms *rooms)
{
    struct queue_job *waiting = calloc((size_t)d->jobs->waiting, sizeof *waiting);
    struct resources *room = calloc((size_t)d->nodes.n, sizeof *room);
    struct starting s = {d, rooms};
    if (waiting && room) {
        memcpy(room, rooms->free, (size_t)d->nodes.n * sizeof *room);
        d->queue_dirty = false;
        if (start_in_slurm(d))
            queue_pick(waiting, collect_waiting(d, waiting), &d->nodes, room, start_job, &s);
    }
    free(room);
    free(waiting);
}

void queue_run(struct daemon *d)
{
    bool waits = d->jobs->waiting > 0;
    struct rooms *rooms = waits ? rooms_now(d) : NULL;
    if (!waits || (rooms && !any_may_start(d, rooms))) {
        d->queue_dirty = false; /* until something ends, or comes */
        d->next_start_ms = 0;
    } else if (rooms) {
        start_waiting(d, rooms);
    }
    rooms_destroy(rooms);
}
