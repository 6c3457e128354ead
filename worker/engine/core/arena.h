/* arena.h - memory of one step: bump allocation in blocks that are kept from step to step.
 *
 * Invariants: a block is never moved or shrunk; after arena_reset() all of them are free again, so
 * a steady step allocates nothing; the blocks together never exceed `max`. Under AddressSanitizer
 * what is not handed out is poisoned, with a gap after every allocation, so that a kernel's stray
 * write is caught at once.
 */
#ifndef ENGINE_ARENA_H
#define ENGINE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    void *(*alloc)(size_t bytes); /* 64-byte aligned or NULL */
    void (*release)(void *p);
    size_t max;                /* bytes of all blocks */
    size_t reserved;           /* bytes of all blocks now */
    size_t used, peak;         /* bytes handed out since the reset; the most of any step */
    struct arena_block *block; /* the first that is not full; NULL before the first allocation */
    struct arena_block *first; /* list of all, owned */
};

void arena_init(struct arena *a, void *(*alloc)(size_t), void (*release)(void *), size_t max);
void arena_fini(struct arena *a);

/* 64-byte aligned, not cleared; NULL when `max` or the machine's memory is exhausted. 0 bytes are
 * allowed. */
void *arena_alloc(struct arena *a, size_t bytes);
void arena_reset(struct arena *a);

#endif
