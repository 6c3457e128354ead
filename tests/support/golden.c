/* golden.c - the reader of golden files. */
#include "golden.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *read_all(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s; make it with the script beside it", path);
    fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    char *data = malloc((size_t)len + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)len, f), len);
    fclose(f);
    data[len] = 0;
    *ret_len = (size_t)len;
    return data;
}

/* The header line at p; returns where its bytes begin. */
static const char *read_header(struct golden_array *a, const char *p)
{
    char type[4] = "";
    int used = 0;
    assert_int_equal(sscanf(p, "%159s %3s %d%n", a->name, type, &a->dims, &used), 3);
    assert_in_range(a->dims, 0, 4);
    p += used;
    a->type = type[0];
    a->size = 1;
    for (int i = 0; i < a->dims; i++) {
        char *end;
        a->dim[i] = strtoll(p, &end, 10);
        a->size *= a->dim[i];
        p = end;
    }
    p = strchr(p, '\n');
    assert_non_null(p);
    a->bytes = p + 1;
    return p + 1;
}

void golden_open(struct golden *g, const char *path)
{
    size_t len;
    *g = (struct golden){.data = read_all(path, &len)};
    const char *p = g->data, *end = g->data + len;
    if (strncmp(p, "golden 1\n", 9) != 0)
        fail_msg("%s is no golden file of version 1", path);
    for (p += 9; p < end;) {
        g->array = realloc(g->array, ((size_t)g->count + 1) * sizeof *g->array);
        assert_non_null(g->array);
        struct golden_array *a = &g->array[g->count++];
        memset(a, 0, sizeof *a);
        p = read_header(a, p) + a->size * (a->type == 'u' ? 1 : 4);
        assert_true(p <= end);
    }
}

void golden_close(struct golden *g)
{
    free(g->array);
    free(g->data);
    *g = (struct golden){0};
}

const struct golden_array *golden_find(const struct golden *g, const char *name)
{
    for (int i = 0; i < g->count; i++)
        if (strcmp(g->array[i].name, name) == 0)
            return &g->array[i];
    return NULL;
}

const struct golden_array *golden_get(const struct golden *g, const char *prefix, const char *leaf)
{
    char name[200];
    snprintf(name, sizeof name, "%s/%s", prefix, leaf);
    const struct golden_array *a = golden_find(g, name);
    if (!a)
        fail_msg("the golden file has no %s", name);
    return a;
}

double golden_at(const struct golden_array *a, int64_t i)
{
    const char *at = (const char *)a->bytes + i * (a->type == 'u' ? 1 : 4);
    if (a->type == 'u')
        return *(const unsigned char *)at;
    if (a->type == 'i') {
        int32_t v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    float v;
    memcpy(&v, at, sizeof v);
    return (double)v;
}

#define COPY(type, name)                                                                           \
    type *name(const struct golden_array *a)                                                       \
    {                                                                                              \
        type *to = malloc(((size_t)a->size + 1) * sizeof *to);                                     \
        assert_non_null(to);                                                                       \
        for (int64_t i = 0; i < a->size; i++)                                                      \
            to[i] = (type)golden_at(a, i);                                                         \
        return to;                                                                                 \
    }
COPY(real, golden_reals)
COPY(int32_t, golden_ints)
COPY(uint8_t, golden_bytes)
