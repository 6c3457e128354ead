/* dataset_raw.h - what the streaming parser hands to dataset.c: the file's records as they stand,
 * types and limits checked, nothing joined. Private to engine/data. */
#ifndef ENGINE_DATA_DATASET_RAW_H
#define ENGINE_DATA_DATASET_RAW_H

#include "engine/data/dataset.h"

#include <stddef.h>

#define RAW_RECORDS_MAX 16000000
#define RAW_BOXES_MAX 64000000
#define RAW_SPANS_MAX 256000000
#define RAW_TEXT_MAX ((size_t)4 << 30)
#define RAW_VALUE_MAX (16u << 20) /* bytes of one text or number */
#define RAW_NESTING_MAX 32

struct raw_record {
    int64_t id, original_id;
    size_t caption, file_name; /* offsets into text */
    int32_t width, height, family;
};

struct raw_box {
    int64_t id, image_id;
    double bbox[4]; /* x y w h as written */
    int64_t first_span;
    int32_t spans;
};

struct raw {
    struct raw_record *record;
    struct raw_box *box;
    struct span *span;
    char *text; /* NUL-terminated strings one after another */
    int64_t records, boxes, spans;
    int64_t record_room, box_room, span_room;
    size_t text_len, text_room;
    struct dataset_family family[DATASET_FAMILIES];
    int families;
};

enum status raw_read(struct raw *ret_raw, const char *path, struct err *err);
void raw_fini(struct raw *raw);

#endif
