/* trace.h - what a process did when: spans of time in a buffer of fixed size, from any thread.
 *
 * A trace that is NULL or switched off records nothing and costs a comparison; so callers do not ask. When the buffer is full,
 * further spans are counted and dropped. worker/run/timeline.c writes the file; docs/howto/read-a-trace.md says how to read it.
 */
#ifndef ENGINE_TRACE_H
#define ENGINE_TRACE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Kind and its name in the file. */
#define TRACE_KINDS(X)                                                                             \
    X(TRACE_STEP, "step")                                                                          \
    X(TRACE_BATCH, "wait for batch")                                                               \
    X(TRACE_FORWARD, "forward")                                                                    \
    X(TRACE_BACKWARD, "backward")                                                                  \
    X(TRACE_REDUCE, "bucket")                                                                      \
    X(TRACE_WAIT, "wait for buckets")                                                              \
    X(TRACE_AGREE, "agree")                                                                        \
    X(TRACE_OPTIMISER, "optimiser")                                                                \
    X(TRACE_SHARE, "share weights")                                                                \
    X(TRACE_AVERAGE, "average weights")                                                            \
    X(TRACE_HYPERNET, "hypernetwork step")                                                         \
    X(TRACE_HYPERNET_SUM, "sum hypernetwork")                                                      \
    X(TRACE_PULL, "pull")                                                                          \
    X(TRACE_LOAD, "load batch")
#define X(id, name) id,
enum trace_kind { TRACE_KINDS(X) TRACE_KIND_COUNT };
#undef X
const char *trace_kind_name(enum trace_kind kind);

struct trace_span {
    int64_t begin, end; /* ns, of clock_mono_ns() */
    int64_t number;     /* of the step, the bucket, ... */
    int32_t kind;       /* enum trace_kind */
    int32_t lane;       /* 0: the thread that runs the step; 1 and up: loader threads */
};

struct trace;

/* Switched off at first. room: spans. */
enum status trace_create(struct trace **ret_trace, int64_t room, struct err *err);
void trace_destroy(struct trace *t); /* NULL allowed */

void trace_switch(struct trace *t, bool on);
/* Now, to be handed to trace_end() at the end of what begins here; 0 when nothing is recorded. */
int64_t trace_begin(struct trace *t);
/* From begin until now. begin 0: nothing. */
void trace_end(struct trace *t, enum trace_kind kind, int lane, int64_t number, int64_t begin);

int64_t trace_count(struct trace *t);
int64_t trace_dropped(struct trace *t);
/* Copies the first n spans. */
void trace_copy(struct trace *t, struct trace_span *to, int64_t n);

#endif
