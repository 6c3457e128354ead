/* schema.h - schema.def as a table. Inside jobfile only.
 *
 * Every reader of the list (checks, defaults, print, help) walks schema_keys; enum key_id names a
 * row, so that a cross-check can speak of KEY_train_batch.
 */
#ifndef JOBFILE_SCHEMA_H
#define JOBFILE_SCHEMA_H

#include "base/text.h"
#include "jobfile/jobfile.h"

#define JOBFILE_KEY_MAX 96 /* bytes of a dotted key with its NUL, as in struct finding */

enum key_id {
#define SECTION(key, help)
#define INT(member, key, def, lo, hi, help) KEY_##member,
#define REAL(member, key, def, lo, hi, help) KEY_##member,
#define BOOL(member, key, def, help) KEY_##member,
#define TEXT(member, key, def, max, help) KEY_##member,
#define PATH(member, key, def, help) KEY_##member,
#define ENUM(member, key, def, list, help) KEY_##member,
#include "jobfile/schema.def"
    KEY_COUNT
};

enum key_type { TYPE_INT, TYPE_REAL, TYPE_BOOL, TYPE_TEXT, TYPE_PATH, TYPE_ENUM };

struct key {
    enum key_type type;
    const char *key, *help;
    size_t len;           /* of the key, without its NUL */
    size_t offset;        /* of the member in struct jobfile */
    double def, lo, hi;   /* INT, REAL; BOOL uses def; TEXT has its length limit in hi */
    const char *def_text; /* TEXT, PATH, ENUM */
    const char *list;     /* ENUM: "a|b|c" */
};
extern const struct key schema_keys[KEY_COUNT];

struct section {
    const char *key, *help;
};
extern const struct section schema_sections[];
extern const int schema_nsections;

/* Row of a dotted key, or -1. */
int schema_find(const char *path);
/* Whether keys exist below it: "phases", "phases.search". */
bool schema_is_group(const char *path);
/* Whether the key lies in the group: "train.batch" in "train". */
bool schema_in_group(const char *key, const char *group);

/* The known key or group nearest to an unknown one; false when none is near enough to be meant. */
bool schema_nearest(const char *path, char ret_key[JOBFILE_KEY_MAX]);

static inline int64_t *key_int(struct jobfile *job, int key)
{
    return (int64_t *)((char *)job + schema_keys[key].offset);
}
static inline double *key_real(struct jobfile *job, int key)
{
    return (double *)((char *)job + schema_keys[key].offset);
}
static inline bool *key_bool(struct jobfile *job, int key)
{
    return (bool *)((char *)job + schema_keys[key].offset);
}
static inline char **key_text(struct jobfile *job, int key)
{
    return (char **)((char *)job + schema_keys[key].offset);
}
static inline int *key_enum(struct jobfile *job, int key)
{
    return (int *)((char *)job + schema_keys[key].offset);
}

#endif
