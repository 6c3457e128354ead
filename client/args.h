/* args.h - a command's options as one table, which parses them and prints their help.
 *
 * GNU habits: options anywhere, "--name value" and "--name=value", "-n value", "--" ends options,
 * "-" is a positional.
 */
#ifndef CLIENT_ARGS_H
#define CLIENT_ARGS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ARGS_MAX 256 /* options with a value and positionals, each */

struct option_row {
    char letter;       /* 0 = none */
    const char *name;  /* "set"; NULL ends a table */
    const char *value; /* how help names it ("K=V"); NULL = a flag */
    const char *help;
};

struct args {
    int noptions;
    struct {
        const char *name, *value; /* name borrowed from the table; value NULL for a flag */
    } option[ARGS_MAX];
    int npositionals;
    const char *positional[ARGS_MAX];
};

/* tables: NULL-ended list of option tables. argv without the program's and the command's name. */
enum status args_parse(struct args *ret_args, const struct option_row *const *tables, int argc,
                       char **argv, struct err *err);

bool args_flag(const struct args *a, const char *name);
const char *args_value(const struct args *a, const char *name, const char *fallback); /* the last */
/* The value as a whole number in [lo, hi]; fallback when it was not given. */
enum status args_number(const struct args *a, const char *name, int64_t fallback, int64_t lo,
                        int64_t hi, int64_t *ret_number, struct err *err);

/* The candidate nearest to a mistyped word; NULL when none is near. `next` yields them: name of
 * index i or NULL. */
const char *nearest_word(const char *word, const char *(*next)(int i, const void *list),
                         const void *list);

#endif
