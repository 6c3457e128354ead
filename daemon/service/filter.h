/* filter.h - which lines of a log and which events a stream lets through. */
#ifndef SERVICE_FILTER_H
#define SERVICE_FILTER_H

#include "base/err.h"
#include "base/log.h"
#include "service/match.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_RANKS_MAX 64
#define FILTER_LINE_MAX 4096 /* bytes of a line that an expression is held against */

/* What the head of a line says: "2026-01-31T12:34:56Z WARN  worker.3: text". */
struct line_head {
    int64_t time_ms;
    enum log_level level;
    int rank; /* -1: it names none */
};
/* False: the line has no head; libraries, mpirun and backtraces write such. */
bool line_head_read(const char *line, size_t len, struct line_head *ret_head);

struct filter {
    uint32_t ranks[FILTER_RANKS_MAX];
    size_t n_ranks;
    int level;          /* least; -1 = all */
    int64_t since_ms;   /* 0 = all; a whole second, as the heads have it */
    uint32_t kinds;     /* events: bit mask by number; 0 = all */
    struct match *grep; /* owned; NULL = all */
    int64_t time_ms;    /* of the last line that had a head */
};

/* ST_INVALID with the reason. level: the wire's number, 0 = all. filter_fini() in every case. */
enum status filter_init(struct filter *f, const uint32_t *ranks, size_t n_ranks, int level,
                        int64_t since_ms, const char *grep, struct err *err);
void filter_fini(struct filter *f);
bool filter_is_empty(const struct filter *f); /* lets everything through */

/* A line without its newline, in the order of the file. */
bool filter_line(struct filter *f, const char *line, size_t len);
bool filter_text(struct filter *f, const char *text, size_t len); /* the expression alone */

#endif
