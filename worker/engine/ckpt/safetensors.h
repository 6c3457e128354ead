/* safetensors.h - the safetensors file format: write as a stream, read without trust.
 *
 * Layout: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets}, ...,
 * "__metadata__": {key: text}}, then the tensors' bytes, contiguous and without holes. Written headers are padded
 * with spaces so that data starts at a multiple of 8.
 */
#ifndef ENGINE_SAFETENSORS_H
#define ENGINE_SAFETENSORS_H

#include "base/err.h"
#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>

enum st_dtype { DTYPE_F32, DTYPE_F64, DTYPE_F16, DTYPE_BF16, DTYPE_I32, DTYPE_I64, DTYPE_U8, DTYPE_COUNT };

#define ST_DIMS 8

struct st_tensor {
    const char *name; /* borrowed */
    enum st_dtype dtype;
    int dims;
    int64_t dim[ST_DIMS];
};

/* ---- writing: declare all tensors, then give their data in the same order ----------------------- */

struct st_writer;

enum status st_writer_create(struct st_writer **ret_w, struct err *err);
void st_writer_destroy(struct st_writer *w); /* abandons an unfinished file; NULL allowed */
/* Names and values are copied. The first failure is kept and reported by st_writer_open. */
void st_writer_meta(struct st_writer *w, const char *key, const char *value);
void st_writer_declare(struct st_writer *w, const struct st_tensor *t);
/* Bytes of the whole file; after all declarations. */
int64_t st_writer_bytes(struct st_writer *w);
enum status st_writer_open(struct st_writer *w, const char *path, struct err *err);
/* Data of the next tensors, in any portions. from_f32 converts to the declared dtype (F32, F16, BF16, F64) on the way;
 * it is for float data of the tensors that are due. */
enum status st_writer_add(struct st_writer *w, const void *data, size_t bytes, struct err *err);
enum status st_writer_add_f32(struct st_writer *w, const float *data, int64_t n, struct err *err);
/* fsync, rename into place; the content's SHA-256 and size. ST_INTERNAL if data is missing. */
enum status st_writer_finish(struct st_writer *w, char ret_sha256[HASH_HEX_SIZE], int64_t *ret_bytes,
                             struct err *err);

/* ---- reading ------------------------------------------------------------------------------------- */

struct st_file;

/* Maps the file and checks everything that can be checked: header length and depth, dtypes, shapes times size equal
 * offsets, no overlap, no hole, file long enough. ST_CORRUPT names the file, the tensor and the byte. */
enum status st_file_open(struct st_file **ret_f, const char *path, struct err *err);
void st_file_close(struct st_file *f); /* NULL allowed */
int st_file_count(const struct st_file *f);
const struct st_tensor *st_file_at(const struct st_file *f, int i);
int st_file_find(const struct st_file *f, const char *name); /* index or -1 */
const char *st_file_meta(const struct st_file *f, const char *key); /* NULL if none */
const void *st_file_data(const struct st_file *f, int i, size_t *ret_bytes); /* borrowed, unaligned */
/* Converts F32, F64, F16, BF16 to float; exactly n elements or ST_INVALID. */
enum status st_file_read_f32(const struct st_file *f, int i, float *ret, int64_t n, struct err *err);

#endif
