/* arena.h - memory of one step: pieces are handed out, may be given back, and are all free again at the reset.
 *
 * Invariants: a block is never moved or shrunk while a piece of it is out; the blocks together never exceed `max`; of the free
 * spans the smallest that fits is taken, the lowest of equal ones, so the same calls give the same places. After a reset
 * that follows growth all blocks become one as large as the step needed, so a steady step allocates nothing and holds hardly
 * more than its pieces. Under AddressSanitizer what is not handed out is poisoned, with a gap after every piece, so that a
 * kernel's stray write and a tensor that outlived its memory are caught at once.
 */
#ifndef ENGINE_ARENA_H
#define ENGINE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;
struct arena_span;

struct arena {
    void *(*alloc)(size_t bytes); /* 64-byte aligned or NULL */
    void (*release)(void *p);
    size_t max;                /* bytes of all blocks */
    size_t reserved;           /* bytes of all blocks now */
    size_t used, peak;         /* bytes out now; the most since the beginning */
    struct arena_block *first; /* list of all, owned */
    struct arena_span *span;   /* the free ones, by address; owned */
    int spans, room;
    bool grown; /* a block was added since the reset */
};

void arena_init(struct arena *a, void *(*alloc)(size_t), void (*release)(void *), size_t max);
void arena_fini(struct arena *a);

/* 64-byte aligned, not cleared; NULL when `max` or the machine's memory is exhausted. 0 bytes are
 * allowed. */
void *arena_alloc(struct arena *a, size_t bytes);
/* A piece that arena_alloc() handed out since the last reset, with its size; NULL allowed. */
void arena_free(struct arena *a, void *p, size_t bytes);
/* Takes all pieces back. */
void arena_reset(struct arena *a);

#endif
