/* filter.c - see filter.h. */
#include "service/filter.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define STAMP 20 /* bytes of "2026-01-31T12:34:56Z" */

/* ---- the head of a line ---------------------------------------------------------------------- */

static bool level_find(const char *word, enum log_level *ret_level)
{
    static const char names[][6] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    for (int i = 0; i < 4; i++)
        if (memcmp(word, names[i], 5) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    return false;
}

/* "worker.12: ..." names rank 12; -1 for a name without one. */
static int rank_of(const char *who, size_t len)
{
    const char *colon = memchr(who, ':', len < 64 ? len : 64);
    const char *dot = colon ? memchr(who, '.', (size_t)(colon - who)) : NULL;
    int rank = 0;
    if (!dot || dot + 1 == colon || colon - dot > 8)
        return -1;
    for (const char *c = dot + 1; c < colon; c++) {
        if (*c < '0' || *c > '9')
            return -1;
        rank = 10 * rank + (*c - '0');
    }
    return rank;
}

bool line_head_read(const char *line, size_t len, struct line_head *ret_head)
{
    struct line_head h;
    size_t who = STAMP + 7; /* behind " WARN  " */
    if (len < who || line[STAMP] != ' ' || !clock_parse(line, STAMP, &h.time_ms) ||
        !level_find(line + STAMP + 1, &h.level))
        return false;
    h.rank = rank_of(line + who, len - who);
    *ret_head = h;
    return true;
}

/* ---- the filter ------------------------------------------------------------------------------ */

enum status filter_init(struct filter *f, const uint32_t *ranks, size_t n_ranks, int level,
                        int64_t since_ms, const char *grep, struct err *err)
{
    *f = (struct filter){.level = level - 1, .since_ms = since_ms - since_ms % 1000};
    if (level < 0 || level > LOG_ERROR + 1)
        return err_set(err, ST_INVALID, "there is no level %d: 1 debug, 2 info, 3 warn, 4 error",
                       level);
    if (n_ranks > FILTER_RANKS_MAX)
        return err_set(err, ST_INVALID, "%zu ranks, at most %d can be asked for", n_ranks,
                       FILTER_RANKS_MAX);
    if (n_ranks)
        memcpy(f->ranks, ranks, n_ranks * sizeof *ranks);
    f->n_ranks = n_ranks;
    if (!grep[0])
        return ST_OK;
    f->grep = malloc(sizeof *f->grep);
    if (!f->grep)
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    enum status st = match_compile(f->grep, grep, err);
    return st == ST_OK ? st : err_prefix(err, "grep");
}

void filter_fini(struct filter *f)
{
    free(f->grep);
    f->grep = NULL;
}

bool filter_is_empty(const struct filter *f)
{
    return f->n_ranks == 0 && f->level < 0 && f->since_ms <= 0 && !f->grep && f->kinds == 0;
}

bool filter_text(struct filter *f, const char *text, size_t len)
{
    return !f->grep || match_text(f->grep, text, len < FILTER_LINE_MAX ? len : FILTER_LINE_MAX);
}

static bool wants_rank(const struct filter *f, int rank)
{
    for (size_t i = 0; i < f->n_ranks; i++)
        if (rank >= 0 && f->ranks[i] == (uint32_t)rank)
            return true;
    return f->n_ranks == 0;
}

bool filter_line(struct filter *f, const char *line, size_t len)
{
    struct line_head head = {.rank = -1, .level = LOG_ERROR};
    if (line_head_read(line, len, &head))
        f->time_ms = head.time_ms;
    return f->time_ms >= f->since_ms && (int)head.level >= f->level && wants_rank(f, head.rank) &&
           filter_text(f, line, len);
}
