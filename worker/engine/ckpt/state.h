/* state.h - a training checkpoint: blocks in the layout of a parameter table, a structure, and a
 * text.
 *
 * docs/spec/checkpoint.md. One safetensors file: tensor "PREFIX/NAME" for every parameter NAME of a
 * block's table, "structure.m" and "structure.s" (U8), and in the metadata "espalier.state" (the
 * recipe's JSON) and "espalier.format" = "state-1". What the recipe's JSON means is the recipe's
 * business (worker/run/checkpoint.c).
 */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H

#include "base/hash.h"
#include "engine/core/param.h"
#include "engine/ckpt/safetensors.h"
#include "structure/structure.h"

struct state_block {
    const char *prefix;    /* "w", "ema", "adam.m" ... */
    struct params *layout; /* names, sizes and offsets */
    real *data;            /* params_size(layout) elements */
    /* NULL, or called before each of its tensors is written. Blocks are written in the order of their prefixes. */
    void (*fill)(void *arg);
    void *arg;
};

/* st may be NULL. Atomic: after a failure the path holds what it held. */
enum status state_write(const char *path, const struct state_block *blocks, int n,
                        const struct structure *st, const char *json,
                        char ret_sha256[HASH_HEX_SIZE], struct err *err);

/* Opening checks the format; the JSON is borrowed from the file. */
enum status state_open(struct safetensors **ret_file, const char **ret_json, const char *path,
                       struct err *err);
/* Every parameter of the table must be there with its size, else ST_INVALID names it: another
 * model's file. */
enum status state_read_block(struct safetensors *f, const struct state_block *block,
                             struct err *err);
/* ST_NOT_FOUND if the file holds no structure; sizes must match the structure's frame. */
enum status state_read_structure(struct safetensors *f, struct structure *st, struct err *err);

#endif
