/* table.c - see table.h. */
#include "config/table.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
/* The fields of maps: one array a MAPS row. FIELD_OF names the struct while its fields are listed. */
#define FIELD_INT(m, d, l, u, h) {.type = ROW_INT, .key = #m, .help = h, .offset = offsetof(FIELD_OF, m), .def = d, .lo = l, .hi = u},
#define FIELD_TEXT(m, d, max, h) {.type = ROW_TEXT, .key = #m, .help = h, .offset = offsetof(FIELD_OF, m), .def_text = d, .hi = max},
#define FIELD_OF struct config_node
static const struct row fields_nodes[] = {CONFIG_NODE_FIELDS(FIELD_INT, FIELD_TEXT)};
#undef FIELD_OF

#define AT(member) offsetof(struct config, member)
#define LIST_AT(member) .offset = AT(member), .offset_n = AT(n_##member)
const struct row config_rows[CONFIG_ROWS] = {
#define SECTION(k, h)
#define INT(m, k, d, l, u, h) {.type = ROW_INT, .key = k, .help = h, .offset = AT(m), .def = d, .lo = l, .hi = u},
#define REAL(m, k, d, l, u, h) {.type = ROW_REAL, .key = k, .help = h, .offset = AT(m), .def = d, .lo = l, .hi = u},
#define BOOL(m, k, d, h) {.type = ROW_BOOL, .key = k, .help = h, .offset = AT(m), .def = d},
#define TEXT(m, k, d, max, h) {.type = ROW_TEXT, .key = k, .help = h, .offset = AT(m), .def_text = d, .hi = max},
#define PATH(m, k, d, h) {.type = ROW_PATH, .key = k, .help = h, .offset = AT(m), .def_text = d, .hi = 4095},
#define ENUM(m, k, d, lst, h) {.type = ROW_ENUM, .key = k, .help = h, .offset = AT(m), .def_text = d, .list = lst},
#define TEXTS(m, k, most, h) {.type = ROW_TEXTS, .key = k, .help = h, LIST_AT(m), .hi = most},
#define PATHS(m, k, most, h) {.type = ROW_PATHS, .key = k, .help = h, LIST_AT(m), .hi = most},
#define MAPS(m, k, f, t, most, h) {.type = ROW_MAPS, .key = k, .help = h, LIST_AT(m), .hi = most, .size = sizeof(t), \
    .fields = fields_##m, .nfields = sizeof fields_##m / sizeof *fields_##m},
#include "config/config.def"
};

const struct config_section config_sections[] = {
#define SECTION(k, h) {k, h},
#define INT(...)
#define REAL(...)
#define BOOL(...)
#define TEXT(...)
#define PATH(...)
#define ENUM(...)
#define TEXTS(...)
#define PATHS(...)
#define MAPS(...)
#include "config/config.def"
    {NULL, NULL},
};
/* clang-format on */

int row_find(const char *key)
{
    for (int i = 0; i < CONFIG_ROWS; i++)
        if (!strcmp(config_rows[i].key, key))
            return i;
    return -1;
}

bool row_in_group(const char *key, const char *group)
{
    size_t n = strlen(group);
    return !strncmp(key, group, n) && key[n] == '.';
}

bool row_is_group(const char *path)
{
    for (int i = 0; i < CONFIG_ROWS; i++)
        if (row_in_group(config_rows[i].key, path))
            return true;
    return false;
}

/* ---- the nearest known word ------------------------------------------------------------------- */

/* Keeps the candidate when it is nearer than *best edits. */
static void consider(const char *word, const char *candidate, int *best, char *ret, size_t size)
{
    int d = strlen(candidate) > WORD_MAX ? *best : word_distance(word, candidate);
    if (d < *best) {
        *best = d;
        snprintf(ret, size, "%s", candidate);
    }
}

static int farthest(const char *word)
{
    int limit = (int)strlen(word) / 3;
    return limit < 2 ? 3 : limit + 1;
}

bool row_nearest(const char *path, char ret_key[CONFIG_KEY_MAX])
{
    if (strlen(path) > WORD_MAX)
        return false;
    const int from = farthest(path);
    int best = from;
    for (int i = 0; i < CONFIG_ROWS; i++)
        consider(path, config_rows[i].key, &best, ret_key, CONFIG_KEY_MAX);
    for (const struct config_section *s = config_sections; s->key; s++)
        consider(path, s->key, &best, ret_key, CONFIG_KEY_MAX);
    return best < from;
}

/* ---- options ---------------------------------------------------------------------------------- */

/* Units stand at the end of a key; the option leaves them out and names its value after them. */
static const struct {
    const char *suffix, *value;
} units[] = {{"_mib", "MIB"}, {"_s", "S"}, {"_days", "DAYS"}};

static const char *unit_of(const char *key, size_t *ret_stem)
{
    size_t n = strlen(key);
    *ret_stem = n;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i].suffix);
        if (n > len && !strcmp(key + n - len, units[i].suffix)) {
            *ret_stem = n - len;
            return units[i].value;
        }
    }
    return NULL;
}

void config_option_name(enum config_row row, char ret_name[64])
{
    size_t stem;
    const char *key = config_rows[row].key;
    unit_of(key, &stem);
    snprintf(ret_name, 64, "%.*s", (int)stem, key);
    for (char *c = ret_name; *c; c++)
        if (*c == '.' || *c == '_')
            *c = '-';
}

const char *config_option_value(enum config_row row)
{
    static const char *const names[] = {"N",    "X",    "true|false",       "TEXT", "PATH", NULL,
                                        "TEXT", "PATH", "{KEY: VALUE, ...}"};
    size_t stem;
    const struct row *r = &config_rows[row];
    const char *unit = unit_of(r->key, &stem);
    return unit ? unit : r->type == ROW_ENUM ? r->list : names[r->type];
}

bool config_option_nearest(const char *name, char ret_name[64])
{
    if (strlen(name) > WORD_MAX)
        return false;
    const int from = farthest(name);
    int best = from;
    for (int i = 0; i < CONFIG_ROWS; i++) {
        char option[64];
        config_option_name((enum config_row)i, option);
        consider(name, option, &best, ret_name, 64);
    }
    return best < from;
}
