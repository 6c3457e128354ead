/* args.c - see args.h. */
#include "client/args.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row *find_long(const struct option_row *const *tables, const char *name,
                                          size_t len)
{
    for (; *tables; tables++)
        for (const struct option_row *o = *tables; o->name; o++)
            if (strlen(o->name) == len && !memcmp(o->name, name, len))
                return o;
    return NULL;
}

static const struct option_row *find_letter(const struct option_row *const *tables, char letter)
{
    for (; *tables; tables++)
        for (const struct option_row *o = *tables; o->name; o++)
            if (o->letter && o->letter == letter)
                return o;
    return NULL;
}

static const char *next_option(int i, const void *list)
{
    const struct option_row *const *tables = list;
    for (; *tables; tables++)
        for (const struct option_row *o = *tables; o->name; o++)
            if (i-- == 0)
                return o->name;
    return NULL;
}

static enum status unknown_option(const struct option_row *const *tables, const char *arg,
                                  struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(arg + 2, "="), arg + 2);
    const char *near = arg[1] == '-' ? nearest_word(name, next_option, tables) : NULL;
    if (near)
        return err_set(err, ST_INVALID, "unknown option '%s'; did you mean --%s?", arg, near);
    return err_set(err, ST_INVALID, "unknown option '%s'; --help lists them", arg);
}

static enum status add_option(struct args *a, const struct option_row *o, const char *value,
                              struct err *err)
{
    if (a->noptions == ARGS_MAX)
        return err_set(err, ST_LIMIT, "more than %d options", ARGS_MAX);
    a->option[a->noptions].name = o->name;
    a->option[a->noptions++].value = value;
    return ST_OK;
}

/* "--name", "--name=value", "--name value"; *at moves past a value that was taken. */
static enum status parse_long(struct args *a, const struct option_row *const *tables, int argc,
                              char **argv, int *at, struct err *err)
{
    const char *arg = argv[*at], *equals = strchr(arg, '=');
    size_t len = equals ? (size_t)(equals - arg - 2) : strlen(arg + 2);
    const struct option_row *o = find_long(tables, arg + 2, len);
    if (!o)
        return unknown_option(tables, arg, err);
    if (!o->value && equals)
        return err_set(err, ST_INVALID, "--%s takes no value", o->name);
    if (o->value && !equals && *at + 1 == argc)
        return err_set(err, ST_INVALID, "--%s needs a value: --%s %s", o->name, o->name, o->value);
    const char *value = !o->value ? NULL : equals ? equals + 1 : argv[++*at];
    return add_option(a, o, value, err);
}

/* "-n", "-n value", "-nvalue" and flags together ("-fj"). */
static enum status parse_letters(struct args *a, const struct option_row *const *tables, int argc,
                                 char **argv, int *at, struct err *err)
{
    const char *arg = argv[*at];
    for (const char *c = arg + 1; *c; c++) {
        const struct option_row *o = find_letter(tables, *c);
        if (!o)
            return unknown_option(tables, arg, err);
        if (!o->value) {
            TRY(add_option(a, o, NULL, err));
            continue;
        }
        if (!c[1] && *at + 1 == argc)
            return err_set(err, ST_INVALID, "-%c needs a value: -%c %s", *c, *c, o->value);
        return add_option(a, o, c[1] ? c + 1 : argv[++*at], err);
    }
    return ST_OK;
}

enum status args_parse(struct args *ret_args, const struct option_row *const *tables, int argc,
                       char **argv, struct err *err)
{
    bool only_positionals = false;
    *ret_args = (struct args){0};
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!only_positionals && !strcmp(arg, "--"))
            only_positionals = true;
        else if (!only_positionals && arg[0] == '-' && arg[1] == '-')
            TRY(parse_long(ret_args, tables, argc, argv, &i, err));
        else if (!only_positionals && arg[0] == '-' && arg[1])
            TRY(parse_letters(ret_args, tables, argc, argv, &i, err));
        else if (ret_args->npositionals == ARGS_MAX)
            return err_set(err, ST_LIMIT, "more than %d arguments", ARGS_MAX);
        else
            ret_args->positional[ret_args->npositionals++] = arg;
    }
    return ST_OK;
}

bool args_flag(const struct args *a, const char *name)
{
    for (int i = 0; i < a->noptions; i++)
        if (!strcmp(a->option[i].name, name))
            return true;
    return false;
}

const char *args_value(const struct args *a, const char *name, const char *fallback)
{
    for (int i = a->noptions - 1; i >= 0; i--)
        if (!strcmp(a->option[i].name, name))
            return a->option[i].value;
    return fallback;
}

enum status args_number(const struct args *a, const char *name, int64_t fallback, int64_t lo,
                        int64_t hi, int64_t *ret_number, struct err *err)
{
    const char *text = args_value(a, name, NULL);
    if (!text) {
        *ret_number = fallback;
        return ST_OK;
    }
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < lo || number > hi)
        return err_set(err, ST_INVALID, "--%s expects a whole number from %lld to %lld, got '%s'",
                       name, (long long)lo, (long long)hi, text);
    *ret_number = number;
    return ST_OK;
}

/* ---- nearest word ---------------------------------------------------------------------------- */

const char *nearest_word(const char *word, const char *(*next)(int i, const void *list),
                         const void *list)
{
    const char *best = NULL;
    size_t len = strlen(word);
    int limit = len < 4 ? 1 : 1 + (int)len / 3;
    if (len > WORD_MAX)
        return NULL;
    for (int i = 0;; i++) {
        const char *candidate = next(i, list);
        if (!candidate)
            return best;
        if (strlen(candidate) > WORD_MAX)
            continue;
        bool prefix = len >= 2 && !strncmp(candidate, word, len);
        int d = prefix ? 1 : word_distance(word, candidate);
        if (d <= limit) {
            limit = d - 1;
            best = candidate;
        }
    }
}
