/* backend.h - where kernels and memory come from.
 *
 * kernel.def is the one list of kernels; from it come the struct of pointers, the prototypes of
 * every backend and the loop in the tests. A kernel missing in ref does not link; a backend without
 * a fast version of its own says so in its table by naming the ref one.
 *
 * Contract of every kernel: outputs first, then inputs, then sizes and scalars; forward overwrites,
 * backward accumulates (kernel.def: but for `fresh`); shapes are trusted (the op has checked); no allocation, no host sync, no
 * globals; deterministic for a given number of threads. Arrays are row-major and contiguous unless
 * a stride says so. Memory is a second, separate table, so that a device backend adds both
 * independently.
 */
#ifndef ENGINE_BACKEND_H
#define ENGINE_BACKEND_H

#include "engine/backend/kernel.h"
#include "engine/core/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend_memory {
    void *(*alloc)(size_t bytes); /* 64-byte aligned; NULL when out of memory */
    void (*release)(void *p);
    void (*zero)(void *p, size_t bytes);
    void (*upload)(void *to, const void *from_host, size_t bytes);
    void (*download)(void *to_host, const void *from, size_t bytes);
    void (*sync)(void);
};

struct backend {
    const char *name; /* "ref", "cpu" */
    const struct backend_memory *memory;
#define KERNEL(name, args) void(*name) args;
#include "engine/backend/kernel.def"
#undef KERNEL
};

/* Reals of scratch that attention_fwd and attention_bwd want. */
int64_t attention_scratch(const struct attention_dims *d);

/* Reals of scratch that conv_fwd and conv_bwd want: the patches of some rows of the output. */
int64_t conv_scratch(const struct im2col_dims *d);

/* borrowed, static; NULL if there is none of that name that this machine can run. "cpu" is the default; "cpu-bf16" and "ref-bf16"
 * round the operands of products to bfloat16. */
const struct backend *backend_find(const char *name);
/* All that compute the same as ref. */
int backend_count(void);
const struct backend *backend_at(int i);

/* Threads that the cpu backend may use in this process (1 a rank by default). */
void backend_set_threads(int threads);
/* What the cpu backend's matrix products did since the process began: operations (a multiplication or an addition is one), and seconds
 * of all threads together. */
void backend_products(double *ret_operations, double *ret_seconds);
/* "cpu OpenBLAS 0.3.21 SkylakeX avx512 threads=1": recorded with every job. Borrowed, static
 * buffer. */
const char *backend_describe(const struct backend *be);

#endif
