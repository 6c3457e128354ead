/* pages.c - see pages.h. */
#include "engine/backend/pages.h"

#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)

void *pages_alloc(size_t bytes)
{
    size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
    size_t whole = (bytes + align - 1) / align * align;
    void *block = aligned_alloc(align, whole ? whole : align);
#if defined(MADV_HUGEPAGE)
    if (block && align == HUGE_PAGE)
        (void)madvise(block, whole, MADV_HUGEPAGE); /* a wish: small pages do as well */
#endif
    return block;
}
