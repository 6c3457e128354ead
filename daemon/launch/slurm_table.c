/* slurm_table.c - the attempts that are tracked: one a job, by the job's number. See slurm.h. */
#include "launch/slurm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MS 600000 /* an attempt nobody polls for is over; what runs for it ends first */

/* Where the job is, or would be. */
static size_t place_of(const struct launch_slurm *s, int64_t job_id)
{
    size_t from = 0, to = s->n;
    while (from < to) {
        size_t mid = (from + to) / 2;
        if (s->list[mid]->job_id < job_id)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

struct tracked *slurm_find_job(const struct launch_slurm *s, int64_t job_id)
{
    size_t i = place_of(s, job_id);
    return i < s->n && s->list[i]->job_id == job_id ? s->list[i] : NULL;
}

struct tracked *slurm_find(const struct launch_slurm *s, int64_t job_id, int attempt)
{
    struct tracked *t = slurm_find_job(s, job_id);
    return t && t->attempt == attempt ? t : NULL;
}

static void destroy(struct launch_slurm *s, struct tracked *t)
{
    if (t->command)
        s->commands--;
    command_destroy(t->command);
    free(t->job_dir);
    free(t->attempt_dir);
    free(t->request);
    free(t);
}

static struct tracked *create(const struct launch_slurm *s, const struct launch_spec *spec)
{
    struct tracked *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    *t = (struct tracked){.job_id = spec->job_id,
                          .attempt = spec->attempt,
                          .priority = spec->priority,
                          .job_dir = strdup(spec->job_dir),
                          .attempt_dir = strdup(spec->attempt_dir),
                          .polled_ms = s->now_ms,
                          .known_ms = s->now_ms};
    if (t->job_dir && t->attempt_dir)
        return t;
    free(t->job_dir);
    free(t->attempt_dir);
    free(t);
    return NULL;
}

static bool grow(struct launch_slurm *s)
{
    if (s->n < s->size)
        return true;
    size_t size = s->size ? 2 * s->size : 64;
    struct tracked **list = reallocarray(s->list, size, sizeof(*list));
    if (!list)
        return false;
    s->list = list;
    s->size = size;
    return true;
}

struct tracked *slurm_add(struct launch_slurm *s, const struct launch_spec *spec)
{
    size_t i = place_of(s, spec->job_id);
    struct tracked *t = grow(s) ? create(s, spec) : NULL;
    if (!t)
        return NULL;
    if (i < s->n && s->list[i]->job_id == spec->job_id) {
        destroy(s, s->list[i]);
    } else {
        memmove(s->list + i + 1, s->list + i, (s->n - i) * sizeof(*s->list));
        s->n++;
    }
    s->list[i] = t;
    return t;
}

void slurm_drop_idle(struct launch_slurm *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct tracked *t = s->list[i];
        if (!t->command && s->now_ms - t->polled_ms > IDLE_MS)
            destroy(s, t);
        else
            s->list[kept++] = t;
    }
    s->n = kept;
}

void slurm_clear(struct launch_slurm *s)
{
    for (size_t i = 0; i < s->n; i++)
        destroy(s, s->list[i]);
    free(s->list);
    s->list = NULL;
    s->n = s->size = 0;
}

void slurm_job_name(const struct launch_slurm *s, int64_t job_id, int attempt,
                    char ret_name[SLURM_NAME_MAX])
{
    snprintf(ret_name, SLURM_NAME_MAX, "espalier-%s-%lld-%d", s->options.daemon_id,
             (long long)job_id, attempt);
}
