/* state.c - see state.h. */
#include "engine/ckpt/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "state-1"

static void tensor_name(char *out, size_t size, const struct state_block *b, const struct param *p)
{
    snprintf(out, size, "%s/%s", b->prefix, p->spec.name);
}

struct plan {
    struct safetensors_out *tensor; /* owned */
    char (*name)[SAFETENSORS_NAME_MAX + 1];
    int n;
};

static void plan_fini(struct plan *plan)
{
    free(plan->tensor);
    free(plan->name);
}

static enum status plan_init(struct plan *plan, const struct state_block *blocks, int n,
                             struct err *err)
{
    size_t count = 2;
    for (int i = 0; i < n; i++)
        count += (size_t)params_count(blocks[i].layout);
    *plan = (struct plan){.tensor = calloc(count, sizeof *plan->tensor),
                          .name = calloc(count, sizeof *plan->name)};
    if (plan->tensor && plan->name)
        return ST_OK;
    plan_fini(plan);
    return err_set(err, ST_NOMEM, "out of memory for a checkpoint of %zu tensors", count);
}

static void plan_block(struct plan *plan, const struct state_block *b)
{
    for (int i = 0; i < params_count(b->layout); i++) {
        const struct param *p = params_at(b->layout, i);
        struct safetensors_out *t = &plan->tensor[plan->n];
        tensor_name(plan->name[plan->n], sizeof plan->name[0], b, p);
        *t = (struct safetensors_out){.name = plan->name[plan->n],
                                      .dtype = DTYPE_REAL,
                                      .from = DTYPE_REAL,
                                      .dims = p->spec.dims,
                                      .data = b->data + p->offset,
                                      .fill = b->fill,
                                      .arg = b->arg};
        memcpy(t->dim, p->spec.dim, sizeof p->spec.dim);
        plan->n++;
    }
}

static void plan_bits(struct plan *plan, const char *name, const uint8_t *bits, int n)
{
    plan->tensor[plan->n++] = (struct safetensors_out){
        .name = name, .dtype = DTYPE_U8, .from = DTYPE_U8, .dims = 1, .dim = {n}, .data = bits};
}

enum status state_write(const char *path, const struct state_block *blocks, int n,
                        const struct structure *st, const char *json,
                        char ret_sha256[HASH_HEX_SIZE], struct err *err)
{
    struct plan plan;
    TRY(plan_init(&plan, blocks, n, err));
    for (int i = 0; i < n; i++)
        plan_block(&plan, &blocks[i]);
    if (st) {
        plan_bits(&plan, "structure.m", st->m, st->frame->ngroups);
        plan_bits(&plan, "structure.s", st->s, st->frame->ngroups);
    }
    const struct safetensors_meta meta[] = {{"espalier.format", FORMAT}, {"espalier.state", json}};
    enum status status = safetensors_write(path, plan.tensor, plan.n, meta, 2, ret_sha256, err);
    plan_fini(&plan);
    return status;
}

enum status state_open(struct safetensors **ret_file, const char **ret_json, const char *path,
                       struct err *err)
{
    struct safetensors *f;
    TRY(safetensors_open(&f, path, err));
    const char *format = safetensors_metadata(f, "espalier.format");
    const char *json = safetensors_metadata(f, "espalier.state");
    if (!format || strcmp(format, FORMAT) != 0 || !json) {
        err_set(err, ST_INVALID,
                "%s is not a training checkpoint of this version (format %s, not %s)", path,
                format ? format : "unknown", FORMAT);
        safetensors_close(f);
        return ST_INVALID;
    }
    *ret_file = f;
    *ret_json = json;
    return ST_OK;
}

enum status state_read_block(struct safetensors *f, const struct state_block *block,
                             struct err *err)
{
    char name[SAFETENSORS_NAME_MAX + 1];
    for (int i = 0; i < params_count(block->layout); i++) {
        const struct param *p = params_at(block->layout, i);
        tensor_name(name, sizeof name, block, p);
        TRY(safetensors_load(f, name, DTYPE_REAL, p->spec.dims, p->spec.dim,
                             block->data + p->offset, err));
    }
    return ST_OK;
}

enum status state_read_structure(struct safetensors *f, struct structure *st, struct err *err)
{
    int64_t n = st->frame->ngroups;
    if (!safetensors_find(f, "structure.m"))
        return err_set(err, ST_NOT_FOUND, "the checkpoint holds no structure");
    TRY(safetensors_load(f, "structure.m", DTYPE_U8, 1, &n, st->m, err));
    TRY(safetensors_load(f, "structure.s", DTYPE_U8, 1, &n, st->s, err));
    for (int64_t g = 0; g < n; g++)
        if (st->m[g] > 1 || st->s[g] > 1)
            return err_set(err, ST_CORRUPT,
                           "the structure's bits of group %lld are neither 0 nor 1", (long long)g);
    return ST_OK;
}
