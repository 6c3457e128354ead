/* moments.c - see moments.h. */
#include "run/moments.h"

#include <string.h>

bool moments_sharded(const struct run *r)
{
    return r->job->train_shard_optimizer && r->comm->size > 1;
}

void moments_part(const struct run *r, int64_t *ret_begin, int64_t *ret_end)
{
    bool sharded = moments_sharded(r);
    comm_part(params_size(model_params(r->model)), sharded ? r->comm->rank : 0,
              sharded ? r->comm->size : 1, ret_begin, ret_end);
}

enum status moments_check(const struct run *r, int64_t parameters, struct err *err)
{
    if (!moments_sharded(r) || parameters <= INT32_MAX)
        return ST_OK;
    return err_set(err, ST_UNSUPPORTED,
                   "the model has %lld parameters, and train.shard_optimizer shares out no more "
                   "than %d; set it to false",
                   (long long)parameters, INT32_MAX);
}

static void gather(struct moments *mo, int upto)
{
    struct params *p = model_params(mo->r->model);
    int64_t begin, end;
    moments_part(mo->r, &begin, &end);
    for (; mo->gathered < upto; mo->gathered++) {
        const real *own = mo->gathered == 0 ? adamw_m(mo->r->opt) : adamw_v(mo->r->opt);
        memcpy(params_grads(p) + begin, own, (size_t)(end - begin) * sizeof *own);
        mo->r->comm->share_float(mo->r->comm, params_grads(p), params_size(p));
    }
}

static void fill_m(void *arg)
{
    gather(arg, 1);
}

static void fill_v(void *arg)
{
    gather(arg, 2);
}

int moments_blocks(struct moments *mo, struct state_block *block)
{
    struct params *p = model_params(mo->r->model);
    if (!mo->r->opt)
        return 0;
    bool sharded = moments_sharded(mo->r);
    block[0] = (struct state_block){"adam.m", p, sharded ? params_grads(p) : adamw_m(mo->r->opt),
                                    sharded ? fill_m : NULL, mo};
    block[1] = (struct state_block){"adam.v", p, sharded ? params_grads(p) : adamw_v(mo->r->opt),
                                    sharded ? fill_v : NULL, mo};
    return 2;
}

void moments_finish(struct moments *mo)
{
    if (mo->r->opt && moments_sharded(mo->r))
        gather(mo, 2);
}

void moments_keep(struct moments *mo, const struct state_block *block)
{
    int64_t begin, end;
    if (!block->fill)
        return;
    moments_part(mo->r, &begin, &end);
    real *own = block->fill == fill_m ? adamw_m(mo->r->opt) : adamw_v(mo->r->opt);
    memcpy(own, block->data + begin, (size_t)(end - begin) * sizeof *own);
}
