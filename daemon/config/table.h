/* table.h - config.def as a table. Inside config only. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include "config/config.h"

#define CONFIG_KEY_MAX 96 /* bytes of a dotted key with its NUL, as in struct finding */

enum row_type {
    ROW_INT,
    ROW_REAL,
    ROW_BOOL,
    ROW_TEXT,
    ROW_PATH,
    ROW_ENUM,
    ROW_TEXTS,
    ROW_PATHS,
    ROW_MAPS
};

struct row {
    enum row_type type;
    const char *key, *help;
    size_t offset;            /* of the member in struct config, or in the map */
    size_t offset_n;          /* lists: of the count */
    double def, lo, hi;       /* numbers; hi of a text: its most bytes, of a list: its most items */
    const char *def_text;     /* TEXT, PATH, ENUM; NULL in a map: must be given */
    const char *list;         /* ENUM: "a|b|c" */
    const struct row *fields; /* MAPS */
    int nfields;
    size_t size; /* MAPS: of one map */
};

extern const struct row config_rows[CONFIG_ROWS];

struct config_section {
    const char *key, *help;
};
extern const struct config_section config_sections[]; /* ended by key NULL */

static inline bool row_is_list(const struct row *r)
{
    return r->type >= ROW_TEXTS;
}

int row_find(const char *key); /* -1 = none */
/* Whether the key lies in the group: "metrics.listen" in "metrics". */
bool row_in_group(const char *key, const char *group);
bool row_is_group(const char *path);
/* The known key or group nearest to an unknown one. */
bool row_nearest(const char *path, char ret_key[CONFIG_KEY_MAX]);

/* ---- values of a struct (config or map) at `base` --------------------------------------------- */

static inline int64_t *row_int(void *base, const struct row *r)
{
    return (int64_t *)((char *)base + r->offset);
}
static inline double *row_real(void *base, const struct row *r)
{
    return (double *)((char *)base + r->offset);
}
static inline bool *row_bool(void *base, const struct row *r)
{
    return (bool *)((char *)base + r->offset);
}
static inline char **row_text(void *base, const struct row *r)
{
    return (char **)((char *)base + r->offset);
}
static inline int *row_enum(void *base, const struct row *r)
{
    return (int *)((char *)base + r->offset);
}
static inline int *row_count(void *base, const struct row *r)
{
    return (int *)((char *)base + r->offset_n);
}

struct value {
    const char *text; /* NUL-terminated */
    bool quoted;      /* "12" is a text, 12 a number */
};

/* Stores one value; false: *why says what is expected. `folder` is where relative paths start. */
bool value_store(void *base, const struct row *r, const struct value *v, const char *folder,
                 char why[256], bool *nomem);
/* Sets a struct's scalars to their defaults; false when out of memory. */
bool values_default(void *base, const struct row *rows, int n);
void values_free(void *base, const struct row *rows, int n);

/* One more, empty item of a list; NULL when it is full or out of memory. TEXTS and PATHS: a char * to be set. */
void *list_add(void *base, const struct row *r, bool *nomem);
void *list_item(void *base, const struct row *r, int i);
void list_clear(void *base, const struct row *r);

#endif
