/* pool.c - see pool.h.
 *
 * A job is published by raising `round`; a worker that sees a new round does its share and lowers `busy`. Both sides
 * spin briefly, then wait on a condition.
 */
#include "engine/backend/cpu/pool.h"

#include "engine/backend/pages.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define SPINS 4000 /* some ten microseconds */

static struct {
    int threads; /* with the caller; 0 before the first use: one */
    pthread_t worker[POOL_MAX];
    pthread_mutex_t lock;
    pthread_cond_t start, done;
    atomic_uint round;
    atomic_int busy;
    bool stop;
    /* the job; written before `round` is raised */
    void (*fn)(void *, int64_t, int64_t, int);
    void *arg;
    int64_t n;
    int shares;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .start = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

/* Each worker's own, a cache line apart at least. */
static struct {
    void *space;
    double operations;
    int64_t ns;
    char apart[104];
} own[POOL_MAX];

void *pool_space(int worker)
{
    if (!own[worker].space)
        own[worker].space = pages_alloc(POOL_SPACE);
    return own[worker].space;
}

void pool_book(int worker, double operations, int64_t ns)
{
    own[worker].operations += operations;
    own[worker].ns += ns;
}

void pool_booked(double *ret_operations, double *ret_seconds)
{
    *ret_operations = *ret_seconds = 0;
    for (int i = 0; i < POOL_MAX; i++) {
        *ret_operations += own[i].operations;
        *ret_seconds += 1e-9 * (double)own[i].ns;
    }
}

int pool_threads(void)
{
    return pool.threads ? pool.threads : 1;
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void do_share(int index)
{
    if (index < pool.shares)
        pool.fn(pool.arg, pool.n * index / pool.shares, pool.n * (index + 1) / pool.shares, index);
}

/* Waits until the round differs from `seen`; returns the new one. */
static unsigned await_round(unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool.round, memory_order_acquire) != seen)
            return atomic_load(&pool.round);
        pause_briefly();
    }
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.round) == seen)
        pthread_cond_wait(&pool.start, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    return atomic_load(&pool.round);
}

static void *work(void *arg)
{
    int index = (int)(intptr_t)arg;
    unsigned seen = 0;
    for (;;) {
        seen = await_round(seen);
        if (pool.stop)
            return NULL;
        do_share(index);
        if (atomic_fetch_sub_explicit(&pool.busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.done);
            pthread_mutex_unlock(&pool.lock);
        }
    }
}

static void publish(void)
{
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.busy, pool.threads - 1);
    atomic_fetch_add_explicit(&pool.round, 1, memory_order_release);
    pthread_cond_broadcast(&pool.start);
    pthread_mutex_unlock(&pool.lock);
}

static void await_workers(void)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool.busy, memory_order_acquire) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.busy) > 0)
        pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

void pool_run(int64_t n, int64_t grain, void (*fn)(void *, int64_t, int64_t, int), void *arg)
{
    int64_t shares = n / (grain > 0 ? grain : 1);
    if (shares > pool_threads())
        shares = pool_threads();
    if (shares < 2) {
        if (n > 0)
            fn(arg, 0, n, 0);
        return;
    }
    pool.fn = fn;
    pool.arg = arg;
    pool.n = n;
    pool.shares = (int)shares;
    publish();
    do_share(0);
    await_workers();
}

static void stop_workers(void)
{
    if (pool.threads < 2)
        return;
    pool.stop = true;
    publish();
    for (int i = 1; i < pool.threads; i++)
        pthread_join(pool.worker[i], NULL);
    pool.stop = false;
    pool.threads = 1;
}

void pool_set_threads(int threads)
{
    threads = threads < 1 ? 1 : threads > POOL_MAX ? POOL_MAX : threads;
    if (threads == pool_threads())
        return;
    stop_workers();
    atomic_store(&pool.round, 0);
    pool.threads = 1;
    while (pool.threads < threads && pthread_create(&pool.worker[pool.threads], NULL, work,
                                                    (void *)(intptr_t)pool.threads) == 0)
        pool.threads++;
}
