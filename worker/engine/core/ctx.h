/* ctx.h - one step's world: the backend, the arena, the tape, the sticky error, the random key.
 *
 * Calling sequence of a step:
 *     ctx_begin(cx, &cfg);                    empty arena and tape, new key
 *     loss = model_loss(...);                 a column of op_ calls
 *     ctx_backward(cx, loss);                 gradients accumulate
 *     TRY(ctx_finish(cx, err));               the first failure of the column, or NaN/Inf in the loss;
 *                                             BEFORE the optimiser changes a parameter
 *
 * Sticky error: the first failing op records code and sentence; later ops see it, do nothing and
 * return NULL; ops accept NULL inputs then. Model code checks nothing.
 */
#ifndef ENGINE_CTX_H
#define ENGINE_CTX_H

#include "base/err.h"
#include "base/rng.h"
#include "engine/core/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;
struct node;

/* Who wants to know how far backward is (worker/run/reduce.h): told of the named tensors, which are the parameters.
 * Before the first node, `will` comes once for each tensor that backward adds a gradient to; after the last node that does so,
 * `final` comes once, also where the node was passed over. `node` comes after every node. After a failure nothing more comes. */
struct ctx_watch {
    void (*will)(void *arg, const struct tensor *t);
    void (*final)(void *arg, const struct tensor *t);
    void (*node)(void *arg);
    void *arg;
};

struct ctx_config {
    bool train;      /* dropout is active */
    bool record;     /* the tape is recorded; false: forward only, less memory */
    bool recompute;  /* ctx_block() keeps nothing of a block and runs it again in backward */
    uint64_t seed;   /* of the job */
    uint64_t step;   /* keys the random draws */
    int64_t sample0; /* global index (within the step) of the batch's first sample: dropout is keyed
                        by it, so the number of ranks changes nothing */
    const struct ctx_watch *watch; /* borrowed for the step; NULL: nobody */
};

struct ctx; /* created once a run, reused every step */

/* arena_max: bytes a step may use; ST_LIMIT names it when a step does not fit. The arena grows by
 * blocks and keeps them: no allocation in a steady step. */
enum status ctx_create(struct ctx **ret_cx, const struct backend *be, size_t arena_max,
                       struct err *err);
void ctx_destroy(struct ctx *cx); /* NULL allowed */

void ctx_begin(struct ctx *cx, const struct ctx_config *cfg);
/* How often ctx_begin() was called: who keeps tensors of a step for later calls within it (binding)
 * tells by this number that they are gone. */
uint64_t ctx_serial(const struct ctx *cx);
/* Runs the tape backwards from the scalar `loss` with d loss = 1. May be called for one loss a
 * step. */
void ctx_backward(struct ctx *cx, struct tensor *loss);
enum status ctx_finish(struct ctx *cx, struct err *err);

/* ---- for operators --------------------------------------------------------------------------- */

const struct backend *ctx_backend(const struct ctx *cx);
bool ctx_train(const struct ctx *cx);
bool ctx_ok(const struct ctx *cx); /* no failure so far */
void ctx_fail(struct ctx *cx, enum status st, const char *fmt, ...) BASE_PRINTF(3, 4);

/* Arena memory until the next ctx_begin() or ctx_free(); 64-byte aligned, not cleared. NULL after a failure. */
void *ctx_alloc(struct ctx *cx, size_t bytes);
void ctx_free(struct ctx *cx, void *p, size_t bytes); /* NULL allowed */
/* A host array in the backend's memory until the next ctx_begin(): kernels see no host pointers. */
const void *ctx_upload(struct ctx *cx, const void *from_host, size_t bytes);
/* Host memory of the step, for what an operator builds before it calls kernels; not cleared. */
void *ctx_host(struct ctx *cx, size_t bytes);
/* A tensor in the arena. with_grad: it wants a gradient (only while recording). One below CTX_KEPT_GRAD
 * bytes has it from now to the end of the step; a larger one only from the first node of backward that
 * adds to it to the node that made the tensor, then its memory serves another. */
#define CTX_KEPT_GRAD ((size_t)64 << 10)
struct tensor *ctx_tensor(struct ctx *cx, bool with_grad, int dims, const int64_t *dim);
/* A constant: data copied in, no gradient. */
struct tensor *ctx_constant(struct ctx *cx, const real *data, int dims, const int64_t *dim);
/* Tensor header over the same memory with other dimensions (same size). */
struct tensor *ctx_view(struct ctx *cx, struct tensor *t, int dims, const int64_t *dim);

/* A tape entry: op files embed `struct node` first in their own struct, allocated by ctx_record(). */
struct node {
    void (*backward)(struct ctx *cx, struct node *node);
    struct node *before;
    struct tensor *out;
    struct tensor **in; /* n of them */
    int n;
    /* An input whose gradient starts as out's own (y = a + ...), or NULL: where nothing was added to it before,
     * it takes over out's memory, and backward finds in->grad == out->grad and has nothing to add. */
    struct tensor *heir;
    /* Whose data backward (and remake) reads: bit i of in[i], NODE_READS_OUT of out. ctx_record() sets all of them; an op takes
     * out what it does not read, so that a block can give it back. */
    uint64_t reads;
    /* Inputs (bit i of in[i]) whose gradient backward can write instead of adding to it, and those where it must do so now, because
     * nobody added to it before: its memory holds anything. The first is the op's, the second the tape's. */
    uint64_t overwrites, fresh;
    /* Writes out's data again, from inputs that are among `reads`, as forward did; NULL where that costs more than keeping it. */
    void (*remake)(struct ctx *cx, struct node *node);
    void *own; /* memory of ctx_alloc() that goes with the node */
    size_t own_bytes;
    bool counted; /* among the readers of its tensors, at the end of its block */
};
#define NODE_READS_OUT ((uint64_t)1 << 63)
#define NODE_READS(i) ((uint64_t)1 << (i))
#define NODE_OVERWRITES(i) ((uint64_t)1 << (i))

/* A part of the model whose inner tensors nobody needs after it: runs run(cx, arg) and returns its output, which belongs to
 * the caller's level; everything else that run() made is given back at once, or, where backward reads it, after its last reader in
 * backward; cheap things are made again there instead (node.remake). With cfg.recompute all of it is given back and backward calls
 * run() again, with the same random keys, so that the numbers are the same bit by bit. `arg` (bytes) is copied; it names the
 * tensors that run() uses, of which in[0..n) lists those that are not parameters. run() must do the same each time. */
struct tensor *ctx_block(struct ctx *cx, struct tensor *(*run)(struct ctx *cx, const void *arg),
                         const void *arg, size_t bytes, int n, struct tensor *const *in);
/* False where nothing is kept for backward: forward alone, or the first run of a block that will be recomputed. */
bool ctx_keeps(const struct ctx *cx);

/* Records that `out` was made from in[0..n), NULL entries allowed; the rest of the `bytes` is zero. Returns NULL
 * when nothing is recorded (out wants no gradient) or after a failure. The gradients of out and of all inputs that
 * want one are in memory when backward is called. */
void *ctx_record(struct ctx *cx, size_t bytes, void (*backward)(struct ctx *, struct node *),
                 struct tensor *out, int n, struct tensor *const *in);

/* Key for the next random operator of the step; calls are numbered in program order. */
struct rng_key ctx_key(struct ctx *cx, enum rng_purpose purpose);
int64_t ctx_sample0(const struct ctx *cx);

size_t ctx_arena_peak(const struct ctx *cx); /* bytes, high-water mark since creation */

#endif
