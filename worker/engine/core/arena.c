/* arena.c - see arena.h. Free spans are kept apart from the memory itself, which may be a device's, sorted by address;
 * neighbours within a block are joined. */
#include "engine/core/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
/* What was not written yet shows as NaN. */
#define ARENA_SOIL(p, n) memset(p, 0xff, n)
#else
#define ARENA_POISON(p, n) ((void)0)
#define ARENA_UNPOISON(p, n) ((void)0)
#define ARENA_GAP 0
#define ARENA_SOIL(p, n) ((void)0)
#endif

#define ARENA_ALIGN ((size_t)64)
#define ARENA_BLOCK ((size_t)32 << 20)

struct arena_block {
    struct arena_block *next;
    char *base;
    size_t size;
};

struct arena_span {
    struct arena_block *block;
    char *at;
    size_t size;
};

void arena_init(struct arena *a, void *(*alloc)(size_t), void (*release)(void *), size_t max)
{
    *a = (struct arena){.alloc = alloc, .release = release, .max = max};
}

static void release_blocks(struct arena *a)
{
    while (a->first) {
        struct arena_block *next = a->first->next;
        ARENA_UNPOISON(a->first->base, a->first->size);
        a->release(a->first->base);
        free(a->first);
        a->first = next;
    }
    a->spans = 0;
    a->reserved = 0;
}

void arena_fini(struct arena *a)
{
    release_blocks(a);
    free(a->span);
    a->span = NULL;
}

/* ---- free spans ------------------------------------------------------------------------------ */

static bool make_room(struct arena *a)
{
    if (a->spans < a->room)
        return true;
    int room = a->room ? 2 * a->room : 64;
    struct arena_span *span = realloc(a->span, (size_t)room * sizeof *span);
    if (!span)
        return false;
    a->span = span;
    a->room = room;
    return true;
}

/* Index of the first span that lies above `at`. */
static int span_above(const struct arena *a, const char *at)
{
    int low = 0, high = a->spans;
    while (low < high) {
        int middle = (low + high) / 2;
        if ((uintptr_t)a->span[middle].at > (uintptr_t)at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void span_remove(struct arena *a, int i)
{
    a->spans--;
    memmove(a->span + i, a->span + i + 1, (size_t)(a->spans - i) * sizeof *a->span);
}

static bool joins(const struct arena_span *low, const struct arena_span *high)
{
    return low->block == high->block && low->at + low->size == high->at;
}

/* Without memory for one more span the piece is lost until the reset. */
static void span_add(struct arena *a, struct arena_span s)
{
    int i = span_above(a, s.at);
    if (i < a->spans && joins(&s, &a->span[i])) {
        s.size += a->span[i].size;
        span_remove(a, i);
    }
    if (i > 0 && joins(&a->span[i - 1], &s)) {
        a->span[i - 1].size += s.size;
        return;
    }
    if (!make_room(a))
        return;
    memmove(a->span + i + 1, a->span + i, (size_t)(a->spans - i) * sizeof *a->span);
    a->span[i] = s;
    a->spans++;
}

/* The smallest that fits; -1 when none does. */
static int best_fit(const struct arena *a, size_t need)
{
    int best = -1;
    for (int i = 0; i < a->spans; i++)
        if (a->span[i].size >= need && (best < 0 || a->span[i].size < a->span[best].size))
            best = i;
    return best;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static bool add_block(struct arena *a, size_t need, size_t wish)
{
    size_t left = a->max - a->reserved, size = need > wish ? need : wish;
    if (size > left)
        size = left / ARENA_ALIGN * ARENA_ALIGN;
    struct arena_block *b = size >= need ? calloc(1, sizeof *b) : NULL;
    if (!b)
        return false;
    b->base = a->alloc(size);
    if (!b->base || !make_room(a)) {
        if (b->base)
            a->release(b->base);
        free(b);
        return false;
    }
    b->size = size;
    b->next = a->first;
    a->first = b;
    a->reserved += size;
    ARENA_POISON(b->base, b->size);
    span_add(a, (struct arena_span){b, b->base, b->size});
    return true;
}

/* What the step needed plus a part of it for the holes between pieces, in one block. */
static void merge_blocks(struct arena *a)
{
    size_t size = (a->peak + a->peak / 16 + ARENA_BLOCK - 1) / ARENA_BLOCK * ARENA_BLOCK;
    if (size < a->reserved && size < a->peak + ARENA_BLOCK)
        size += ARENA_BLOCK;
    if (size > a->max)
        size = a->max / ARENA_ALIGN * ARENA_ALIGN;
    release_blocks(a);
    add_block(a, 0, size);
}

void arena_reset(struct arena *a)
{
    a->used = 0;
    a->spans = 0;
    if (a->grown && a->first && a->first->next)
        merge_blocks(a);
    else
        for (struct arena_block *b = a->first; b; b = b->next) {
            ARENA_POISON(b->base, b->size);
            span_add(a, (struct arena_span){b, b->base, b->size});
        }
    a->grown = false;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static size_t piece_size(size_t bytes)
{
    size_t size = (bytes + ARENA_GAP + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    return size ? size : ARENA_ALIGN;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    if (bytes > a->max)
        return NULL;
    size_t need = piece_size(bytes);
    int i = best_fit(a, need);
    if (i < 0) {
        if (!add_block(a, need, ARENA_BLOCK))
            return NULL;
        a->grown = true;
        i = best_fit(a, need);
    }
    struct arena_span *s = &a->span[i];
    void *p = s->at;
    s->at += need;
    s->size -= need;
    if (s->size == 0)
        span_remove(a, i);
    a->used += need;
    if (a->used > a->peak)
        a->peak = a->used;
    ARENA_UNPOISON(p, bytes);
    ARENA_SOIL(p, bytes);
    return p;
}

void arena_free(struct arena *a, void *p, size_t bytes)
{
    struct arena_block *b = a->first;
    if (!p)
        return;
    while (b && !((char *)p >= b->base && (char *)p < b->base + b->size))
        b = b->next;
    if (!b)
        return;
    size_t size = piece_size(bytes);
    ARENA_POISON(p, size);
    a->used -= size;
    span_add(a, (struct arena_span){b, p, size});
}
