/* ask.h - what of a stream is asked for: --level, --since, --grep and their like, which the daemon filters by. */
#ifndef CLIENT_ASK_H
#define CLIENT_ASK_H

#include "client/cli.h"

#define ASK_MANY 64 /* ranks, kinds */

struct ask {
    uint64_t after; /* cursor: only what comes later */
    bool follow;
    Espalier__V1__LogLevel level;
    int64_t since_ms; /* 1970; 0 = all */
    const char *grep; /* borrowed, as all text here; NULL = all */
    uint32_t ranks[ASK_MANY];
    size_t n_ranks;
    const char *kinds[ASK_MANY]; /* of events */
    size_t n_kinds;
    uint32_t tail_lines; /* of a log; 0 = all */
};

/* Reads --after, --level, --since, --grep, --rank, --kind, --tail where they were given. now_ms: for "10m". */
enum status ask_read(struct ask *ret_ask, const struct args *args, int64_t now_ms, struct err *err);

#endif
