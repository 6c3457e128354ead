/* ctx_self.h - the inside of struct ctx, for ctx.c and tape.c alone. */
#ifndef ENGINE_CTX_SELF_H
#define ENGINE_CTX_SELF_H

#include "engine/backend/backend.h"
#include "engine/core/arena.h"
#include "engine/core/ctx.h"

struct ctx {
    const struct backend *be; /* borrowed, static */
    struct arena data;        /* backend memory: activations, gradients, what backward needs */
    struct arena host;        /* tensor headers, tape */
    struct ctx_config cfg;
    struct node *last;   /* of the tape */
    struct tensor *made; /* the newest tensor of the innermost block; list by made_before */
    int depth;           /* of blocks */
    bool hidden; /* inside the first run of a block that will be run again: nothing is recorded */
    struct hidden_params *params; /* then: the parameters that it uses */
    uint32_t keys;                /* random operators of this step so far */
    uint64_t serial;              /* steps begun */
    struct err failure;           /* code ST_OK: none */
};

/* Gives a fresh tensor its gradient, at once or as a mark that backward will. */
void tape_want_grad(struct ctx *cx, struct tensor *t);
/* The tensor that owns the memory which t shows. */
static inline struct tensor *tensor_root(struct tensor *t)
{
    return t->base ? t->base : t;
}
/* Backward from `last` to the first of its tape; gradients of the tensors it starts from are in memory. */
void tape_run(struct ctx *cx, struct node *last, const struct ctx_watch *watch);

/* The named tensors with gradients that a hidden block used, for the node that stands for it. */
#define HIDDEN_PARAMS 56
struct hidden_params {
    int n;
    struct tensor *param[HIDDEN_PARAMS];
};
void block_note_inputs(struct ctx *cx, int n, struct tensor *const *in);

#endif
