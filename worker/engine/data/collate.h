/* collate.h - turns records into one padded struct batch. Private to engine/data. */
#ifndef ENGINE_DATA_COLLATE_H
#define ENGINE_DATA_COLLATE_H

#include "engine/data/loader.h"

struct collate;

enum status collate_create(struct collate **ret_collate, const struct tokenizer *tokenizer,
                           int side, struct err *err);
void collate_destroy(struct collate *c); /* NULL allowed */

/* The global batch that this share belongs to. */
struct collate_global {
    int64_t sample0; /* index in it of the share's first sample */
    int64_t samples; /* how many it has */
    int64_t boxes;   /* of all its samples */
    int64_t L;       /* its longest caption, in tokens */
};

/* record[n] index source->set. *ret_batch is borrowed until the next call; its arrays only grow, so
 * a steady step allocates nothing. */
enum status collate_batch(struct collate *c, const struct loader_source *source,
                          const int64_t *record, int64_t n, const struct collate_global *global,
                          const struct batch **ret_batch, struct err *err);

#endif
