/* safetensors.h - tensors in files that every framework reads, out and in.
 *
 * Layout: 8 bytes little-endian header length N, N bytes JSON (padded with spaces so that the data
 * begins at a multiple of 8), then the tensors' bytes without gaps. Written sorted by item size
 * (wide first, so that everything is aligned), then by name. Reading trusts nothing: sizes,
 * offsets, overlaps, gaps, duplicates and the file's length are checked when it is opened, before
 * memory is asked for.
 */
#ifndef ENGINE_CKPT_SAFETENSORS_H
#define ENGINE_CKPT_SAFETENSORS_H

#include "base/err.h"
#include "base/hash.h"
#include "engine/core/real.h"

#include <stddef.h>
#include <stdint.h>

#define SAFETENSORS_DIMS 8
#define SAFETENSORS_MAX 200000           /* tensors a file */
#define SAFETENSORS_HEADER_MAX 100000000 /* bytes, as in the official reader */
#define SAFETENSORS_NAME_MAX 511         /* bytes */

/* name in the file, bytes */
#define SAFETENSORS_DTYPES(X)                                                                      \
    X(F64, 8)                                                                                      \
    X(F32, 4) X(F16, 2) X(BF16, 2) X(I64, 8) X(I32, 4) X(I16, 2) X(I8, 1) X(U8, 1) X(BOOL, 1)
enum dtype {
#define X(name, bytes) DTYPE_##name,
    SAFETENSORS_DTYPES(X)
#undef X
        DTYPE_COUNT
};
#ifdef REAL_IS_DOUBLE
#define DTYPE_REAL DTYPE_F64
#else
#define DTYPE_REAL DTYPE_F32
#endif
const char *dtype_name(enum dtype d);
size_t dtype_bytes(enum dtype d);

/* ---- writing --------------------------------------------------------------------------------- */

struct safetensors_out {
    const char *name;
    enum dtype dtype; /* in the file */
    enum dtype from;  /* in memory: the same, or F32/F64 when dtype is F64, F32, F16 or BF16 */
    int dims;
    int64_t dim[SAFETENSORS_DIMS];
    const void *data; /* borrowed; NULL allowed when the tensor has no elements */
    /* NULL, or called right before data is read, in the order of the file: memory may serve one tensor after the other. */
    void (*fill)(void *arg);
    void *arg;
};
struct safetensors_meta {
    const char *key, *value; /* UTF-8 */
};

/* Atomic (base/file.h): the old file stays whole on failure. ST_UNSUPPORTED: a finite number that would be infinite in
 * the file's type. ret_sha (NULL allowed) = SHA-256 of the file. */
enum status safetensors_write(const char *path, const struct safetensors_out *tensor, int tensors,
                              const struct safetensors_meta *meta, int metas,
                              char ret_sha[HASH_HEX_SIZE], struct err *err);

/* ---- reading --------------------------------------------------------------------------------- */

struct safetensor {
    const char *name; /* borrowed */
    enum dtype dtype;
    int dims;
    int64_t dim[SAFETENSORS_DIMS];
    int64_t size;   /* elements */
    uint64_t begin; /* byte offset in the file */
};

struct safetensors;

enum status safetensors_open(struct safetensors **ret_file, const char *path, struct err *err);
void safetensors_close(struct safetensors *file); /* NULL allowed */
int safetensors_count(const struct safetensors *file);
const struct safetensor *safetensors_at(const struct safetensors *file,
                                        int i); /* by name, ascending */
const struct safetensor *safetensors_find(const struct safetensors *file, const char *name);
const char *safetensors_metadata(const struct safetensors *file,
                                 const char *key); /* NULL if none */

/* Elements [first, first+n) of t as `to` into out: `to` is the file's dtype, or F32/F64 for any
 * floating one. ST_INVALID names tensor, dtype wanted and found; ST_CORRUPT when the file is cut
 * off meanwhile. */
enum status safetensors_read(struct safetensors *file, const struct safetensor *t, enum dtype to,
                             int64_t first, int64_t n, void *out, struct err *err);
/* The whole tensor, which must have this shape; the error names both shapes. */
enum status safetensors_load(struct safetensors *file, const char *name, enum dtype to, int dims,
                             const int64_t *dim, void *out, struct err *err);

/* Bit patterns to and from float; round to nearest even, overflow to infinity, NaN stays NaN. */
uint16_t float_to_half(float x);
float half_to_float(uint16_t h);

#endif
