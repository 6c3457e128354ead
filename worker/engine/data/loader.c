/* loader.c - which record is where: parts, permutations, slices, batches. See loader.h. */
#include "engine/data/loader.h"

#include "base/rng.h"
#include "engine/data/ahead.h"

#include <stdlib.h>
#include <string.h>

struct source {
    struct loader_source in;
    int64_t *member; /* [n] record indices of the chosen part, in the file's order */
    int64_t n;
    int64_t *order;  /* [n] permutation of member in `epoch` */
    int64_t epoch;   /* -1: none yet */
    int16_t *tokens; /* [records of the set] length of each member's caption */
};

struct loader {
    struct loader_config cfg;
    struct source source[LOADER_SETS];
    struct ahead *ahead;
    int64_t next_step, next_m; /* to be planned */
};

/* ---- parts ----------------------------------------------------------------------------------- */

static bool in_part(const struct loader_config *cfg, int32_t image)
{
    if (cfg->part == LOADER_ALL)
        return true;
    struct rng_key key = {.seed = cfg->split_seed, .purpose = RNG_SPLIT};
    bool held_out = rng_uniform(&key, (uint64_t)image) < cfg->holdout;
    return held_out == (cfg->part == LOADER_HOLDOUT);
}

static enum status choose_members(struct source *s, const struct loader_config *cfg,
                                  struct err *err)
{
    int64_t count = dataset_count(s->in.set);
    s->epoch = -1;
    s->member = calloc((size_t)count + 1, sizeof *s->member);
    s->order = calloc((size_t)count + 1, sizeof *s->order);
    s->tokens = calloc((size_t)count + 1, sizeof *s->tokens);
    if (!s->member || !s->order || !s->tokens)
        return err_set(err, ST_NOMEM, "out of memory for the order of %s", dataset_path(s->in.set));
    for (int64_t i = 0; i < count; i++) {
        struct record r;
        dataset_get(s->in.set, i, &r);
        if (in_part(cfg, r.image))
            s->member[s->n++] = i;
    }
    if (cfg->sequential && cfg->limit && s->n > cfg->limit)
        s->n = cfg->limit;
    if (!s->n || (!cfg->sequential && s->n < cfg->batch))
        return err_set(err, ST_INVALID,
                       "%s has %lld records%s, fewer than a batch of %lld; use more data or a "
                       "smaller train.batch",
                       dataset_path(s->in.set), (long long)s->n,
                       cfg->part == LOADER_HOLDOUT ? " in the hold-out" : "",
                       (long long)cfg->batch);
    return ST_OK;
}

static enum status measure_captions(struct source *s, const struct loader_config *cfg,
                                    struct err *err)
{
    for (int64_t k = 0; k < s->n; k++) {
        struct record r;
        struct tokens tokens;
        dataset_get(s->in.set, s->member[k], &r);
        enum status st = tokenizer_encode(cfg->tokenizer, &tokens, r.caption, err);
        if (st == ST_OK && tokens.n > cfg->max_tokens)
            st = err_set(err, ST_LIMIT,
                         "the caption has %d tokens, the model takes %d; shorten it or raise "
                         "model.max_tokens and model.slots",
                         tokens.n, cfg->max_tokens);
        if (st != ST_OK) {
            err_prefix(err, "%s: record %lld", dataset_path(s->in.set), (long long)r.id);
            return st;
        }
        s->tokens[s->member[k]] = (int16_t)tokens.n;
    }
    return ST_OK;
}

/* ---- creation -------------------------------------------------------------------------------- */

static enum status check_config(const struct loader_config *cfg, struct err *err)
{
    if (cfg->sources < 1 || cfg->sources > LOADER_SETS || (cfg->sequential && cfg->sources != 1))
        return err_set(err, ST_INVALID, "a loader reads 1 or 2 sets, one when sequential, got %d",
                       cfg->sources);
    if (cfg->batch < 1 || cfg->ranks < 1 || cfg->rank < 0 || cfg->rank >= cfg->ranks ||
        cfg->micro_batch < 0)
        return err_set(err, ST_INVALID, "batch %lld, micro-batch %lld, rank %d of %d do not fit",
                       (long long)cfg->batch, (long long)cfg->micro_batch, cfg->rank, cfg->ranks);
    if (cfg->max_tokens < 2 || cfg->max_tokens > TOKENS_MAX)
        return err_set(err, ST_INVALID, "captions of %d tokens at most: must be 2 to %d",
                       cfg->max_tokens, TOKENS_MAX);
    if (cfg->part != LOADER_ALL && !(cfg->holdout > 0 && cfg->holdout < 1))
        return err_set(err, ST_INVALID, "hold-out must lie between 0 and 1, got %g", cfg->holdout);
    return ST_OK;
}

static enum status open_sources(struct loader *l, struct err *err)
{
    for (int i = 0; i < l->cfg.sources; i++) {
        l->source[i].in = l->cfg.source[i];
        TRY(choose_members(&l->source[i], &l->cfg, err));
        TRY(measure_captions(&l->source[i], &l->cfg, err));
    }
    const struct ahead_config ahead = {.tokenizer = l->cfg.tokenizer,
                                       .side = l->cfg.side,
                                       .threads = l->cfg.threads,
                                       .lane = l->cfg.lane,
                                       .trace = l->cfg.trace};
    return ahead_create(&l->ahead, &ahead, err);
}

enum status loader_create(struct loader **ret_loader, const struct loader_config *cfg,
                          struct err *err)
{
    TRY(check_config(cfg, err));
    struct loader *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(err, ST_NOMEM, "out of memory for a loader");
    l->cfg = *cfg;
    enum status st = open_sources(l, err);
    if (st == ST_OK)
        *ret_loader = l;
    else
        loader_destroy(l);
    return st;
}

void loader_destroy(struct loader *l)
{
    if (!l)
        return;
    ahead_destroy(l->ahead); /* first: its threads read the rest */
    for (int i = 0; i < LOADER_SETS; i++) {
        free(l->source[i].member);
        free(l->source[i].order);
        free(l->source[i].tokens);
    }
    free(l);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

int64_t loader_records(const struct loader *l)
{
    int64_t n = 0;
    for (int i = 0; i < l->cfg.sources; i++)
        n += l->source[i].n;
    return n;
}

/* Batches of one source an epoch: incomplete ones count only when sequential. */
static int64_t batches(const struct loader *l, const struct source *s)
{
    int64_t G = l->cfg.batch;
    return l->cfg.sequential ? (s->n + G - 1) / G : s->n / G;
}

int64_t loader_epoch_steps(const struct loader *l)
{
    int64_t longest = 0;
    for (int i = 0; i < l->cfg.sources; i++) {
        int64_t n = batches(l, &l->source[i]);
        longest = n > longest ? n : longest;
    }
    return longest * l->cfg.sources;
}

static int64_t slice_begin(int64_t G, int rank, int ranks)
{
    return G * rank / ranks;
}

int64_t loader_micros(const struct loader *l)
{
    if (!l->cfg.micro_batch)
        return 1;
    int64_t largest = 0; /* share of any rank */
    for (int r = 0; r < l->cfg.ranks; r++) {
        int64_t n = slice_begin(l->cfg.batch, r + 1, l->cfg.ranks) -
                    slice_begin(l->cfg.batch, r, l->cfg.ranks);
        largest = n > largest ? n : largest;
    }
    return (largest + l->cfg.micro_batch - 1) / l->cfg.micro_batch;
}

/* ---- order ----------------------------------------------------------------------------------- */

int loader_source_of(const struct loader *l, int64_t step)
{
    if (l->cfg.sources == 1)
        return 0;
    struct rng_key key = {.seed = l->cfg.seed, .purpose = RNG_SHUFFLE, .stream = l->cfg.stream};
    uint32_t first = rng_below(&key, (uint64_t)(step / 2), 2);
    return (int)(first ^ (uint32_t)(step & 1));
}

/* Fisher and Yates, keyed by (seed, epoch, stream): a pure function, whatever was asked before. */
static void shuffle(const struct loader *l, int which, int64_t epoch)
{
    struct source *s = (struct source *)&l->source[which];
    if (s->epoch == epoch)
        return;
    struct rng_key key = {.seed = l->cfg.seed,
                          .step = (uint64_t)epoch + 1,
                          .purpose = RNG_SHUFFLE,
                          .stream = l->cfg.stream << 1 | (uint32_t)which};
    memcpy(s->order, s->member, (size_t)s->n * sizeof *s->order);
    for (int64_t i = s->n - 1; i > 0 && !l->cfg.sequential; i--) {
        int64_t j = rng_below(&key, (uint64_t)i, (uint32_t)(i + 1));
        int64_t swap = s->order[i];
        s->order[i] = s->order[j];
        s->order[j] = swap;
    }
    s->epoch = epoch;
}

/* The records of a step's global batch: *ret_first borrowed, returns how many. */
static int64_t global_batch(struct loader *l, int64_t step, const int64_t **ret_first)
{
    int which = loader_source_of(l, step);
    struct source *s = &l->source[which];
    int64_t own = step / l->cfg.sources, per_epoch = batches(l, s), G = l->cfg.batch;
    shuffle(l, which, own / per_epoch);
    int64_t begin = own % per_epoch * G;
    *ret_first = s->order + begin;
    return begin + G <= s->n ? G : s->n - begin;
}

/* What the ranks must agree on although each sees its own share: padding changes the contrastive loss. */
static struct collate_global measure_global(const struct source *s, const int64_t *record,
                                            int64_t n)
{
    struct collate_global g = {.samples = n, .L = 2};
    for (int64_t i = 0; i < n; i++) {
        struct record r;
        dataset_get(s->in.set, record[i], &r);
        g.boxes += r.boxes;
        g.L = s->tokens[record[i]] > g.L ? s->tokens[record[i]] : g.L;
    }
    return g;
}

/* Plans the batch of next_step and next_m. */
static enum status plan_one(struct loader *l, struct err *err)
{
    const int64_t *record;
    int64_t step = l->next_step, m = l->next_m;
    int64_t G = global_batch(l, step, &record);
    const struct source *s = &l->source[loader_source_of(l, step)];
    int64_t begin = slice_begin(G, l->cfg.rank, l->cfg.ranks);
    int64_t end = slice_begin(G, l->cfg.rank + 1, l->cfg.ranks);
    if (l->cfg.micro_batch) {
        int64_t share_end = end;
        begin += m * l->cfg.micro_batch;
        end = begin + l->cfg.micro_batch;
        end = end > share_end ? share_end : end;
        begin = begin > end ? end : begin;
    }
    struct ahead_plan plan = {
        .source = &s->in, .record = record + begin, .n = end - begin, .step = step, .m = m};
    plan.global = measure_global(s, record, G);
    plan.global.sample0 = begin;
    TRY(ahead_plan(l->ahead, &plan, err));
    l->next_m = (m + 1) % loader_micros(l);
    l->next_step += l->next_m == 0;
    return ST_OK;
}

/* An evaluation ends with its set; training goes on for ever. */
static bool worth_planning(const struct loader *l)
{
    return !l->cfg.sequential || l->next_step < loader_epoch_steps(l);
}

enum status loader_batch(struct loader *l, int64_t step, int64_t m, const struct batch **ret_batch,
                         struct err *err)
{
    ahead_release(l->ahead);
    if (!ahead_next_is(l->ahead, step, m)) {
        ahead_forget(l->ahead);
        l->next_step = step;
        l->next_m = m;
        TRY(plan_one(l, err));
    }
    while (ahead_has_room(l->ahead) && worth_planning(l))
        TRY(plan_one(l, err));
    enum status st = ahead_take(l->ahead, ret_batch, err);
    if (st != ST_OK)
        ahead_forget(l->ahead); /* what was read is read again: it may have been mended */
    return st;
}
