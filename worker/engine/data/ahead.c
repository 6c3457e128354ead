/* ahead.c - see ahead.h. Places are numbered in the order of planning and never reused out of order:
 *
 *     released <= taken <= claimed <= planned,   planned - released <= places
 */
#include "engine/data/ahead.h"

#include "engine/core/trace.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct place {
    struct collate *collate;
    struct ahead_plan plan;
    int64_t *record; /* [room], owned; plan.record points here */
    int64_t room;
    bool done;
    const struct batch *batch;
    struct err err;
};

struct thread {
    pthread_t id;
    struct ahead *ahead;
    int lane;
};

struct ahead {
    struct ahead_config cfg;
    struct thread *thread; /* [cfg.threads], owned */
    int started;
    int64_t taken, released; /* the caller's alone */
    pthread_mutex_t lock;    /* of stop, planned, claimed, and of every place's `done` */
    pthread_cond_t planned_more, prepared;
    bool stop;
    int64_t planned, claimed;
    int places;
    struct place place[];
};

static struct place *place_of(struct ahead *a, int64_t i)
{
    return &a->place[i % a->places];
}

/* ---- preparing ------------------------------------------------------------------------------- */

static void prepare(struct ahead *a, struct place *p, int lane)
{
    int64_t begin = trace_begin(a->cfg.trace);
    p->err = (struct err){.code = ST_OK};
    (void)collate_batch(p->collate, p->plan.source, p->record, p->plan.n, &p->plan.global,
                        &p->batch, &p->err);
    if (lane)
        trace_end(a->cfg.trace, TRACE_LOAD, lane, p->plan.step, begin);
}

static void *work(void *arg)
{
    const struct thread *self = arg;
    struct ahead *a = self->ahead;
    /* Being woken must not take the core from the step that wakes; where that cannot be had, it does. */
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &(struct sched_param){0});
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        if (a->claimed == a->planned) {
            pthread_cond_wait(&a->planned_more, &a->lock);
            continue;
        }
        struct place *p = place_of(a, a->claimed++);
        pthread_mutex_unlock(&a->lock);
        prepare(a, p, self->lane);
        pthread_mutex_lock(&a->lock);
        p->done = true;
        pthread_cond_signal(&a->prepared);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* Threads that cannot be started are done without; without any, ahead_take() works. */
static void start_threads(struct ahead *a)
{
    for (; a->started < a->cfg.threads; a->started++) {
        struct thread *t = &a->thread[a->started];
        *t = (struct thread){.ahead = a, .lane = a->cfg.lane + a->started};
        if (pthread_create(&t->id, NULL, work, t) != 0)
            a->cfg.threads = a->started;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a loader");
}

enum status ahead_create(struct ahead **ret_a, const struct ahead_config *cfg, struct err *err)
{
    /* one batch in use; a thread each, and one more so that nobody waits for the step to end */
    int places = cfg->threads ? cfg->threads + 2 : 1;
    struct ahead *a = calloc(1, sizeof *a + (size_t)places * sizeof a->place[0]);
    if (!a)
        return no_memory(err);
    a->cfg = *cfg;
    a->places = places;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->planned_more, NULL);
    pthread_cond_init(&a->prepared, NULL);
    a->thread = calloc((size_t)cfg->threads + 1, sizeof *a->thread);
    enum status st = a->thread ? ST_OK : no_memory(err);
    for (int i = 0; i < places && st == ST_OK; i++)
        st = collate_create(&a->place[i].collate, cfg->tokenizer, cfg->side, err);
    if (st == ST_OK)
        *ret_a = a;
    else
        ahead_destroy(a);
    return st;
}

void ahead_destroy(struct ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->planned_more);
    pthread_mutex_unlock(&a->lock);
    for (int i = 0; i < a->started; i++)
        pthread_join(a->thread[i].id, NULL);
    for (int i = 0; i < a->places; i++) {
        collate_destroy(a->place[i].collate);
        free(a->place[i].record);
    }
    pthread_cond_destroy(&a->prepared);
    pthread_cond_destroy(&a->planned_more);
    pthread_mutex_destroy(&a->lock);
    free(a->thread);
    free(a);
}

/* ---- the caller's side: planned, taken and released change only here ------------------------- */

bool ahead_next_is(const struct ahead *a, int64_t step, int64_t m)
{
    const struct place *p = &a->place[a->taken % a->places];
    return a->taken < a->planned && p->plan.step == step && p->plan.m == m;
}

bool ahead_has_room(const struct ahead *a)
{
    return a->planned - a->released < a->places;
}

enum status ahead_plan(struct ahead *a, const struct ahead_plan *plan, struct err *err)
{
    struct place *p = place_of(a, a->planned);
    if (plan->n > p->room || !p->record) {
        free(p->record);
        p->room = plan->n;
        p->record = calloc((size_t)plan->n + 1, sizeof *p->record);
        if (!p->record)
            return no_memory(err);
    }
    memcpy(p->record, plan->record, (size_t)plan->n * sizeof *p->record);
    p->plan = *plan;
    p->plan.record = p->record;
    p->done = false;
    start_threads(a);
    pthread_mutex_lock(&a->lock);
    a->planned++;
    pthread_cond_signal(&a->planned_more);
    pthread_mutex_unlock(&a->lock);
    return ST_OK;
}

/* Waits for the place to be prepared; prepares it where no thread does. */
static void await(struct ahead *a, struct place *p)
{
    if (!a->started) {
        a->claimed++;
        prepare(a, p, 0);
        p->done = true;
        return;
    }
    pthread_mutex_lock(&a->lock);
    while (!p->done)
        pthread_cond_wait(&a->prepared, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

enum status ahead_take(struct ahead *a, const struct batch **ret_batch, struct err *err)
{
    struct place *p = place_of(a, a->taken);
    await(a, p);
    a->taken++;
    if (p->err.code != ST_OK)
        return err_set(err, p->err.code, "%s", p->err.text);
    *ret_batch = p->batch;
    return ST_OK;
}

void ahead_release(struct ahead *a)
{
    a->released = a->taken;
}

/* What no thread has begun is taken back; what one has begun is waited for. */
void ahead_forget(struct ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->planned = a->claimed;
    while (a->taken < a->claimed)
        if (place_of(a, a->taken)->done)
            a->taken++;
        else
            pthread_cond_wait(&a->prepared, &a->lock);
    pthread_mutex_unlock(&a->lock);
    a->released = a->taken;
}
