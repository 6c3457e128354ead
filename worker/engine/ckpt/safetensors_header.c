/* safetensors_header.c - hostile JSON in, checked tensors out. See safetensors_header.h.
 *
 * yajl's events instead of a document, because a document keeps only the last of two equal keys.
 */
#include "engine/ckpt/safetensors_header.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#define META_MAX 10000

enum place { AT_FILE, AT_ROOT, AT_META, AT_TENSOR, AT_SHAPE, AT_OFFSETS };
enum { SEEN_DTYPE = 1, SEEN_SHAPE = 2, SEEN_OFFSETS = 4, SEEN_ALL = 7 };

struct parser {
    struct header *h;
    const char *path;
    struct err *err;
    enum place at;
    bool metadata;  /* the root key whose value comes is __metadata__ */
    unsigned field; /* SEEN_ bit whose value comes; 0: another key */
    unsigned seen;
    int offsets;
};

static struct safetensor *last(struct parser *p)
{
    return &p->h->tensor[p->h->n - 1];
}

static int refuse(struct parser *p, const char *what)
{
    if (p->at >= AT_TENSOR)
        err_set(p->err, ST_CORRUPT, "%s: tensor '%s': %s", p->path, last(p)->name, what);
    else
        err_set(p->err, ST_CORRUPT, "%s: the header %s", p->path, what);
    return 0;
}

static int no_memory(struct parser *p)
{
    err_set(p->err, ST_NOMEM, "out of memory reading the header of %s", p->path);
    return 0;
}

/* Makes room for one more; arrays double. */
static bool room(void *array, int used, int *have, size_t item)
{
    void **a = array;
    if (used < *have)
        return true;
    int n = *have ? *have * 2 : 64;
    void *grown = realloc(*a, (size_t)n * item);
    if (!grown)
        return false;
    *a = grown;
    *have = n;
    return true;
}

static int add_tensor(struct parser *p, const unsigned char *name, size_t len)
{
    struct header *h = p->h;
    if (!len || len > SAFETENSORS_NAME_MAX || memchr(name, 0, len))
        return refuse(p, "holds a tensor name that is empty, longer than 511 bytes or has a NUL");
    if (h->n == SAFETENSORS_MAX)
        return refuse(p, "lists more than 200000 tensors");
    int have = h->room;
    if (!room(&h->end, h->n, &have, sizeof *h->end))
        return no_memory(p);
    if (!room(&h->tensor, h->n, &h->room, sizeof *h->tensor))
        return no_memory(p);
    char *copy = strndup((const char *)name, len);
    if (!copy)
        return no_memory(p);
    h->tensor[h->n] = (struct safetensor){.name = copy, .size = 1};
    h->end[h->n++] = 0;
    return 1;
}

static int add_meta(struct parser *p, const unsigned char *key, size_t len)
{
    struct header *h = p->h;
    if (h->metas == META_MAX || memchr(key, 0, len))
        return refuse(p, "has impossible metadata");
    if (!room(&h->meta, h->metas, &h->meta_room, sizeof *h->meta))
        return no_memory(p);
    struct header_text *m = &h->meta[h->metas];
    *m = (struct header_text){strndup((const char *)key, len), NULL};
    if (!m->key)
        return no_memory(p);
    h->metas++;
    return 1;
}

/* ---- yajl's events --------------------------------------------------------------------------- */

static int on_key(void *arg, const unsigned char *s, size_t len)
{
    struct parser *p = arg;
    if (p->at == AT_META)
        return add_meta(p, s, len);
    if (p->at == AT_ROOT) {
        p->metadata = len == 12 && !memcmp(s, "__metadata__", 12);
        return p->metadata || add_tensor(p, s, len);
    }
    p->field = len == 5 && !memcmp(s, "dtype", 5)            ? SEEN_DTYPE
               : len == 5 && !memcmp(s, "shape", 5)          ? SEEN_SHAPE
               : len == 12 && !memcmp(s, "data_offsets", 12) ? SEEN_OFFSETS
                                                             : 0;
    if (!p->field || (p->seen & p->field))
        return refuse(p, "has a key other than dtype, shape and data_offsets, or one twice");
    p->seen |= p->field;
    return 1;
}

static int on_string(void *arg, const unsigned char *s, size_t len)
{
    struct parser *p = arg;
    if (p->at == AT_META) {
        struct header_text *m = &p->h->meta[p->h->metas - 1];
        if (memchr(s, 0, len))
            return refuse(p, "has metadata with a NUL byte");
        m->value = strndup((const char *)s, len);
        return m->value ? 1 : no_memory(p);
    }
    if (p->at != AT_TENSOR || p->field != SEEN_DTYPE)
        return refuse(p, "has a text where none belongs");
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (strlen(dtype_name((enum dtype)d)) == len &&
            !memcmp(dtype_name((enum dtype)d), s, len)) {
            last(p)->dtype = (enum dtype)d;
            return 1;
        }
    char text[96];
    snprintf(text, sizeof text, "the element type '%.*s' is not known here",
             (int)(len > 20 ? 20 : len), (const char *)s);
    return refuse(p, text);
}

static int on_integer(void *arg, long long v)
{
    struct parser *p = arg;
    if (v < 0)
        return refuse(p, "has a negative number");
    if (p->at == AT_OFFSETS) {
        if (p->offsets >= 2)
            return refuse(p, "data_offsets must be two numbers");
        *(p->offsets++ ? &p->h->end[p->h->n - 1] : &last(p)->begin) = (uint64_t)v;
        return 1;
    }
    if (p->at != AT_SHAPE)
        return refuse(p, "has a number where none belongs");
    struct safetensor *t = last(p);
    if (t->dims == SAFETENSORS_DIMS)
        return refuse(p, "has more than 8 dimensions");
    t->dim[t->dims++] = v;
    if (__builtin_mul_overflow(t->size, (int64_t)v, &t->size) || t->size > INT64_MAX / 16)
        return refuse(p, "the shape multiplies to more elements than there can be");
    return 1;
}

static int on_other(void *arg)
{
    return refuse(arg, "has null, true or false where none belongs");
}

static int on_bool(void *arg, int v)
{
    (void)v;
    return on_other(arg);
}

static int on_double(void *arg, double v)
{
    (void)v;
    return refuse(arg, "has a number that is not an integer");
}

static int on_map_start(void *arg)
{
    struct parser *p = arg;
    if (p->at == AT_FILE) {
        p->at = AT_ROOT;
        return 1;
    }
    if (p->at != AT_ROOT)
        return refuse(p, "has an object where none belongs");
    p->at = p->metadata ? AT_META : AT_TENSOR;
    p->seen = p->field = 0;
    return 1;
}

static int on_map_end(void *arg)
{
    struct parser *p = arg;
    if (p->at == AT_TENSOR && p->seen != SEEN_ALL)
        return refuse(p, "lacks dtype, shape or data_offsets");
    p->at = p->at == AT_ROOT ? AT_FILE : AT_ROOT;
    return 1;
}

static int on_array_start(void *arg)
{
    struct parser *p = arg;
    if (p->at != AT_TENSOR || (p->field != SEEN_SHAPE && p->field != SEEN_OFFSETS))
        return refuse(p, "has a list where none belongs");
    p->at = p->field == SEEN_SHAPE ? AT_SHAPE : AT_OFFSETS;
    p->offsets = 0;
    return 1;
}

static int on_array_end(void *arg)
{
    struct parser *p = arg;
    if (p->at == AT_OFFSETS && p->offsets != 2)
        return refuse(p, "data_offsets must be two numbers");
    p->at = AT_TENSOR;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_other,
    .yajl_boolean = on_bool,
    .yajl_integer = on_integer,
    .yajl_double = on_double,
    .yajl_string = on_string,
    .yajl_start_map = on_map_start,
    .yajl_map_key = on_key,
    .yajl_end_map = on_map_end,
    .yajl_start_array = on_array_start,
    .yajl_end_array = on_array_end,
};

/* ---- interface ------------------------------------------------------------------------------- */

enum status header_parse(struct header *ret_header, const char *json, size_t len, const char *path,
                         struct err *err)
{
    struct header h = {0};
    struct err own = {0};
    struct parser p = {.h = &h, .path = path, .err = &own};
    yajl_handle y = yajl_alloc(&callbacks, NULL, &p);
    if (!y)
        return err_set(err, ST_NOMEM, "out of memory reading %s", path);
    yajl_status ys = yajl_parse(y, (const unsigned char *)json, len);
    if (ys == yajl_status_ok)
        ys = yajl_complete_parse(y);
    enum status st = ST_OK;
    if (ys == yajl_status_client_canceled)
        st = own.code;
    else if (ys != yajl_status_ok || p.at != AT_FILE)
        st = err_set(&own, ST_CORRUPT, "%s: the header is not valid JSON at byte %zu", path,
                     8 + yajl_get_bytes_consumed(y));
    yajl_free(y);
    if (st == ST_OK) {
        *ret_header = h;
        return ST_OK;
    }
    header_fini(&h);
    return err_set(err, st, "%s", own.text);
}

void header_fini(struct header *h)
{
    for (int i = 0; i < h->n; i++)
        free((char *)h->tensor[i].name);
    for (int i = 0; i < h->metas; i++) {
        free(h->meta[i].key);
        free(h->meta[i].value);
    }
    free(h->tensor);
    free(h->end);
    free(h->meta);
    *h = (struct header){0};
}

static int by_begin(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size); /* tensors without elements first */
}

static int by_name(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static uint64_t bytes_of(const struct safetensor *t)
{
    return (uint64_t)t->size * dtype_bytes(t->dtype);
}

/* Every tensor begins where the one before ends. */
static enum status check_places(struct header *h, uint64_t data_bytes, const char *path,
                                struct err *err)
{
    uint64_t at = 0;
    if (h->n)
        qsort(h->tensor, (size_t)h->n, sizeof *h->tensor, by_begin);
    for (int i = 0; i < h->n; i++) {
        const struct safetensor *t = &h->tensor[i];
        if (t->begin != at)
            return err_set(err, ST_CORRUPT,
                           "%s: tensor '%s' begins at data byte %llu, but the one before ends at "
                           "%llu: tensors overlap or leave a gap",
                           path, t->name, (unsigned long long)t->begin, (unsigned long long)at);
        at += bytes_of(t);
        if (at > data_bytes)
            return err_set(err, ST_CORRUPT,
                           "%s is cut off: tensor '%s' ends at data byte %llu of %llu", path,
                           t->name, (unsigned long long)at, (unsigned long long)data_bytes);
    }
    if (at != data_bytes)
        return err_set(err, ST_CORRUPT, "%s holds %llu bytes after its last tensor", path,
                       (unsigned long long)(data_bytes - at));
    return ST_OK;
}

enum status header_check(struct header *h, uint64_t data_begin, uint64_t data_bytes,
                         const char *path, struct err *err)
{
    if (!h->n && !data_bytes) /* an empty file is fine, and has no arrays to sort */
        return ST_OK;
    for (int i = 0; i < h->n; i++) {
        const struct safetensor *t = &h->tensor[i];
        if (h->end[i] < t->begin || h->end[i] - t->begin != bytes_of(t))
            return err_set(err, ST_CORRUPT,
                           "%s: tensor '%s': data_offsets [%llu, %llu] do not fit its shape and "
                           "type, which need %llu bytes",
                           path, t->name, (unsigned long long)t->begin,
                           (unsigned long long)h->end[i], (unsigned long long)bytes_of(t));
    }
    TRY(check_places(h, data_bytes, path, err));
    qsort(h->tensor, (size_t)h->n, sizeof *h->tensor, by_name);
    for (int i = 0; i < h->n; i++) {
        h->tensor[i].begin += data_begin;
        if (i && !strcmp(h->tensor[i].name, h->tensor[i - 1].name))
            return err_set(err, ST_CORRUPT, "%s: tensor '%s' occurs twice", path,
                           h->tensor[i].name);
    }
    return ST_OK;
}
