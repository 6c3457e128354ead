/* load.h - the same call from several threads for some seconds: how many, and how long each took. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "base/err.h"

#include <stdint.h>

enum { LOAD_WORKERS_MAX = 64, LOAD_WARM = 20, LOAD_CALLS_MAX = 1 << 20 };

struct load {
    int workers; /* calls outstanding: every worker is a thread with one call at a time */
    double seconds;
    int64_t most; /* calls of a worker at most, those of the warm-up (LOAD_WARM each) not counted */
    /* Call number n (from 0, warm-up included) of a worker. */
    enum status (*call)(void *user, int worker, int64_t n, struct err *err);
    void *user;
};

/* Prints {"calls", "seconds", "per_second", "p50_us", "p99_us"}; the first failure ends the run. */
enum status load_run(const struct load *load, struct err *err);

/* Sorts the calls' times and prints that line; what other shapes of load end with. */
void load_print(int64_t *ns, int64_t calls, double seconds);

#endif
