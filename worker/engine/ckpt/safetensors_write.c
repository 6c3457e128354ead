/* safetensors_write.c - see safetensors.h. The header is made from a sorted list of pointers; the
 * data follow in the same order through one buffer that converts and hashes. */
#include "base/bf16.h"
#include "base/buf.h"
#include "base/file.h"
#include "engine/ckpt/safetensors_header.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out_file {
    struct file_writer file;
    struct hash *hash;
};

static int64_t elements(const struct safetensors_out *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->dims; i++)
        n *= t->dim[i];
    return n;
}

static bool converts(const struct safetensors_out *t)
{
    return t->from == t->dtype ||
           ((t->from == DTYPE_F32 || t->from == DTYPE_F64) && dtype_is_float(t->dtype));
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_out *x = *(const struct safetensors_out *const *)a;
    const struct safetensors_out *y = *(const struct safetensors_out *const *)b;
    size_t wide = dtype_bytes(x->dtype), other = dtype_bytes(y->dtype);
    return wide != other ? (wide < other) - (wide > other) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_out *x = *(const struct safetensors_out *const *)a;
    const struct safetensors_out *y = *(const struct safetensors_out *const *)b;
    return strcmp(x->name, y->name);
}

static enum status check(const char *path, const struct safetensors_out *t, struct err *err)
{
    size_t len = t->name ? strlen(t->name) : 0;
    if (!len || len > SAFETENSORS_NAME_MAX || !strcmp(t->name, "__metadata__"))
        return err_set(err, ST_INVALID, "writing %s: '%.40s' is not a possible tensor name", path,
                       t->name ? t->name : "");
    if (t->dims < 0 || t->dims > SAFETENSORS_DIMS)
        return err_set(err, ST_INVALID, "writing %s: tensor '%s' has %d dimensions, at most %d",
                       path, t->name, t->dims, SAFETENSORS_DIMS);
    int64_t n = 1;
    for (int i = 0; i < t->dims; i++)
        if (t->dim[i] < 0 || __builtin_mul_overflow(n, t->dim[i], &n) || n > INT64_MAX / 16)
            return err_set(err, ST_INVALID, "writing %s: tensor '%s' has an impossible shape", path,
                           t->name);
    if (!converts(t) || (n && !t->data))
        return err_set(err, ST_INVALID, "writing %s: tensor '%s' cannot become %s from %s data",
                       path, t->name, dtype_name(t->dtype), dtype_name(t->from));
    return ST_OK;
}

/* ---- header ---------------------------------------------------------------------------------- */

static void put_string(struct buf *b, const char *s)
{
    buf_puts(b, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c < 0x20)
            buf_printf(b, "\\u%04x", c);
        else
            buf_add(b, s, 1);
    }
    buf_puts(b, "\"");
}

static void put_metadata(struct buf *b, const struct safetensors_meta *meta, int metas)
{
    buf_puts(b, "\"__metadata__\":{");
    for (int i = 0; i < metas; i++) {
        buf_puts(b, i ? "," : "");
        put_string(b, meta[i].key);
        buf_puts(b, ":");
        put_string(b, meta[i].value);
    }
    buf_puts(b, "}");
}

static uint64_t put_tensor(struct buf *b, const struct safetensors_out *t, uint64_t begin)
{
    uint64_t end = begin + (uint64_t)elements(t) * dtype_bytes(t->dtype);
    put_string(b, t->name);
    buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype));
    for (int i = 0; i < t->dims; i++)
        buf_printf(b, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    buf_printf(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
               (unsigned long long)end);
    return end;
}

/* Eight bytes of length, then the JSON, padded to a multiple of 8. */
static void put_header(struct buf *b, const struct safetensors_out *const *sorted, int tensors,
                       const struct safetensors_meta *meta, int metas)
{
    uint64_t at = 0;
    buf_add(b, "\0\0\0\0\0\0\0\0", 8);
    buf_puts(b, "{");
    if (metas)
        put_metadata(b, meta, metas);
    for (int i = 0; i < tensors; i++) {
        buf_puts(b, i || metas ? "," : "");
        at = put_tensor(b, sorted[i], at);
    }
    buf_puts(b, "}");
    while (buf_ok(b) && b->len % 8)
        buf_puts(b, " ");
    for (int i = 0; i < 8 && buf_ok(b); i++)
        b->data[i] = (char)((uint64_t)(b->len - 8) >> 8 * i);
}

/* ---- data ------------------------------------------------------------------------------------ */

static enum status put(struct out_file *f, const void *data, size_t bytes, struct err *err)
{
    hash_add(f->hash, data, bytes);
    return file_writer_add(&f->file, data, bytes, err);
}

static double source_at(const struct safetensors_out *t, int64_t i)
{
    return t->from == DTYPE_F64 ? ((const double *)t->data)[i] : ((const float *)t->data)[i];
}

static double stored_as(enum dtype d, double v, union element_chunk *out, int64_t i)
{
    switch (d) {
    case DTYPE_F64:
        return out->f64[i] = v;
    case DTYPE_F32:
        return (double)(out->f32[i] = (float)v);
    case DTYPE_F16:
        return (double)half_to_float(out->u16[i] = float_to_half((float)v));
    default:
        return (double)bf16_to_float(out->u16[i] = bf16_of((float)v));
    }
}

/* A number that becomes infinite on the way makes a model that answers NaN somewhere else. */
static enum status convert(const struct out_file *f, const struct safetensors_out *t, int64_t first,
                           int64_t n, union element_chunk *out, struct err *err)
{
    for (int64_t i = 0; i < n; i++) {
        double v = source_at(t, first + i);
        if (!isfinite(stored_as(t->dtype, v, out, i)) && isfinite(v))
            return err_set(err, ST_UNSUPPORTED,
                           "writing %s: tensor '%s' holds %g, which is more than %s can; write f32",
                           f->file.path, t->name, v, dtype_name(t->dtype));
    }
    return ST_OK;
}

static enum status put_data(struct out_file *f, const struct safetensors_out *t, struct err *err)
{
    int64_t n = elements(t);
    if (!n)
        return ST_OK;
    if (t->fill)
        t->fill(t->arg);
    if (t->from == t->dtype)
        return put(f, t->data, (size_t)n * dtype_bytes(t->dtype), err);
    union element_chunk chunk;
    for (int64_t i = 0; i < n; i += ELEMENT_CHUNK) {
        int64_t part = n - i < ELEMENT_CHUNK ? n - i : ELEMENT_CHUNK;
        TRY(convert(f, t, i, part, &chunk, err));
        TRY(put(f, &chunk, (size_t)part * dtype_bytes(t->dtype), err));
    }
    return ST_OK;
}

static enum status put_all(struct out_file *f, const struct buf *header,
                           const struct safetensors_out *const *sorted, int tensors,
                           struct err *err)
{
    TRY(put(f, buf_str(header), header->len, err));
    for (int i = 0; i < tensors; i++)
        TRY(put_data(f, sorted[i], err));
    return file_writer_commit(&f->file, err);
}

static enum status sort_checked(const char *path, const struct safetensors_out *tensor, int tensors,
                                const struct safetensors_out **sorted, struct err *err)
{
    for (int i = 0; i < tensors; i++) {
        TRY(check(path, &tensor[i], err));
        sorted[i] = &tensor[i];
    }
    qsort(sorted, (size_t)tensors, sizeof *sorted, by_name);
    for (int i = 1; i < tensors; i++)
        if (!strcmp(sorted[i]->name, sorted[i - 1]->name))
            return err_set(err, ST_INVALID, "writing %s: tensor '%s' is given twice", path,
                           sorted[i]->name);
    qsort(sorted, (size_t)tensors, sizeof *sorted, by_place);
    return ST_OK;
}

static enum status write_sorted(const char *path, const struct safetensors_out *const *sorted,
                                int tensors, const struct safetensors_meta *meta, int metas,
                                char ret_sha[HASH_HEX_SIZE], struct err *err)
{
    struct out_file f = {.file = {.fd = -1}, .hash = hash_create()};
    struct buf header;
    buf_init(&header, SAFETENSORS_HEADER_MAX);
    put_header(&header, sorted, tensors, meta, metas);
    enum status st = ST_OK;
    if (!f.hash || !buf_ok(&header))
        st = err_set(err, ST_LIMIT, "writing %s: the header of %d tensors does not fit", path,
                     tensors);
    if (st == ST_OK)
        st = file_writer_open(&f.file, path, 0666, err);
    if (st == ST_OK)
        st = put_all(&f, &header, sorted, tensors, err);
    if (st == ST_OK && ret_sha)
        hash_finish(f.hash, ret_sha);
    file_writer_abandon(&f.file);
    hash_destroy(f.hash);
    buf_fini(&header);
    return st;
}

enum status safetensors_write(const char *path, const struct safetensors_out *tensor, int tensors,
                              const struct safetensors_meta *meta, int metas,
                              char ret_sha[HASH_HEX_SIZE], struct err *err)
{
    if (tensors < 0 || tensors > SAFETENSORS_MAX)
        return err_set(err, ST_LIMIT, "writing %s: %d tensors, at most %d", path, tensors,
                       SAFETENSORS_MAX);
    const struct safetensors_out **sorted = calloc((size_t)tensors + 1, sizeof *sorted);
    if (!sorted)
        return err_set(err, ST_NOMEM, "out of memory writing %s", path);
    enum status st = sort_checked(path, tensor, tensors, sorted, err);
    if (st == ST_OK)
        st = write_sorted(path, sorted, tensors, meta, metas, ret_sha, err);
    free(sorted);
    return st;
}
