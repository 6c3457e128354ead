/* clock.h - time as a value that tests can set.
 *
 * Code that waits or stamps takes a `const struct clock *`; clock_system() is the machine's.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock {
    int64_t (*wall_ms)(const struct clock *c); /* milliseconds since 1970, UTC */
    int64_t (*mono_ms)(const struct clock *c); /* monotonic milliseconds */
};

const struct clock *clock_system(void);

/* A clock that stands still until it is told otherwise; for tests. */
struct clock_fake {
    struct clock clock; /* first member: pass &f->clock */
    int64_t wall, mono;
};
void clock_fake_init(struct clock_fake *f, int64_t wall_ms);
void clock_fake_advance(struct clock_fake *f, int64_t ms);

int64_t clock_mono_ns(void); /* for measuring */

/* How long to wait after so many tries in a row that failed (1, 2, ...): 1, 2, 4 ... 60 s. Up to a quarter less,
 * depending on `who`, so that many who failed together do not all come back together. */
int64_t clock_backoff_ms(int failed, uint64_t who);

/* "2026-01-31T12:34:56Z" into out[21]. */
void clock_format(char out[21], int64_t wall_ms);
/* The way back: exactly that form, from len bytes on. False for anything else. */
bool clock_parse(const char *text, size_t len, int64_t *ret_wall_ms);

#endif
