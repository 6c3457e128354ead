/* trace.c - see trace.h. */
#include "engine/core/trace.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct trace {
    atomic_bool on;
    pthread_mutex_t lock; /* of all below */
    int64_t room, used, dropped;
    struct trace_span span[];
};

const char *trace_kind_name(enum trace_kind kind)
{
#define X(id, name) name,
    static const char *const names[] = {TRACE_KINDS(X)};
#undef X
    return names[kind];
}

enum status trace_create(struct trace **ret_trace, int64_t room, struct err *err)
{
    struct trace *t = calloc(1, sizeof *t + (size_t)room * sizeof t->span[0]);
    if (!t)
        return err_set(err, ST_NOMEM, "out of memory for a trace of %lld spans", (long long)room);
    pthread_mutex_init(&t->lock, NULL);
    t->room = room;
    *ret_trace = t;
    return ST_OK;
}

void trace_destroy(struct trace *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void trace_switch(struct trace *t, bool on)
{
    if (t)
        atomic_store(&t->on, on);
}

int64_t trace_begin(struct trace *t)
{
    return t && atomic_load_explicit(&t->on, memory_order_relaxed) ? clock_mono_ns() : 0;
}

void trace_end(struct trace *t, enum trace_kind kind, int lane, int64_t number, int64_t begin)
{
    if (!t || !begin)
        return;
    const struct trace_span span = {
        .begin = begin, .end = clock_mono_ns(), .number = number, .kind = kind, .lane = lane};
    pthread_mutex_lock(&t->lock);
    if (t->used < t->room)
        t->span[t->used++] = span;
    else
        t->dropped++;
    pthread_mutex_unlock(&t->lock);
}

int64_t trace_count(struct trace *t)
{
    pthread_mutex_lock(&t->lock);
    int64_t n = t->used;
    pthread_mutex_unlock(&t->lock);
    return n;
}

int64_t trace_dropped(struct trace *t)
{
    pthread_mutex_lock(&t->lock);
    int64_t n = t->dropped;
    pthread_mutex_unlock(&t->lock);
    return n;
}

void trace_copy(struct trace *t, struct trace_span *to, int64_t n)
{
    pthread_mutex_lock(&t->lock);
    memcpy(to, t->span, (size_t)n * sizeof *to);
    pthread_mutex_unlock(&t->lock);
}
