/* schema.c - see schema.h. */
#include "jobfile/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define AT(member) offsetof(struct jobfile, member)
const struct key schema_keys[KEY_COUNT] = {
#define SECTION(k, h)
#define INT(m, k, d, l, u, h) {.type = TYPE_INT, .key = k, .len = sizeof k - 1, .help = h, .offset = AT(m), .def = d, .lo = l, .hi = u},
#define REAL(m, k, d, l, u, h) {.type = TYPE_REAL, .key = k, .len = sizeof k - 1, .help = h, .offset = AT(m), .def = d, .lo = l, .hi = u},
#define BOOL(m, k, d, h) {.type = TYPE_BOOL, .key = k, .len = sizeof k - 1, .help = h, .offset = AT(m), .def = d},
#define TEXT(m, k, d, max, h) {.type = TYPE_TEXT, .key = k, .len = sizeof k - 1, .help = h, .offset = AT(m), .def_text = d, .hi = max},
#define PATH(m, k, d, h) {.type = TYPE_PATH, .key = k, .len = sizeof k - 1, .help = h, .offset = AT(m), .def_text = d, .hi = 4095},
#define ENUM(m, k, d, lst, h) {.type = TYPE_ENUM, .key = k, .len = sizeof k - 1, .help = h, .offset = AT(m), .def_text = d, .list = lst},
#include "jobfile/schema.def"
};

const struct section schema_sections[] = {
#define SECTION(k, h) {k, h},
#define INT(m, k, d, l, u, h)
#define REAL(m, k, d, l, u, h)
#define BOOL(m, k, d, h)
#define TEXT(m, k, d, max, h)
#define PATH(m, k, d, h)
#define ENUM(m, k, d, lst, h)
#include "jobfile/schema.def"
};
/* clang-format on */
const int schema_nsections = sizeof schema_sections / sizeof *schema_sections;

int schema_find(const char *path)
{
    size_t n = strlen(path);
    for (int i = 0; i < KEY_COUNT; i++)
        if (schema_keys[i].len == n && !memcmp(schema_keys[i].key, path, n))
            return i;
    return -1;
}

bool schema_in_group(const char *key, const char *group)
{
    size_t n = strlen(group);
    return !strncmp(key, group, n) && key[n] == '.';
}

bool schema_is_group(const char *path)
{
    size_t n = strlen(path);
    for (int i = 0; i < KEY_COUNT; i++)
        if (schema_keys[i].len > n && schema_keys[i].key[n] == '.' &&
            !memcmp(schema_keys[i].key, path, n))
            return true;
    return false;
}

/* ---- the nearest known key ------------------------------------------------------------------- */

/* Twice the edits; a key that was only put into another section counts as one edit and a half, so
 * that a slip of the finger in the section's own name wins. */
static int key_distance(const char *path, const char *candidate, int best)
{
    const char *a = strrchr(path, '.'), *b = strrchr(candidate, '.');
    bool same_leaf = !strcmp(a ? a + 1 : path, b ? b + 1 : candidate);
    int longer = abs((int)strlen(path) - (int)strlen(candidate));
    /* Most candidates are ruled out by their length alone. */
    int d = 2 * longer >= best ? best : 2 * word_distance(path, candidate);
    return same_leaf && d > 3 ? 3 : d;
}

bool schema_nearest(const char *path, char ret_key[JOBFILE_KEY_MAX])
{
    if (strlen(path) >= JOBFILE_KEY_MAX)
        return false;
    const char *leaf = strrchr(path, '.');
    int limit = (int)strlen(leaf ? leaf + 1 : path) / 3;
    int best = 2 * (limit < 2 ? 2 : limit) + 1;
    bool found = false;
    for (int i = 0; i < KEY_COUNT; i++) {
        /* The key itself and each group above it. */
        char candidate[JOBFILE_KEY_MAX];
        snprintf(candidate, sizeof candidate, "%s", schema_keys[i].key);
        for (char *dot = candidate; dot;) {
            int d = key_distance(path, candidate, best);
            if (d < best) {
                best = d;
                found = true;
                snprintf(ret_key, JOBFILE_KEY_MAX, "%s", candidate);
            }
            dot = strrchr(candidate, '.');
            if (dot)
                *dot = '\0';
        }
    }
    return found;
}
