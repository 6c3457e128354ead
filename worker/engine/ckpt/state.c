/* state.c - see state.h. */
#include "engine/ckpt/state.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 256
#define FORMAT "state-1"

#ifdef REAL_IS_DOUBLE
#define REAL_DTYPE DTYPE_F64
#else
#define REAL_DTYPE DTYPE_F32
#endif

static void block_name(char out[NAME_MAX_BYTES], const struct state_block *b, const struct param *p)
{
    snprintf(out, NAME_MAX_BYTES, "%s/%s", b->prefix, p->spec.name);
}

static void declare_block(struct st_writer *w, const struct state_block *b)
{
    char name[NAME_MAX_BYTES];
    for (int i = 0; i < params_count(b->layout); i++) {
        const struct param *p = params_at(b->layout, i);
        struct st_tensor t = {.name = name, .dtype = REAL_DTYPE, .dims = p->spec.dims};
        memcpy(t.dim, p->spec.dim, sizeof p->spec.dim);
        block_name(name, b, p);
        st_writer_declare(w, &t);
    }
}

static enum status write_all(struct st_writer *w, const char *path, const struct state_block *blocks,
                             int n, const struct structure *st, struct err *err)
{
    TRY(st_writer_open(w, path, err));
    for (int i = 0; i < n; i++) {
        size_t bytes = (size_t)params_size(blocks[i].layout) * sizeof(real);
        TRY(st_writer_add(w, blocks[i].data, bytes, err));
    }
    if (st) {
        TRY(st_writer_add(w, st->m, (size_t)st->frame->ngroups, err));
        TRY(st_writer_add(w, st->s, (size_t)st->frame->ngroups, err));
    }
    return ST_OK;
}

enum status state_write(const char *path, const struct state_block *blocks, int n,
                        const struct structure *st, const char *json, char ret_sha256[HASH_HEX_SIZE],
                        int64_t *ret_bytes, struct err *err)
{
    struct st_writer *w;
    TRY(st_writer_create(&w, err));
    st_writer_meta(w, "espalier.format", FORMAT);
    st_writer_meta(w, "espalier.state", json);
    for (int i = 0; i < n; i++)
        declare_block(w, &blocks[i]);
    if (st) {
        struct st_tensor t = {.dtype = DTYPE_U8, .dims = 1, .dim = {st->frame->ngroups}};
        t.name = "structure.m";
        st_writer_declare(w, &t);
        t.name = "structure.s";
        st_writer_declare(w, &t);
    }
    enum status status = write_all(w, path, blocks, n, st, err);
    if (status == ST_OK)
        status = st_writer_finish(w, ret_sha256, ret_bytes, err);
    st_writer_destroy(w);
    return status;
}

enum status state_open(struct st_file **ret_file, const char **ret_json, const char *path,
                       struct err *err)
{
    struct st_file *f;
    TRY(st_file_open(&f, path, err));
    const char *format = st_file_meta(f, "espalier.format");
    const char *json = st_file_meta(f, "espalier.state");
    if (!format || strcmp(format, FORMAT) != 0 || !json) {
        err_set(err, ST_INVALID, "%s is not a training checkpoint of this version (format %s, not %s)",
                path, format ? format : "unknown", FORMAT);
        st_file_close(f);
        return ST_INVALID;
    }
    *ret_file = f;
    *ret_json = json;
    return ST_OK;
}

static enum status read_param(const struct st_file *f, const struct state_block *b,
                              const struct param *p, struct err *err)
{
    char name[NAME_MAX_BYTES];
    block_name(name, b, p);
    int i = st_file_find(f, name);
    size_t bytes = 0;
    const void *data = i < 0 ? NULL : st_file_data(f, i, &bytes);
    if (i < 0 || st_file_at(f, i)->dtype != REAL_DTYPE || bytes != (size_t)p->size * sizeof(real))
        return err_set(err, ST_INVALID, "the checkpoint has no %s of %lld elements: another model's file?",
                       name, (long long)p->size);
    memcpy(b->data + p->offset, data, bytes);
    return ST_OK;
}

enum status state_read_block(const struct st_file *f, const struct state_block *block, struct err *err)
{
    for (int i = 0; i < params_count(block->layout); i++)
        TRY(read_param(f, block, params_at(block->layout, i), err));
    return ST_OK;
}

enum status state_read_structure(const struct st_file *f, struct structure *st, struct err *err)
{
    const char *const names[] = {"structure.m", "structure.s"};
    uint8_t *const to[] = {st->m, st->s};
    for (int k = 0; k < 2; k++) {
        int i = st_file_find(f, names[k]);
        if (i < 0)
            return err_set(err, ST_NOT_FOUND, "the checkpoint holds no structure");
        size_t bytes;
        const uint8_t *data = st_file_data(f, i, &bytes);
        if (bytes != (size_t)st->frame->ngroups)
            return err_set(err, ST_INVALID, "%s has %zu groups, this model has %d", names[k], bytes,
                           st->frame->ngroups);
        for (size_t g = 0; g < bytes; g++)
            to[k][g] = data[g] != 0;
    }
    return ST_OK;
}
