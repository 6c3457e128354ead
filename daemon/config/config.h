/* config.h - the daemon's configuration: defaults < file < command line, each value with where it came from.
 *
 * One table (config.def) serves struct, checks, defaults, options, help and docs. All faults are collected, each
 * with its place and the nearest known key; a value with a fault leaves the one before it. Nothing here prints.
 * Used on the main thread before the loop starts; what was read is not changed afterwards.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "jobfile/findings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_BYTES (1u << 20)

#define CONFIG_MEMBER_INT(member, def, lo, hi, help) int64_t member;
#define CONFIG_MEMBER_TEXT(member, def, max, help) char *member;
#define CONFIG_NONE(...)

/* The maps of MAPS rows. */
#define INT(...)
#define REAL(...)
#define BOOL(...)
#define TEXT(...)
#define PATH(...)
#define ENUM(...)
#define TEXTS(...)
#define PATHS(...)
#define SECTION(...)
#define MAPS(member, key, fields, type, most, help)                                                \
    type{fields(CONFIG_MEMBER_INT, CONFIG_MEMBER_TEXT)};
#include "config/config.def"

struct config {
#define SECTION(key, help)
#define INT(member, key, def, lo, hi, help) int64_t member;
#define REAL(member, key, def, lo, hi, help) double member;
#define BOOL(member, key, def, help) bool member;
#define TEXT(member, key, def, max, help) char *member;
#define PATH(member, key, def, help) char *member;
#define ENUM(member, key, def, list, help) int member;
#define TEXTS(member, key, most, help)                                                             \
    char **member;                                                                                 \
    int n_##member;
#define PATHS(member, key, most, help)                                                             \
    char **member;                                                                                 \
    int n_##member;
#define MAPS(member, key, fields, type, most, help)                                                \
    type *member;                                                                                  \
    int n_##member;
#include "config/config.def"
};

enum config_row { /* CONFIG_home, ...: names a row of the table */
#define SECTION(key, help)
#define INT(member, ...) CONFIG_##member,
#define REAL(member, ...) CONFIG_##member,
#define BOOL(member, ...) CONFIG_##member,
#define TEXT(member, ...) CONFIG_##member,
#define PATH(member, ...) CONFIG_##member,
#define ENUM(member, ...) CONFIG_##member,
#define TEXTS(member, ...) CONFIG_##member,
#define PATHS(member, ...) CONFIG_##member,
#define MAPS(member, ...) CONFIG_##member,
#include "config/config.def"
                  CONFIG_ROWS
};

/* Order of the list in config.def. */
enum config_launcher { CONFIG_LAUNCHER_MPIRUN, CONFIG_LAUNCHER_SLURM, CONFIG_LAUNCHER_FAKE };

enum config_from { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_OPTION };

struct config_origin {
    enum config_from from;
    int line; /* of CONFIG_FILE */
};

struct config_source {
    struct config config;
    struct config_origin origin[CONFIG_ROWS];
    char *file; /* owned; the file that was read; NULL = none */
    struct findings file_findings, option_findings;
    bool nomem;
};

/* Every key at its default. The caller ends it with config_fini(), whatever follows. */
void config_init(struct config_source *s);
void config_fini(struct config_source *s);
/* The values move to the caller, who frees them with config_free(); s keeps none. */
struct config config_take(struct config_source *s);
void config_free(struct config *c);

/* Reads a file's text over what is there; `path` is for relative paths and for messages. Faults go to
 * s->file_findings. */
void config_read(struct config_source *s, const char *path, const char *text, size_t len);

/* One option of the command line: `name` as config_option_name() gives it. False: there is no such option. Faults
 * go to s->option_findings. Relative paths start at the working directory. */
bool config_set_option(struct config_source *s, const char *name, const char *value);
/* A fault that several keys make together: at the place of the row's value. */
void config_complain(struct config_source *s, enum config_row row, const char *fmt, ...)
    BASE_PRINTF(3, 4);

/* The option of a row ("stop-term"), and how help calls its value ("S"). Static storage of the caller. */
void config_option_name(enum config_row row, char ret_name[64]);
const char *config_option_value(enum config_row row);
/* The nearest option to a mistyped one; NULL when none is near. */
bool config_option_nearest(const char *name, char ret_name[64]);

/* What is in force, as YAML that config_read() takes; origin: each value with where it came from. */
void config_print(const struct config_source *s, bool origin, struct buf *out);
/* Every key: as text, or as docs/ops/configuration.md. */
void config_help(struct buf *out, bool markdown);
/* The same as options, for --help. */
void config_option_help(struct buf *out);
/* The manual page espalierd(8), and a completion for bash. manual.c */
void config_manual(struct buf *out, const char *version);
void config_completion(struct buf *out);
/* The manual page espalierd(8), and a completion for bash. manual.c */
void config_manual(struct buf *out, const char *version);
void config_completion(struct buf *out);
/* A file with every key as a comment at its default, for a start. */
void config_example(struct buf *out);
/* All findings, one a line. */
void config_print_findings(const struct config_source *s, const struct term *t, struct buf *out);

#endif
