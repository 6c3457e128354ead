/* load.c - see load.h. */
#include "load.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct worker {
    const struct load *load;
    pthread_barrier_t *start;
    pthread_t thread;
    int number;
    int64_t *ns; /* of every call */
    int64_t calls, begun_ns, ended_ns;
    enum status st;
    struct err err;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    const struct load *l = w->load;
    int64_t n = 0;
    while (n < LOAD_WARM && w->st == ST_OK)
        w->st = l->call(l->user, w->number, n++, &w->err);
    pthread_barrier_wait(w->start);
    w->begun_ns = w->ended_ns = clock_mono_ns();
    int64_t end = w->begun_ns + (int64_t)(l->seconds * 1e9);
    while (w->st == ST_OK && w->ended_ns < end && w->calls < l->most) {
        int64_t at = w->ended_ns;
        w->st = l->call(l->user, w->number, n++, &w->err);
        w->ended_ns = clock_mono_ns();
        w->ns[w->calls++] = w->ended_ns - at;
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void load_print(int64_t *ns, int64_t calls, double seconds)
{
    qsort(ns, (size_t)calls, sizeof *ns, by_value);
    printf(
        "{\"calls\":%lld,\"seconds\":%.4f,\"per_second\":%.2f,\"p50_us\":%.2f,\"p99_us\":%.2f}\n",
        (long long)calls, seconds, (double)calls / seconds, 1e-3 * (double)ns[calls / 2],
        1e-3 * (double)ns[calls * 99 / 100]);
}

/* The span is from the first start to the last end, so a rate is never flattered. */
static enum status report(const struct worker *w, int workers, struct err *err)
{
    int64_t calls = 0, at = 0, begun = w[0].begun_ns, ended = w[0].ended_ns;
    for (int i = 0; i < workers; i++)
        calls += w[i].calls;
    int64_t *ns = malloc((size_t)(calls + 1) * sizeof *ns);
    if (!ns || calls == 0) {
        free(ns);
        return err_set(err, ST_INTERNAL, "no call was made");
    }
    for (int i = 0; i < workers; i++) {
        for (int64_t k = 0; k < w[i].calls; k++)
            ns[at++] = w[i].ns[k];
        begun = w[i].begun_ns < begun ? w[i].begun_ns : begun;
        ended = w[i].ended_ns > ended ? w[i].ended_ns : ended;
    }
    load_print(ns, calls, 1e-9 * (double)(ended - begun));
    free(ns);
    return ST_OK;
}

enum status load_run(const struct load *load, struct err *err)
{
    static struct worker workers[LOAD_WORKERS_MAX];
    pthread_barrier_t start;
    enum status st = ST_OK;
    int n = load->workers;
    if (n < 1 || n > LOAD_WORKERS_MAX || load->most > LOAD_CALLS_MAX)
        return err_set(err, ST_INVALID, "%d workers and %lld calls each; at most %d and %d", n,
                       (long long)load->most, LOAD_WORKERS_MAX, LOAD_CALLS_MAX);
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        workers[i] = (struct worker){.load = load, .start = &start, .number = i};
        workers[i].ns = malloc((size_t)load->most * sizeof(int64_t));
        if (!workers[i].ns || pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            fprintf(stderr, "cannot start worker %d\n", i);
            _Exit(1); /* the others wait at the barrier */
        }
    }
    for (int i = 0; i < n; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < n && st == ST_OK; i++)
        if (workers[i].st != ST_OK)
            st = err_set(err, workers[i].st, "%s", workers[i].err.text);
    if (st == ST_OK)
        st = report(workers, n, err);
    for (int i = 0; i < n; i++)
        free(workers[i].ns);
    pthread_barrier_destroy(&start);
    return st;
}
