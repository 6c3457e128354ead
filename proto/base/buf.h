/* buf.h - a growable byte buffer with a maximum from birth.
 *
 * Invariants: data is NULL or NUL-terminated at data[len]; len <= max. The first failure (maximum
 * passed, no memory) is kept in `failed`; later appends do nothing, so that a column of appends is
 * checked once, by buf_ok().
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;  /* owned; NUL-terminated */
    size_t len;  /* bytes without the NUL */
    size_t size; /* allocated */
    size_t max;  /* len never exceeds it */
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);  /* frees; NULL allowed; b may be initialised again */
void buf_clear(struct buf *b); /* len = 0, failed = false; keeps the memory */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) BASE_PRINTF(2, 3);
bool buf_ok(const struct buf *b);
char *buf_take(struct buf *b); /* ownership of data moves to the caller (free()); NULL if failed */
const char *buf_str(const struct buf *b); /* borrowed; never NULL */

#endif
