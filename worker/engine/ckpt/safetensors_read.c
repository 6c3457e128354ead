/* safetensors_read.c - see safetensors.h. pread() instead of a mapping: a file that shrinks while
 * it is read gives an error, not a signal. */
#include "engine/ckpt/safetensors_header.h"

#include "base/bf16.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct safetensors {
    char *path;
    int fd;
    struct header header;
};

static enum status read_at(const struct safetensors *f, void *out, uint64_t bytes, uint64_t at,
                           struct err *err)
{
    char *to = out;
    while (bytes) {
        ssize_t n = pread(f->fd, to, bytes > 1u << 30 ? 1u << 30 : bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "reading %s", f->path);
        if (n == 0)
            return err_set(err, ST_CORRUPT, "%s is cut off at byte %llu", f->path,
                           (unsigned long long)at);
        to += n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return ST_OK;
}

static enum status read_header(struct safetensors *f, uint64_t file_bytes, struct err *err)
{
    unsigned char prefix[8];
    uint64_t len = 0;
    if (file_bytes < 8)
        return err_set(err, ST_CORRUPT, "%s is not a safetensors file: it has %llu bytes", f->path,
                       (unsigned long long)file_bytes);
    TRY(read_at(f, prefix, 8, 0, err));
    for (int i = 0; i < 8; i++)
        len |= (uint64_t)prefix[i] << 8 * i;
    if (len > SAFETENSORS_HEADER_MAX || len < 2)
        return err_set(err, ST_CORRUPT,
                       "%s is not a safetensors file: its header would have %llu bytes", f->path,
                       (unsigned long long)len);
    if (len > file_bytes - 8)
        return err_set(err, ST_CORRUPT,
                       "%s is cut off: its header of %llu bytes does not fit into %llu", f->path,
                       (unsigned long long)len, (unsigned long long)file_bytes);
    char *json = malloc(len);
    if (!json)
        return err_set(err, ST_NOMEM, "out of memory reading the header of %s", f->path);
    enum status st = read_at(f, json, len, 8, err);
    if (st == ST_OK)
        st = header_parse(&f->header, json, len, f->path, err);
    free(json);
    return st == ST_OK ? header_check(&f->header, 8 + len, file_bytes - 8 - len, f->path, err) : st;
}

static enum status open_file(struct safetensors *f, const char *path, struct err *err)
{
    struct stat sb;
    f->path = strdup(path);
    if (!f->path)
        return err_set(err, ST_NOMEM, "out of memory opening %s", path);
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &sb))
        return err_errno(err, "checkpoint %s", path);
    if (!S_ISREG(sb.st_mode))
        return err_set(err, ST_INVALID, "%s is not a regular file", path);
    return read_header(f, (uint64_t)sb.st_size, err);
}

enum status safetensors_open(struct safetensors **ret_file, const char *path, struct err *err)
{
    struct safetensors *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(err, ST_NOMEM, "out of memory opening %s", path);
    f->fd = -1;
    enum status st = open_file(f, path, err);
    if (st == ST_OK)
        *ret_file = f;
    else
        safetensors_close(f);
    return st;
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    if (file->fd >= 0)
        close(file->fd);
    header_fini(&file->header);
    free(file->path);
    free(file);
}

int safetensors_count(const struct safetensors *file)
{
    return file->header.n;
}

const struct safetensor *safetensors_at(const struct safetensors *file, int i)
{
    return &file->header.tensor[i];
}

static int by_name(const void *key, const void *item)
{
    return strcmp(key, ((const struct safetensor *)item)->name);
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name)
{
    const struct header *h = &file->header;
    return h->n ? bsearch(name, h->tensor, (size_t)h->n, sizeof *h->tensor, by_name) : NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    for (int i = 0; i < file->header.metas; i++)
        if (!strcmp(file->header.meta[i].key, key))
            return file->header.meta[i].value;
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

static double value_at(const union element_chunk *in, enum dtype d, int64_t i)
{
    if (d == DTYPE_F64)
        return in->f64[i];
    if (d == DTYPE_F32)
        return (double)in->f32[i];
    return (double)(d == DTYPE_F16 ? half_to_float(in->u16[i]) : bf16_to_float(in->u16[i]));
}

static enum status read_converted(struct safetensors *file, const struct safetensor *t,
                                  enum dtype to, int64_t first, int64_t n, void *out,
                                  struct err *err)
{
    union element_chunk chunk;
    size_t width = dtype_bytes(t->dtype);
    for (int64_t done = 0; done < n; done += ELEMENT_CHUNK) {
        int64_t part = n - done < ELEMENT_CHUNK ? n - done : ELEMENT_CHUNK;
        TRY(read_at(file, &chunk, (uint64_t)part * width,
                    t->begin + (uint64_t)(first + done) * width, err));
        for (int64_t i = 0; i < part; i++) {
            double v = value_at(&chunk, t->dtype, i);
            if (to == DTYPE_F64)
                ((double *)out)[done + i] = v;
            else
                ((float *)out)[done + i] = (float)v;
        }
    }
    return ST_OK;
}

enum status safetensors_read(struct safetensors *file, const struct safetensor *t, enum dtype to,
                             int64_t first, int64_t n, void *out, struct err *err)
{
    if (first < 0 || n < 0 || first > t->size || n > t->size - first)
        return err_set(err, ST_INVALID, "%s: tensor '%s' has %lld elements, not [%lld, %lld)",
                       file->path, t->name, (long long)t->size, (long long)first,
                       (long long)first + n);
    size_t width = dtype_bytes(t->dtype);
    if (to == t->dtype)
        return read_at(file, out, (uint64_t)n * width, t->begin + (uint64_t)first * width, err);
    if ((to == DTYPE_F32 || to == DTYPE_F64) && dtype_is_float(t->dtype))
        return read_converted(file, t, to, first, n, out, err);
    return err_set(err, ST_INVALID, "%s: tensor '%s' holds %s, where %s is needed", file->path,
                   t->name, dtype_name(t->dtype), dtype_name(to));
}

static void print_shape(char out[160], int dims, const int64_t *dim)
{
    size_t len = 0;
    out[0] = '\0';
    for (int i = 0; i < dims && len < 150; i++)
        len += (size_t)snprintf(out + len, 160 - len, "%s%lld", i ? "x" : "", (long long)dim[i]);
}

enum status safetensors_load(struct safetensors *file, const char *name, enum dtype to, int dims,
                             const int64_t *dim, void *out, struct err *err)
{
    const struct safetensor *t = safetensors_find(file, name);
    if (!t)
        return err_set(err, ST_INVALID, "%s has no tensor '%s': it belongs to another model",
                       file->path, name);
    if (t->dims != dims || (dims && memcmp(t->dim, dim, (size_t)dims * sizeof *dim) != 0)) {
        char have[160], want[160];
        print_shape(have, t->dims, t->dim);
        print_shape(want, dims, dim);
        return err_set(err, ST_INVALID,
                       "%s: tensor '%s' has shape [%s], the model needs [%s]: it belongs to "
                       "another model",
                       file->path, name, have, want);
    }
    return safetensors_read(file, t, to, 0, t->size, out, err);
}
