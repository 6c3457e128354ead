/* corpus.c - see corpus.h. */
#include "run/corpus.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define IMAGE_BUDGET ((size_t)1 << 30) /* bytes of decoded pictures a data set and rank */
#define SPLIT_SEED 0x5EED

static enum status open_set(struct corpus *c, enum corpus_set i, const char *path, int side,
                            bool check, struct err *err)
{
    if (!path || !*path)
        return ST_OK;
    const struct dataset_config cfg = {.path = path, .check_images = check};
    TRY(dataset_open(&c->set[i], &cfg, err));
    return image_cache_create(&c->images[i], c->set[i], side, IMAGE_BUDGET, err);
}

static enum status open_all(struct corpus *c, const struct jobfile *job, int side, bool check,
                            struct err *err)
{
    TRY(tokenizer_open_words(&c->tokenizer, job->data_vocabulary, err));
    TRY(open_set(c, CORPUS_PRETRAIN, job->data_pretrain, side, check, err));
    TRY(open_set(c, CORPUS_TASK, job->data_task, side, check, err));
    TRY(open_set(c, CORPUS_EVAL, job->data_eval, side, check, err));
    if (c->set[CORPUS_EVAL])
        TRY(dataset_require_one_box(c->set[CORPUS_EVAL], err));
    const char *const paths[] = {job->data_pretrain, job->data_task, job->data_eval,
                                 job->data_vocabulary};
    return dataset_digest(c->digest, paths, 4, err);
}

enum status corpus_open(struct corpus **ret_c, const struct jobfile *job, int side, bool check,
                        struct err *err)
{
    struct corpus *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(err, ST_NOMEM, "out of memory opening the data sets");
    enum status st = open_all(c, job, side, check, err);
    if (st == ST_OK)
        *ret_c = c;
    else
        corpus_close(c);
    return st;
}

void corpus_close(struct corpus *c)
{
    if (!c)
        return;
    for (int i = 0; i < CORPUS_SETS; i++) {
        image_cache_destroy(c->images[i]);
        dataset_close(c->set[i]);
    }
    tokenizer_destroy(c->tokenizer);
    free(c);
}

static int caption_limit(const struct model_shape *shape)
{
    int64_t most = shape->max_tokens < shape->slots - 1 ? shape->max_tokens : shape->slots - 1;
    return (int)most;
}

static void add_source(struct loader_config *cfg, const struct corpus *c, enum corpus_set i)
{
    cfg->source[cfg->sources++] = (struct loader_source){c->set[i], c->images[i]};
}

/* One thread at least where any is wanted: it sleeps unless a batch is missing. More only on cores that computing leaves. */
static int loader_threads(const struct jobfile *job, const struct comm *comm)
{
    cpu_set_t set;
    int64_t cores = sysconf(_SC_NPROCESSORS_ONLN) / comm->here;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < cores)
        cores = CPU_COUNT(&set);
    int64_t spare = cores - job->resources_threads, most = spare > 1 ? spare : 1;
    return (int)(job->data_threads < most ? job->data_threads : most);
}

static struct loader_config common(const struct corpus *c, const struct jobfile *job,
                                   const struct model_shape *shape, const struct comm *comm)
{
    return (struct loader_config){
        .tokenizer = c->tokenizer,
        .side = (int)shape->image,
        .max_tokens = caption_limit(shape),
        .batch = job->train_batch,
        .micro_batch = job->train_micro_batch,
        .rank = comm->rank,
        .ranks = comm->size,
        .seed = (uint64_t)job->train_seed,
        .holdout = job->data_holdout,
        .split_seed = SPLIT_SEED,
        .threads = loader_threads(job, comm),
        .trace = c->trace,
        .lane = 1,
    };
}

enum status corpus_loader(struct loader **ret_loader, struct corpus *c, const struct jobfile *job,
                          const struct model_shape *shape, struct comm *comm, int data,
                          uint32_t stream, enum loader_part part, struct err *err)
{
    struct loader_config cfg = common(c, job, shape, comm);
    cfg.stream = stream;
    cfg.part = part;
    if (part == LOADER_HOLDOUT)
        cfg.lane += cfg.threads; /* beside the training data's */
    if (data == DATA_PRETRAIN || data == DATA_BOTH)
        add_source(&cfg, c, CORPUS_PRETRAIN);
    if (data == DATA_TASK || data == DATA_BOTH)
        add_source(&cfg, c, CORPUS_TASK);
    for (int i = 0; i < cfg.sources; i++)
        if (!cfg.source[i].set)
            return err_set(err, ST_INVALID,
                           "this phase trains on data.%s, which the job file does not set",
                           data == DATA_TASK || i == 1 ? "task" : "pretrain");
    return loader_create(ret_loader, &cfg, err);
}

enum status corpus_eval_loader(struct loader **ret_loader, struct corpus *c,
                               const struct jobfile *job, const struct model_shape *shape,
                               struct comm *comm, struct err *err)
{
    struct loader_config cfg = common(c, job, shape, comm);
    add_source(&cfg, c, CORPUS_EVAL);
    cfg.sequential = true;
    cfg.batch = job->evaluate_batch * comm->size;
    cfg.micro_batch = 0;
    cfg.limit = job->evaluate_limit;
    return loader_create(ret_loader, &cfg, err);
}
