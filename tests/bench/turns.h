/* turns.h - what the programs that time the engine share. */
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

#include "synthetic.h"

#include <stdio.h>
#include <time.h>

enum { STEPS_MAX = 1000, WARM = 2, BOXES = 3, TOKENS = 24 };

/* Of all threads: on a busy machine the one figure that still tells the two sides apart. */
static inline double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static inline void print_list(const char *name, const double *ms, int n)
{
    printf("\"%s\":[", name);
    for (int i = 0; i < n; i++)
        printf("%s%.3f", i ? "," : "", ms[i]);
    printf("],");
}

/* B pictures with BOXES boxes and captions of TOKENS tokens, or as many as the model takes. */
static inline void make_batch(struct batch *ret_batch, const struct model_shape *shape, int64_t B)
{
    const struct synthetic how = {.B = B,
                                  .boxes = BOXES,
                                  .seed = 1,
                                  .L = shape->max_tokens < TOKENS ? shape->max_tokens : TOKENS};
    synthetic_make(ret_batch, shape, &how);
}

#endif
