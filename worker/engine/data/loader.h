/* loader.h - from data sets to batches; every batch is a pure function of (seed, stream, step).
 *
 * There is no cursor to save: a resumed run asks for the next step and gets what the uninterrupted
 * run would have got. Step t of a training loader is batch t mod E of epoch t div E, where E =
 * records / batch (the incomplete last batch is dropped) and each epoch has its own keyed
 * permutation. With two sets, steps 2k and 2k+1 are step k of either set, in keyed order.
 * Threads prepare the batches that will be asked for next if steps are asked for in order; a call out of order costs their
 * work and changes nothing. What a thread could not read is told by the call that would have got it.
 * Rank r of R takes samples [r G/R, (r+1) G/R) of the global batch of G, micro-batch by
 * micro-batch; the union over ranks is the one-rank batch, in order.
 *
 *     loader_create(&l, &cfg, err);
 *     for (step = first; step < last; step++)
 *         for (m = 0; m < loader_micros(l); m++)
 *             TRY(loader_batch(l, step, m, &batch, err));
 */
#ifndef ENGINE_DATA_LOADER_H
#define ENGINE_DATA_LOADER_H

#include "base/err.h"
#include "engine/data/batch.h"
#include "engine/data/image_cache.h"
#include "engine/data/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOADER_SETS 2

struct trace;

/* Which part of the sets is read. The hold-out belongs to the hypernetwork in a search; it is cut
 * by picture, so that no picture is on both sides, and depends on split_seed alone. */
enum loader_part { LOADER_ALL, LOADER_TRAIN, LOADER_HOLDOUT };

struct loader_source {
    const struct dataset *set;  /* borrowed */
    struct image_cache *images; /* borrowed; made for the same set */
};

struct loader_config {
    struct loader_source source[LOADER_SETS];
    int sources;                       /* 1, or 2 = both in turn */
    const struct tokenizer *tokenizer; /* borrowed */
    int side;            /* pictures are padded to side x side; 0 = to the batch's largest */
    int max_tokens;      /* longest caption, bos and eos included: min(Lmax, S-1) of the model */
    int64_t batch;       /* global batch G */
    int64_t micro_batch; /* samples of a loader_batch() call at most; 0 = the rank's whole share */
    int rank, ranks;
    uint64_t seed;
    uint32_t stream; /* tells phases apart: another stream, another order */
    bool sequential; /* the file's order, once, incomplete last batch kept: for evaluation */
    enum loader_part part;
    double holdout; /* part of the pictures that LOADER_HOLDOUT gets */
    uint64_t split_seed;
    int64_t limit;       /* sequential: records at most; 0 = all */
    int threads;         /* that prepare batches ahead; 0: loader_batch() does it */
    struct trace *trace; /* borrowed; NULL: none */
    int lane;            /* in it, of the first thread */
};

struct loader;

/* Tokenises every caption once: ST_LIMIT names the first record that does not fit max_tokens;
 * ST_INVALID when the part has fewer records than a batch (unless sequential). */
enum status loader_create(struct loader **ret_loader, const struct loader_config *cfg,
                          struct err *err);
void loader_destroy(struct loader *l); /* NULL allowed */

int64_t loader_records(const struct loader *l);     /* of the chosen part, all sources */
int64_t loader_epoch_steps(const struct loader *l); /* steps until every source was seen once */
int64_t loader_micros(const struct loader *l); /* loader_batch() calls a step, equal on all ranks */

/* The m-th micro-batch of this rank in `step`; *ret_batch is borrowed until the next call. B may be
 * 0 (a rank without a share of an incomplete batch). norm_boxes is already that of the global
 * batch: the loader knows every rank's records, so no reduction is needed. batch->record indexes
 * the set of loader_source_of(). */
enum status loader_batch(struct loader *l, int64_t step, int64_t m, const struct batch **ret_batch,
                         struct err *err);
int loader_source_of(const struct loader *l, int64_t step); /* which source a step reads */

#endif
