/* pages.h - large blocks of host memory, for the whole run.
 *
 * A step walks over hundreds of megabytes with strides of kilobytes: with pages of 4 KiB a product spends 3 % of its time in the
 * page tables. Blocks of some megabytes therefore ask for huge pages, where the kernel hands them out on request.
 */
#ifndef ENGINE_PAGES_H
#define ENGINE_PAGES_H

#include <stddef.h>

/* 64-byte aligned, not cleared; NULL when the machine's memory is exhausted. Released by free(). */
void *pages_alloc(size_t bytes);

#endif
