/* match.h - whether a text matches a person's expression, at a cost that its length bounds.
 *
 * POSIX extended expressions over bytes: literals . [a-z] [^a-z] ( ) | * + ? {m} {m,} {m,n} ^ $, \ before a special
 * byte, and \d \w \s as in Perl. All ways through the expression are followed at once (Thompson 1968), so a byte
 * costs at most MATCH_CODE_MAX steps and memory is fixed; the C library's matcher keeps no such bound, and this
 * one runs on the loop's thread. Pure.
 */
#ifndef SERVICE_MATCH_H
#define SERVICE_MATCH_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MATCH_CODE_MAX 1000
#define MATCH_SETS_MAX 32
#define MATCH_TEXT_MAX 256 /* bytes of an expression */

struct match_code {
    uint8_t op, byte;
    uint16_t x, y; /* where it goes on, by op */
};

struct match {
    int n, sets;
    struct match_code code[MATCH_CODE_MAX];
    uint8_t set[MATCH_SETS_MAX][32];
};

/* ST_INVALID with what is wrong. */
enum status match_compile(struct match *m, const char *expression, struct err *err);
/* Anywhere in the text. */
bool match_text(const struct match *m, const char *text, size_t len);

#endif
