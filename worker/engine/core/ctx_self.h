/* ctx_self.h - the inside of struct ctx, for ctx.c and tape.c alone. */
#ifndef ENGINE_CTX_SELF_H
#define ENGINE_CTX_SELF_H

#include "engine/backend/backend.h"
#include "engine/core/arena.h"
#include "engine/core/ctx.h"

struct spare;

struct ctx {
    const struct backend *be; /* borrowed, static */
    struct arena data;        /* backend memory: activations, gradients, what backward needs */
    struct arena host;        /* tensor headers, tape */
    struct ctx_config cfg;
    struct node *last;   /* of the tape */
    struct spare *spare; /* memory of gradients that backward is done with */
    uint32_t keys;       /* random operators of this step so far */
    uint64_t serial;     /* steps begun */
    struct err failure;  /* code ST_OK: none */
};

/* Gives a fresh tensor its gradient, at once or as a mark that backward will. */
void tape_want_grad(struct ctx *cx, struct tensor *t);

#endif
