/* corpus.h - the data sets that a job file names, opened once, and the loaders over them. */
#ifndef RUN_CORPUS_H
#define RUN_CORPUS_H

#include "comm/comm.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"
#include "jobfile/jobfile.h"

enum corpus_set { CORPUS_PRETRAIN, CORPUS_TASK, CORPUS_EVAL, CORPUS_SETS };

struct corpus {
    struct tokenizer *tokenizer;
    struct dataset *set[CORPUS_SETS]; /* NULL where the job file names none */
    struct image_cache *images[CORPUS_SETS];
    char digest[HASH_HEX_SIZE];
    struct trace *trace; /* borrowed, of the loaders made from here on; NULL: none */
};

/* max_side: the model's image side. check: whether this process looks for every picture (rank 0).
 */
enum status corpus_open(struct corpus **ret_c, const struct jobfile *job, int side, bool check,
                        struct err *err);
void corpus_close(struct corpus *c);

/* data: enum phase_data. stream: numbers the phases. part: training data, or the search's hold-out.
 */
enum status corpus_loader(struct loader **ret_loader, struct corpus *c, const struct jobfile *job,
                          const struct model_shape *shape, struct comm *comm, int data,
                          uint32_t stream, enum loader_part part, struct err *err);
/* The evaluation set in its own order, shared out over the ranks. */
enum status corpus_eval_loader(struct loader **ret_loader, struct corpus *c,
                               const struct jobfile *job, const struct model_shape *shape,
                               struct comm *comm, struct err *err);

#endif
