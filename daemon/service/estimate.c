/* estimate.c - see estimate.h. */
#include "service/estimate.h"

#include "daemon.h"

#include <stdio.h>
#include <string.h>

void estimate_shape(const struct jobfile *job, char out[ESTIMATE_SHAPE_MAX])
{
    struct model_shape s;
    jobfile_model_shape(job, &s);
    snprintf(
        out, ESTIMATE_SHAPE_MAX,
        "mdetr i%lld p%lld s%d c%lld h%lld f%lld v%lld t%lld d%lld H%lld F%lld e%lld D%lld "
        "q%lld S%lld L%lld k%lld V%lld batch %lld micro %lld ranks %lld threads %lld gpus %lld",
        (long long)s.image, (long long)s.patch, s.stem, (long long)s.width, (long long)s.heads,
        (long long)s.ffn, (long long)s.vision_layers, (long long)s.text_layers,
        (long long)s.fusion_width, (long long)s.fusion_heads, (long long)s.fusion_ffn,
        (long long)s.encoder_layers, (long long)s.decoder_layers, (long long)s.queries,
        (long long)s.slots, (long long)s.max_tokens, (long long)s.contrast, (long long)s.vocabulary,
        (long long)job->train_batch, (long long)job->train_micro_batch,
        (long long)job->resources_ranks, (long long)job->resources_threads,
        (long long)job->resources_gpus);
}

/* ---- pure ------------------------------------------------------------------------------------- */

/* Between the phases of steps, in the worker's order. A job without a search has no `harden`, and so on: what did not
 * happen before is not counted. */
void estimate_begin(struct estimate *e, const struct jobfile *job)
{
    const struct {
        const char *name;
        int64_t steps;
        bool is;
    } all[] = {{"warmup", job->warmup_steps, job->warmup_steps > 0},
               {"pretrain", job->pretrain_steps, job->pretrain_steps > 0},
               {"task", job->task_steps, job->task_steps > 0},
               {"dense", 0, job->search_steps > 0},
               {"control", job->control_steps, job->control_steps > 0},
               {"search", job->search_steps, job->search_steps > 0},
               {"harden", 0, job->search_steps > 0},
               {"finetune", job->finetune_steps, job->finetune_steps > 0},
               {"evaluate", 0, true},
               {"export", 0, true}};
    *e = (struct estimate){0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].is)
            e->phase[e->n++] = (struct estimate_phase){.name = all[i].name, .steps = all[i].steps};
}

void estimate_add(struct estimate *e, int64_t job_id, const char *phase, int64_t steps,
                  double seconds)
{
    if (!(seconds >= 0))
        return;
    e->jobs += job_id != e->last_job;
    e->last_job = job_id;
    for (int i = 0; i < e->n; i++)
        if (strcmp(e->phase[i].name, phase) == 0 && (e->phase[i].steps > 0) == (steps > 0)) {
            e->phase[i].sum += seconds;
            e->phase[i].over += steps > 0 ? steps : 1;
        }
}

/* A training phase that was never measured is taken to be like the others; without any the whole is unknown. */
void estimate_end(struct estimate *e)
{
    double sum = 0;
    int64_t steps = 0;
    for (int i = 0; i < e->n; i++)
        if (e->phase[i].steps > 0) {
            sum += e->phase[i].sum;
            steps += e->phase[i].over;
        }
    if (steps == 0) {
        e->jobs = 0;
        return;
    }
    for (int i = 0; i < e->n; i++) {
        struct estimate_phase *p = &e->phase[i];
        if (p->steps > 0)
            p->seconds =
                (double)p->steps * (p->over ? p->sum / (double)p->over : sum / (double)steps);
        else if (p->over)
            p->seconds = p->sum / (double)p->over;
        e->seconds += p->seconds;
    }
}

/* ---- with the store --------------------------------------------------------------------------- */

enum status estimate_keep(struct daemon *d, int64_t job_id, const char *shape,
                          const struct jobfile *job, struct err *err)
{
    struct estimate e;
    estimate_begin(&e, job);
    for (int i = 0; i < e.n; i++)
        TRY(store_phase_plan_add(d->store, job_id, e.phase[i].name, shape, e.phase[i].steps, err));
    return ST_OK;
}

static bool add_row(int64_t job_id, const char *phase, int64_t steps, double seconds, void *user)
{
    estimate_add(user, job_id, phase, steps, seconds);
    return true;
}

enum status estimate_load(struct daemon *d, const char *shape, const struct jobfile *job,
                          struct estimate *ret_estimate, struct err *err)
{
    estimate_begin(ret_estimate, job);
    TRY(store_phase_plans(d->store, shape, add_row, ret_estimate, err));
    estimate_end(ret_estimate);
    return ST_OK;
}
