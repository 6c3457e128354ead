/* queue.c - see queue.h. */
#include "job/queue.h"

#include <stdbool.h>
#include <stdlib.h>

static int by_rank(const void *a, const void *b)
{
    const struct queue_job *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool fits(const struct resources *free, const struct resources *need)
{
    return need->cores <= free->cores && need->gpus <= free->gpus &&
           need->memory_bytes <= free->memory_bytes;
}

static int64_t less(int64_t a, int64_t b)
{
    return a > b ? a - b : 0;
}

void resources_take(struct resources *a, const struct resources *b)
{
    a->cores = less(a->cores, b->cores);
    a->gpus = less(a->gpus, b->gpus);
    a->memory_bytes = less(a->memory_bytes, b->memory_bytes);
}

size_t queue_pick(struct queue_job *waiting, size_t n, struct resources free, int64_t *ret_ids)
{
    size_t picked = 0;
    if (n > 0)
        qsort(waiting, n, sizeof *waiting, by_rank);
    for (size_t i = 0; i < n; i++) {
        if (fits(&free, &waiting[i].need))
            ret_ids[picked++] = waiting[i].id;
        resources_take(&free, &waiting[i].need);
    }
    return picked;
}

#define MIB (1024 * 1024)

enum status queue_check_fits(const struct resources *node, const struct resources *need, int ranks,
                             struct err *err)
{
    int each = ranks > 0 ? ranks : 1;
    if (need->cores > node->cores)
        return err_set(
            err, ST_LIMIT,
            "the job needs %lld cores (%d ranks x %lld threads) and this daemon has %lld; "
            "lower resources.ranks or resources.threads",
            (long long)need->cores, each, (long long)(need->cores / each), (long long)node->cores);
    if (need->gpus > node->gpus)
        return err_set(err, ST_LIMIT,
                       "the job needs %lld GPUs (%d ranks x %lld) and this daemon has %lld; "
                       "lower resources.gpus",
                       (long long)need->gpus, each, (long long)(need->gpus / each),
                       (long long)node->gpus);
    if (need->memory_bytes > node->memory_bytes)
        return err_set(err, ST_LIMIT,
                       "the job needs %lld MiB of memory (%d ranks x %lld MiB) and this daemon has "
                       "%lld; lower resources.memory_mib, train.micro_batch or resources.ranks",
                       (long long)(need->memory_bytes / MIB), each,
                       (long long)(need->memory_bytes / each / MIB),
                       (long long)(node->memory_bytes / MIB));
    return ST_OK;
}
