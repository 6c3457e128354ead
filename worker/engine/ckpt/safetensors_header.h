/* safetensors_header.h - the parsed header of a safetensors file, and the elements between file and memory. Private to
 * engine/ckpt. */
#ifndef ENGINE_CKPT_SAFETENSORS_HEADER_H
#define ENGINE_CKPT_SAFETENSORS_HEADER_H

#include "engine/ckpt/safetensors.h"

#include <stdbool.h>

struct header_text {
    char *key, *value; /* owned */
};

struct header {
    struct safetensor *tensor; /* names owned; begin is relative to the data until header_check() */
    uint64_t *end;             /* [n] */
    int n, room;
    struct header_text *meta;
    int metas, meta_room;
};

/* Parses len bytes of JSON: types, counts, dtypes, shapes that fit 63 bits. */
enum status header_parse(struct header *ret_header, const char *json, size_t len, const char *path,
                         struct err *err);
/* Offsets against shapes, gaps, overlaps, duplicates, the length of the data; sorts by name; makes
 * begin absolute. */
enum status header_check(struct header *h, uint64_t data_begin, uint64_t data_bytes,
                         const char *path, struct err *err);
void header_fini(struct header *h);

static inline bool dtype_is_float(enum dtype d)
{
    return d == DTYPE_F64 || d == DTYPE_F32 || d == DTYPE_F16 || d == DTYPE_BF16;
}

/* Elements of a file in the type that they have there, so many at a time. */
#define ELEMENT_CHUNK 8192
union element_chunk {
    double f64[ELEMENT_CHUNK];
    float f32[ELEMENT_CHUNK];
    uint16_t u16[ELEMENT_CHUNK];
};

#endif
