/* text.c - see text.h. */
#include "job/text.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the character that begins at p, 0 if none does. Overlong forms, surrogates and what is beyond U+10FFFF are
 * none (RFC 3629). The NUL at the end stops every sequence that is too short. */
static size_t utf8_length(const unsigned char *p)
{
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xC2 ? 0
               : p[0] < 0xE0 ? 2
               : p[0] < 0xF0 ? 3
               : p[0] < 0xF5 ? 4
                             : 0;
    uint32_t c = n == 2 ? p[0] & 0x1Fu : n == 3 ? p[0] & 0x0Fu : n == 4 ? p[0] & 0x07u : p[0];
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if ((n == 3 && (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))) ||
        (n == 4 && (c < 0x10000 || c > 0x10FFFF)))
        return 0;
    return n;
}

void text_clean(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (const char *p = text ? text : ""; *p;) {
        size_t n = utf8_length((const unsigned char *)p), step = n ? n : 1;
        if (used + step + 1 > size)
            break;
        if (n)
            memcpy(out + used, p, n);
        else
            out[used] = '?';
        used += step;
        p += step;
    }
    out[used] = '\0';
}
