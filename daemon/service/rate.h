/* rate.h - token buckets by name: so many calls a second, and a second's worth at once. Pure; times are the caller's. */
#ifndef SERVICE_RATE_H
#define SERVICE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_NAMES 256 /* known at a time; the one that was quiet longest gives way */

struct rate_bucket {
    uint64_t key; /* hash of the name; 0 = free */
    double left;
    int64_t at_ms; /* when `left` was true */
};
struct rates {
    double per_s; /* 0 = no limit */
    struct rate_bucket bucket[RATE_NAMES];
};

/* Whether one more call of this name is in order now; it is counted if so. */
bool rate_take(struct rates *r, const char *name, int64_t now_ms);

#endif
