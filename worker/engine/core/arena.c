/* arena.c - see arena.h.
 *
 *     first -> [full block] -> [block | used .... free] -> [large block] -> NULL
 *                               ^ block: the first that is not full; an allocation goes to the first from here on
 *                                 in which it fits, so what a large one leaves over is still used
 */
#include "engine/core/arena.h"

#include <stdint.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define ARENA_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#define ARENA_GAP 64
#else
#define ARENA_POISON(p, n) ((void)0)
#define ARENA_UNPOISON(p, n) ((void)0)
#define ARENA_GAP 0
#endif

#define ARENA_ALIGN ((size_t)64)
#define ARENA_BLOCK ((size_t)32 << 20)
#define ARENA_FULL ((size_t)4096) /* less is not worth looking at again */

struct arena_block {
    struct arena_block *next;
    char *base;
    size_t size, used;
};

void arena_init(struct arena *a, void *(*alloc)(size_t), void (*release)(void *), size_t max)
{
    *a = (struct arena){.alloc = alloc, .release = release, .max = max};
}

void arena_fini(struct arena *a)
{
    while (a->first) {
        struct arena_block *next = a->first->next;
        ARENA_UNPOISON(a->first->base, a->first->size);
        a->release(a->first->base);
        free(a->first);
        a->first = next;
    }
    a->block = NULL;
}

void arena_reset(struct arena *a)
{
    for (struct arena_block *b = a->first; b; b = b->next) {
        ARENA_POISON(b->base, b->used);
        b->used = 0;
    }
    a->block = a->first;
    a->used = 0;
}

/* A new block at the end of the list, so that blocks are filled in the same order in every step. */
static struct arena_block *add_block(struct arena *a, size_t need)
{
    size_t left = a->max - a->reserved, size = need > ARENA_BLOCK ? need : ARENA_BLOCK;
    if (size > left)
        size = left / ARENA_ALIGN * ARENA_ALIGN;
    if (size < need)
        return NULL;
    struct arena_block *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->base = a->alloc(size);
    if (!b->base) {
        free(b);
        return NULL;
    }
    b->size = size;
    ARENA_POISON(b->base, b->size);
    a->reserved += size;
    struct arena_block **link = &a->first;
    while (*link)
        link = &(*link)->next;
    *link = b;
    if (!a->block)
        a->block = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    if (bytes > a->max)
        return NULL;
    size_t need = (bytes + ARENA_GAP + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    while (a->block && a->block->size - a->block->used < ARENA_FULL && a->block->next)
        a->block = a->block->next;
    struct arena_block *b = a->block;
    while (b && b->size - b->used < need)
        b = b->next;
    if (!b)
        b = add_block(a, need);
    if (!b)
        return NULL;
    void *p = b->base + b->used;
    b->used += need;
    a->used += need;
    if (a->used > a->peak)
        a->peak = a->used;
    ARENA_UNPOISON(p, bytes);
    return p;
}
