/* reduce.c - see reduce.h. */
#include "run/reduce.h"

#include "base/clock.h"

#include <stdlib.h>

/* Elements: below the first a sum costs more in calls than in bytes, above the second the transport's temporary buffers leave
 * the caches. */
#define BUCKET_LEAST ((int64_t)1 << 16)
#define BUCKET_MOST ((int64_t)3 << 19)

struct bucket {
    struct comm_sum sum;
    int64_t missing; /* elements that backward will still add to */
    int64_t traced;  /* when it started; 0: no trace */
};

struct reduce {
    struct comm *comm;
    struct trace *trace;
    const real *grads;
    int64_t size, width; /* elements of the block, of a bucket */
    uint16_t *rounded;   /* [size], owned; NULL: floats travel */
    struct ctx_watch watch;
    struct reduce_cost cost;
    int started, done; /* buckets of this step */
    int count;
    struct bucket bucket[];
};

/* ---- from the tape --------------------------------------------------------------------------- */

/* Adds `sign` times the part of t that lies in each bucket. A tensor of another table lies in none. */
static void count(struct reduce *r, const struct tensor *t, int64_t sign)
{
    int64_t n = tensor_size(t);
    if (t->grad < r->grads || t->grad >= r->grads + r->size)
        return;
    int64_t from_end = r->size - (t->grad - r->grads); /* of its first element */
    for (int64_t i = (from_end - n) / r->width; i < r->count && i * r->width < from_end; i++) {
        int64_t low = i * r->width, high = low + r->width;
        low = low > from_end - n ? low : from_end - n;
        high = high < from_end ? high : from_end;
        r->bucket[i].missing += sign * (high - low);
    }
}

static void start(struct reduce *r)
{
    struct bucket *b = &r->bucket[r->started++];
    b->traced = trace_begin(r->trace);
    r->comm->sum_start(r->comm, &b->sum);
}

static void start_ready(struct reduce *r)
{
    while (r->started < r->count && r->bucket[r->started].missing == 0)
        start(r);
}

static void finish_one(struct reduce *r)
{
    struct bucket *b = &r->bucket[r->done];
    r->comm->sum_wait(r->comm, &b->sum);
    trace_end(r->trace, TRACE_REDUCE, 0, r->done, b->traced);
    r->done++;
}

static void on_will(void *arg, const struct tensor *t)
{
    count(arg, t, 1);
}

static void on_final(void *arg, const struct tensor *t)
{
    count(arg, t, -1);
}

static void on_node(void *arg)
{
    struct reduce *r = arg;
    int64_t begin = clock_mono_ns();
    start_ready(r);
    while (r->done < r->started && r->comm->sum_done(r->comm, &r->bucket[r->done].sum))
        finish_one(r);
    r->cost.inside += 1e-9 * (double)(clock_mono_ns() - begin);
}

/* ---- a step ---------------------------------------------------------------------------------- */

static int64_t bucket_width(int64_t size)
{
    int64_t width = size / 8;
    return width < BUCKET_LEAST ? BUCKET_LEAST : width > BUCKET_MOST ? BUCKET_MOST : width;
}

enum status reduce_create(struct reduce **ret_r, struct comm *comm, struct params *p, bool bf16,
                          int64_t bucket, struct trace *trace, struct err *err)
{
    int64_t size = params_size(p), width = bucket ? bucket : bucket_width(size);
    int buckets = comm->size > 1 ? (int)((size + width - 1) / width) : 0;
    struct reduce *r = calloc(1, sizeof *r + (size_t)buckets * sizeof r->bucket[0]);
    if (r && bf16 && buckets)
        r->rounded = malloc((size_t)size * sizeof *r->rounded);
    if (!r || (bf16 && buckets && !r->rounded)) {
        free(r);
        return err_set(err, ST_NOMEM, "out of memory for the sum of %lld gradients",
                       (long long)size);
    }
    r->comm = comm;
    r->trace = trace;
    r->grads = params_grads(p);
    r->size = size;
    r->width = width;
    r->count = buckets;
    r->watch = (struct ctx_watch){.will = on_will, .final = on_final, .node = on_node, .arg = r};
    for (int i = 0; i < buckets; i++) {
        int64_t end = size - i * width, begin = end > width ? end - width : 0;
        r->bucket[i].sum = (struct comm_sum){.x = params_grads(p) + begin,
                                             .n = end - begin,
                                             .rounded = r->rounded ? r->rounded + begin : NULL};
    }
    *ret_r = r;
    return ST_OK;
}

void reduce_destroy(struct reduce *r)
{
    if (!r)
        return;
    free(r->rounded);
    free(r);
}

void reduce_begin(struct reduce *r)
{
    r->started = r->done = 0;
    for (int i = 0; i < r->count; i++)
        r->bucket[i].missing = 0;
}

const struct ctx_watch *reduce_watch(const struct reduce *r)
{
    return r->count ? &r->watch : NULL;
}

void reduce_start_rest(struct reduce *r)
{
    while (r->started < r->count)
        start(r);
}

void reduce_finish(struct reduce *r)
{
    int64_t begin = clock_mono_ns(), traced = trace_begin(r->trace);
    while (r->done < r->count)
        finish_one(r);
    trace_end(r->trace, TRACE_WAIT, 0, r->count, traced);
    r->cost.wait += 1e-9 * (double)(clock_mono_ns() - begin);
    r->cost.bytes += r->count ? (double)r->size * (r->rounded ? 2 : 4) : 0;
    r->cost.steps++;
}

void reduce_share(struct reduce *r, real *values)
{
    int64_t begin = clock_mono_ns(), traced = trace_begin(r->trace), first, end;
    r->comm->share_float(r->comm, values, r->size);
    trace_end(r->trace, TRACE_SHARE, 0, r->size, traced);
    r->cost.share += 1e-9 * (double)(clock_mono_ns() - begin);
    comm_part(r->size, r->comm->rank, r->comm->size, &first, &end);
    r->cost.bytes += 4.0 * (double)(end - first);
}

struct reduce_cost reduce_cost(const struct reduce *r)
{
    return r->cost;
}
