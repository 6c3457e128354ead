/* dataset.h - annotations in MDETR's format (docs/spec/data.md 1), read as a stream into flat
 * arrays.
 *
 * A record is one caption with its boxes. The set is immutable after dataset_open(); all pointers
 * it hands out are borrowed and live until dataset_close(). Memory grows with the records, never
 * with the file: no document tree is built. Every fault names the file, the record or annotation id
 * (or the byte offset) and what to do; the set is refused whole.
 */
#ifndef ENGINE_DATA_DATASET_H
#define ENGINE_DATA_DATASET_H

#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

#define DATASET_CAPTION_MAX 4096 /* code points */
#define DATASET_SIDE_MAX 8192    /* pixels */
#define DATASET_FAMILIES 15      /* different values of "family" a file */
#define DATASET_FAMILY_MAX 31    /* bytes of its name */

struct span {
    int32_t begin, end; /* [begin,end) in code points of the caption */
};

struct record_box {
    float x0, y0, x1, y1; /* pixels of the original image, inside it, x1 > x0, y1 > y0 */
    int32_t spans;
    const struct span *span;
};

struct record {
    int64_t id, original_id; /* original_id = id when the file has none */
    const char *caption;     /* UTF-8 */
    const char *file_name;   /* as written in the file */
    int32_t image;           /* index of the picture, equal for records that share it */
    int32_t width, height;   /* pixels */
    int32_t family;          /* index for dataset_family(), -1 = none */
    int32_t boxes;
    const struct record_box *box;
};

/* A family of expressions and what guessing blindly reaches (NaN where the file does not say). */
struct dataset_family {
    char name[DATASET_FAMILY_MAX + 1];
    int64_t records;
    double random, head_noun, attributes;
};

struct dataset_config {
    const char *path;       /* the JSON file */
    const char *image_root; /* NULL: the folder of path */
    /* Every picture must be there, PNG, of its record's size: 24 bytes of each are read. */
    bool check_images;
};

struct dataset;

/* ST_NOT_FOUND: the file or a picture; ST_CORRUPT: not JSON; ST_INVALID: a record breaks the rules;
 * ST_LIMIT: one of the limits of docs/spec/data.md. */
enum status dataset_open(struct dataset **ret_set, const struct dataset_config *cfg,
                         struct err *err);
void dataset_close(struct dataset *set); /* NULL allowed */

const char *dataset_path(const struct dataset *set);
int64_t dataset_count(const struct dataset *set); /* records, in the file's order */
void dataset_get(const struct dataset *set, int64_t i, struct record *ret_record);
int32_t dataset_images(const struct dataset *set);                  /* different pictures */
char *dataset_image_path(const struct dataset *set, int32_t image); /* owned by the caller */
int dataset_families(const struct dataset *set);
const struct dataset_family *dataset_family(const struct dataset *set, int family);
int64_t dataset_boxes(const struct dataset *set);

/* ST_INVALID names the first record that has not exactly one box: such a set cannot be evaluated as
 * referring expressions. */
enum status dataset_require_one_box(const struct dataset *set, struct err *err);

/* SHA-256 over the files' bytes (docs/spec/data.md 1), for the reproducibility record. NULL and ""
 * are left out. */
enum status dataset_digest(char ret_hex[HASH_HEX_SIZE], const char *const *path, int paths,
                           struct err *err);

#endif
