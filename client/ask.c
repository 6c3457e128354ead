/* ask.c - see ask.h. */
#include "client/ask.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_MAX 10000 /* as the daemon's */

static enum status read_level(struct ask *ask, const char *name, struct err *err)
{
    static const char *const names[] = {"", "debug", "info", "warn", "error"};
    for (int i = 1; i < 5; i++)
        if (!strcmp(name, names[i])) {
            ask->level = (Espalier__V1__LogLevel)i;
            return ST_OK;
        }
    return err_set(err, ST_INVALID, "--level expects debug, info, warn or error, got '%.40s'",
                   name);
}

/* "90s", "10m", "2h", "3d": so long ago; or "2026-01-31T12:34:56Z". */
static enum status read_since(struct ask *ask, const char *text, int64_t now_ms, struct err *err)
{
    static const struct {
        char unit;
        double ms;
    } units[] = {{'s', 1e3}, {'m', 60e3}, {'h', 3600e3}, {'d', 86400e3}};
    char *end;
    errno = 0;
    double n = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end > text && end[0] == units[i].unit && !end[1] && !errno && n >= 0 && n < 1e7) {
            ask->since_ms = now_ms - (int64_t)(n * units[i].ms);
            return ST_OK;
        }
    if (strlen(text) == 20 && clock_parse(text, 20, &ask->since_ms))
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "--since expects a time ago like 90s, 10m, 2h or 3d, or a time like "
                   "2026-01-31T12:34:56Z, got '%.40s'",
                   text);
}

static enum status read_rank(struct ask *ask, const char *text, struct err *err)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9' || n > UINT32_MAX)
        return err_set(err, ST_INVALID, "--rank expects a rank's number, got '%.40s'", text);
    if (ask->n_ranks == ASK_MANY)
        return err_set(err, ST_INVALID, "--rank can be given %d times", ASK_MANY);
    ask->ranks[ask->n_ranks++] = (uint32_t)n;
    return ST_OK;
}

static enum status read_many(struct ask *ask, const struct args *args, struct err *err)
{
    for (int i = 0; i < args->noptions; i++) {
        const char *name = args->option[i].name, *value = args->option[i].value;
        if (!strcmp(name, "rank"))
            TRY(read_rank(ask, value, err));
        if (!strcmp(name, "kind") && ask->n_kinds == ASK_MANY)
            return err_set(err, ST_INVALID, "--kind can be given %d times", ASK_MANY);
        if (!strcmp(name, "kind"))
            ask->kinds[ask->n_kinds++] = value;
    }
    return ST_OK;
}

enum status ask_read(struct ask *ret_ask, const struct args *args, int64_t now_ms, struct err *err)
{
    struct ask ask = {.follow = args_flag(args, "follow"), .grep = args_value(args, "grep", NULL)};
    const char *level = args_value(args, "level", NULL), *since = args_value(args, "since", NULL);
    int64_t after, tail;
    TRY(args_number(args, "after", 0, 0, INT64_MAX, &after, err));
    TRY(args_number(args, "tail", 0, 1, TAIL_MAX, &tail, err));
    TRY(read_many(&ask, args, err));
    if (level)
        TRY(read_level(&ask, level, err));
    if (since)
        TRY(read_since(&ask, since, now_ms, err));
    ask.after = (uint64_t)after;
    ask.tail_lines = (uint32_t)tail;
    *ret_ask = ask;
    return ST_OK;
}
