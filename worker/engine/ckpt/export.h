/* export.h - a model's weights for other programs, and the way back (docs/spec/checkpoint.md).
 *
 *   shared    every unique row stored once: the compact table under our names, "index.SITE" maps (I32 [kept,2]: owning
 *             site, position among the groups it stores), shape and structure in the metadata
 *   expanded  official names and shapes; shared rows copied to every user, pruned groups zero
 *
 * Both are safetensors files that stock readers open; warm-up heads are left out.
 */
#ifndef ENGINE_EXPORT_H
#define ENGINE_EXPORT_H

#include "base/hash.h"
#include "engine/ckpt/safetensors.h"
#include "engine/model/model.h"

struct export_options {
    enum dtype dtype;                    /* DTYPE_F32 or DTYPE_F16 in the file */
    const struct safetensors_meta *meta; /* more metadata: job, seed ...; borrowed */
    int metas;
};

/* values: a block in the layout of the model's table (its own values, or the EMA's). Atomic. */
enum status export_shared(const char *path, struct model *m, const real *values,
                          const struct export_options *opt, char ret_sha[HASH_HEX_SIZE],
                          struct err *err);
enum status export_expanded(const char *path, struct model *m, const real *values,
                            const struct export_options *opt, char ret_sha[HASH_HEX_SIZE],
                            struct err *err);

/* Fills a dense model's values from a file of either form, or one that has the official names.
 * ST_INVALID names the first tensor that is missing or has another shape; tensors that the model
 * does not know are ignored. */
enum status import_weights(struct model *dense, const char *path, struct err *err);

/* A shared file as the compact model that it holds; the frame belongs to the caller, who destroys
 * it after the model. */
enum status import_shared(struct model **ret_model, struct frame **ret_frame, const char *path,
                          struct err *err);

#endif
