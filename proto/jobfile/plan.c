/* plan.c - what a job will do, from the file alone: the model's numbers, its counts, memory, notes.
 */
#include "jobfile/parse.h"
#include "jobfile/plan_memory.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define VOCABULARY_SPECIALS 4            /* <none> (pad), bos, eos, unknown: docs/spec/data.md */
#define VOCABULARY_MAX_BYTES (64L << 20) /* more is no word list */

/* docs/spec/model-mdetr.md 7 */
/* clang-format off */
static const struct model_shape sizes[] = {
    [SIZE_TINY] = {.image = 64, .patch = 8, .width = 96, .heads = 4, .ffn = 384,
                   .vision_layers = 4, .text_layers = 4,
                   .fusion_width = 64, .fusion_heads = 4, .fusion_ffn = 256,
                   .encoder_layers = 2, .decoder_layers = 2,
                   .queries = 8, .slots = 48, .max_tokens = 48, .contrast = 64},
    [SIZE_SMALL] = {.image = 224, .patch = 16, .width = 384, .heads = 6, .ffn = 1536,
                    .vision_layers = 12, .text_layers = 6,
                    .fusion_width = 256, .fusion_heads = 8, .fusion_ffn = 1024,
                    .encoder_layers = 3, .decoder_layers = 3,
                    .queries = 16, .slots = 64, .max_tokens = 64, .contrast = 64},
    [SIZE_LARGE] = {.image = 384, .patch = 16, .width = 768, .heads = 12, .ffn = 3072,
                    .vision_layers = 12, .text_layers = 12,
                    .fusion_width = 256, .fusion_heads = 8, .fusion_ffn = 2048,
                    .encoder_layers = 6, .decoder_layers = 6,
                    .queries = 100, .slots = 256, .max_tokens = 255, .contrast = 64},
};

/* Which key sets which number. */
#define NUMBER(name) {KEY_model_##name, offsetof(struct model_shape, name)}
static const struct {
    enum key_id key;
    size_t offset;
} numbers[] = {
    NUMBER(image), NUMBER(patch), NUMBER(width), NUMBER(heads), NUMBER(ffn), NUMBER(vision_layers),
    NUMBER(text_layers), NUMBER(fusion_width), NUMBER(fusion_heads), NUMBER(fusion_ffn),
    NUMBER(encoder_layers), NUMBER(decoder_layers), NUMBER(queries), NUMBER(slots),
    NUMBER(max_tokens), NUMBER(contrast),
};
/* clang-format on */
#define NNUMBERS (sizeof numbers / sizeof *numbers)

static int64_t *number_of(struct model_shape *shape, size_t i)
{
    return (int64_t *)((char *)shape + numbers[i].offset);
}

int64_t effective_int(const struct jobfile *job, int key)
{
    int64_t value = *key_int((struct jobfile *)job, key);
    for (size_t i = 0; i < NNUMBERS && value == 0; i++)
        if ((int)numbers[i].key == key) {
            struct model_shape shape = sizes[job->model_size];
            value = *number_of(&shape, i);
        }
    return value;
}

static int64_t count_lines(const char *path)
{
    int64_t lines = 0;
    bool word = false;
    char chunk[16384];
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            bool end = chunk[i] == '\n';
            lines += end && word;
            word = !end && (word || chunk[i] != '\r');
        }
    close(fd);
    return n < 0 ? 0 : lines + word;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

int64_t vocabulary_lines(const char *path)
{
    /* A sweep's jobs share their word list: it is read once, as long as it is not changed. Within the clock's tick a
     * change may leave no trace, so what has just been changed is read again. */
    static _Thread_local struct stat last;
    static _Thread_local int64_t last_lines;
    struct stat sb;
    /* Looked at before it is opened: a pipe would block the opener. */
    if (!path[0] || stat(path, &sb) < 0 || !S_ISREG(sb.st_mode) ||
        sb.st_size > VOCABULARY_MAX_BYTES)
        return 0;
    if (!last_lines || !same_file(&sb, &last) || time(NULL) - sb.st_ctim.tv_sec < 2) {
        last = sb;
        last_lines = count_lines(path);
    }
    return last_lines;
}

void jobfile_model_shape(const struct jobfile *job, struct model_shape *ret_shape)
{
    *ret_shape = (struct model_shape){.stem = job->model_stem, .dropout = job->model_dropout};
    for (size_t i = 0; i < NNUMBERS; i++)
        *number_of(ret_shape, i) = effective_int(job, numbers[i].key);
    int64_t words = job->vocabulary_words;
    ret_shape->vocabulary = words ? words + VOCABULARY_SPECIALS : 0;
}

void jobfile_frame_options(const struct jobfile *job, struct frame_options *ret_options)
{
    *ret_options = (struct frame_options){.block_size = (int)job->method_block_size,
                                          .cross_msa = job->method_cross_msa,
                                          .cross_ffn = job->method_cross_ffn,
                                          .block_msa = job->method_block_msa,
                                          .block_ffn = job->method_block_ffn,
                                          .prune = job->method_prune,
                                          .share = job->method_share};
}

enum status plan_frame(const struct jobfile *job, struct model_shape *ret_shape,
                       struct frame **ret_frame, struct err *err)
{
    struct frame_options options;
    jobfile_model_shape(job, ret_shape);
    jobfile_frame_options(job, &options);
    if (ret_shape->vocabulary == 0)
        ret_shape->vocabulary = VOCABULARY_SPECIALS;
    return model_shape_frame(ret_shape, &options, ret_frame, err);
}

/* ---- plan ------------------------------------------------------------------------------------ */

#define PROGRAM_BYTES ((int64_t)80 << 20) /* code, libraries, what is not counted below */

static bool uses_dense(const struct jobfile *job)
{
    return job->pretrain_dense > 0 || job->task_dense > 0 || job->control_dense > 0 ||
           job->search_dense > 0 || job->finetune_dense > 0;
}

static int64_t step_estimate(const struct jobfile *job, const struct model_shape *s)
{
    int64_t micro =
        job->train_micro_batch ? job->train_micro_batch : job->train_batch / job->resources_ranks;
    return plan_step_bytes(s, micro, uses_dense(job), job->train_recompute == RECOMPUTE_BLOCK);
}

/* Weights, gradients, EMA (with train.ema 0 it is there too, and equal to the weights), two moments or a part of them; a search
 * also holds mixed matrices and their gradients. */
static int64_t memory_estimate(const struct jobfile *job, const struct model_count *count,
                               int64_t step_bytes)
{
    int64_t holders = job->train_shard_optimizer ? job->resources_ranks : 1;
    int64_t floats = 3 * count->whole + 2 * ((count->whole + holders - 1) / holders);
    if (job->search_steps > 0)
        floats += 2 * count->backbone_matrices;
    return PROGRAM_BYTES + 4 * floats + step_bytes;
}

static void note(struct job_plan *plan, const char *fmt, ...) BASE_PRINTF(2, 3);
static void note(struct job_plan *plan, const char *fmt, ...)
{
    const int max = sizeof plan->notes / sizeof *plan->notes;
    if (plan->n_notes == max)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(plan->notes[plan->n_notes++], sizeof *plan->notes, fmt, ap);
    va_end(ap);
}

static void note_batch(struct job_plan *plan, const struct jobfile *job)
{
    int64_t share = job->train_batch / job->resources_ranks;
    int64_t micro = job->train_micro_batch ? job->train_micro_batch : share;
    if (job->resources_ranks > 1 || micro != share)
        note(plan, "batch %lld = %lld ranks x micro-batch %lld x %lld accumulated",
             (long long)job->train_batch, (long long)job->resources_ranks, (long long)micro,
             (long long)(share / micro));
}

/* Sites that cannot share, by reason: one note a reason, so that 24 layers are not 24 notes. */
static void note_sites(struct job_plan *plan, const struct frame *f)
{
    for (int i = 0; i < f->nsites; i++) {
        const struct site *site = &f->site[i];
        bool seen = site->side != SIDE_TEXT || site->source >= 0 || !site->no_source;
        for (int j = 0; j < i && !seen; j++)
            seen = f->site[j].side == SIDE_TEXT && f->site[j].no_source &&
                   !strcmp(f->site[j].no_source, site->no_source);
        if (seen)
            continue;
        int more = 0;
        for (int j = i + 1; j < f->nsites; j++)
            more += f->site[j].side == SIDE_TEXT && f->site[j].no_source &&
                    !strcmp(f->site[j].no_source, site->no_source);
        if (more)
            note(plan, "%s and %d more cannot share: %s", site->name, more, site->no_source);
        else
            note(plan, "%s cannot share: %s", site->name, site->no_source);
    }
}

static void note_search(struct job_plan *plan, const struct jobfile *job, const struct frame *f)
{
    double part = job->method_freeze_at - job->method_warm;
    if (job->starts_frozen)
        note(plan, "the search starts frozen on the structure that is given: method.target and the "
                   "hypernetwork play no part");
    else
        note(plan,
             "the search takes %lld hypernetwork steps and freezes the structure at step %lld",
             (long long)(part * (double)job->search_steps) / (long long)job->method_every,
             (long long)(job->method_freeze_at * (double)job->search_steps));
    note_sites(plan, f);
    if (job->method_share)
        note(plan, "sharing saves parameters and file size, not multiply-accumulates");
}

enum status jobfile_plan(const struct jobfile *job, struct job_plan *ret_plan, struct err *err)
{
    struct model_shape shape;
    struct frame *frame = NULL;
    TRY(plan_frame(job, &shape, &frame, err));
    struct job_plan plan = {0};
    bool search = job->search_steps > 0;
    model_shape_count(&shape, &plan.dense);
    plan.params_smallest = search ? frame_smallest(frame) : plan.dense.whole;
    plan.params_target = !search ? plan.dense.whole
                         : job->frozen_params
                             ? job->frozen_params
                             : (int64_t)(job->method_target * (double)plan.dense.whole);
    plan.steps = job->warmup_steps + job->pretrain_steps + job->task_steps + job->control_steps +
                 job->search_steps + job->finetune_steps;
    plan.step_bytes = step_estimate(job, &shape);
    plan.memory_bytes = memory_estimate(job, &plan.dense, plan.step_bytes);
    if (shape.vocabulary == VOCABULARY_SPECIALS)
        note(&plan, "the vocabulary could not be read here; its embeddings are not counted");
    note_batch(&plan, job);
    if (job->train_precision == PRECISION_BF16)
        note(&plan, "train.precision bf16: every rank needs a processor with AVX-512 BF16; memory "
                    "is as with f32");
    if (search)
        note_search(&plan, job, frame);
    frame_destroy(frame);
    *ret_plan = plan;
    return ST_OK;
}
