/* timeline.c - trace.json: what every rank did when, in Chrome's trace format (docs/howto/read-a-trace.md).
 *
 * One row group a rank, one row a thread; buckets of the gradient may overlap and are asynchronous events. All ranks begin at
 * a barrier, so that their clocks, which have no common zero, agree to within one.
 */
#include "run/publish.h"
#include "run/run.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define SPANS_MAX 50000 /* of a rank */
#define FILE_MAX ((size_t)1 << 30)
#define STEPS_OF_COMMAND_LINE 20 /* where the job file says nothing */

static int64_t steps_wanted(const struct run *r)
{
    if (r->job->train_trace_steps || !r->folder->trace_path)
        return r->job->train_trace_steps;
    return STEPS_OF_COMMAND_LINE;
}

enum status timeline_open(struct run *r, struct err *err)
{
    enum status st = ST_OK;
    if (steps_wanted(r) == 0)
        return ST_OK;
    st = run_agree(r, trace_create(&r->trace, SPANS_MAX, err), err);
    r->corpus->trace = r->trace;
    r->comm->barrier(r->comm);
    r->trace_zero_ns = clock_mono_ns();
    return st;
}

/* ---- the file -------------------------------------------------------------------------------- */

static double microseconds(const struct run *r, int64_t ns)
{
    return 1e-3 * (double)(ns - r->trace_zero_ns);
}

static void put_row_name(struct buf *b, int rank, int lane)
{
    buf_printf(b,
               "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"",
               rank, lane);
    if (lane)
        buf_printf(b, "loader %d\"}},\n", lane);
    else
        buf_puts(b, "step\"}},\n");
}

/* Times count from this rank's own zero: they were sent as differences. */
static void put_span(struct buf *b, const struct run *r, int rank, const struct trace_span *s)
{
    const char *name = trace_kind_name((enum trace_kind)s->kind);
    double begin = microseconds(r, s->begin), end = microseconds(r, s->end);
    if (s->kind != TRACE_REDUCE) {
        buf_printf(b,
                   "{\"ph\":\"X\",\"name\":\"%s\",\"cat\":\"step\",\"pid\":%d,\"tid\":%d,\"ts\":%."
                   "3f,\"dur\":"
                   "%.3f,\"args\":{\"number\":%lld}},\n",
                   name, rank, s->lane, begin, end - begin, (long long)s->number);
        return;
    }
    for (int last = 0; last < 2; last++)
        buf_printf(b,
                   "{\"ph\":\"%s\",\"name\":\"%s "
                   "%lld\",\"cat\":\"reduction\",\"id\":\"%d.%lld\",\"pid\":%d,"
                   "\"tid\":0,\"ts\":%.3f},\n",
                   last ? "e" : "b", name, (long long)s->number, rank, (long long)s->number, rank,
                   last ? end : begin);
}

static void put_rank(struct buf *b, const struct run *r, int rank, const struct trace_span *span,
                     int64_t n)
{
    int lanes = 1;
    buf_printf(
        b, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"rank %d\"}},\n",
        rank, rank);
    for (int64_t i = 0; i < n; i++)
        lanes = span[i].lane >= lanes ? span[i].lane + 1 : lanes;
    for (int lane = 0; lane < lanes; lane++)
        put_row_name(b, rank, lane);
    for (int64_t i = 0; i < n; i++)
        put_span(b, r, rank, &span[i]);
}

/* ---- gathering ------------------------------------------------------------------------------- */

struct share {
    int64_t n, dropped, zero;
};

/* The spans of rank `root`, on every rank; shifted to this rank's zero. */
static void fetch(struct run *r, int root, struct share *share, struct trace_span *span)
{
    if (r->comm->rank == root) {
        *share = (struct share){trace_count(r->trace), trace_dropped(r->trace), r->trace_zero_ns};
        trace_copy(r->trace, span, share->n);
    }
    r->comm->broadcast(r->comm, share, sizeof *share, root);
    r->comm->broadcast(r->comm, span, (size_t)share->n * sizeof *span, root);
    for (int64_t i = 0; i < share->n && i < SPANS_MAX; i++) {
        span[i].begin += r->trace_zero_ns - share->zero;
        span[i].end += r->trace_zero_ns - share->zero;
    }
}

static enum status save(struct run *r, const struct buf *b, struct err *err)
{
    const char *given = r->folder->trace_path;
    char *path = given ? strdup(given) : job_folder_path(r->folder, "trace.json");
    enum status st = publish_text(r->folder, path, b, err);
    free(path);
    return st == ST_OK && !given ? report_file(r, "trace.json", err) : st;
}

static enum status gather(struct run *r, struct trace_span *span, struct err *err)
{
    struct buf b;
    int64_t dropped = 0;
    buf_init(&b, FILE_MAX);
    buf_puts(&b, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    for (int root = 0; root < r->comm->size; root++) {
        struct share share;
        fetch(r, root, &share, span);
        dropped += share.dropped;
        if (run_root(r))
            put_rank(&b, r, root, span, share.n);
    }
    buf_printf(&b,
               "{\"ph\":\"M\",\"name\":\"spans dropped\",\"pid\":0,\"args\":{\"number\":%lld}}]}\n",
               (long long)dropped);
    enum status st = run_root(r) ? save(r, &b, err) : ST_OK;
    buf_fini(&b);
    return st;
}

/* The spans of all ranks so far. Collective. */
static enum status write_spans(struct run *r, struct err *err)
{
    struct trace_span *span = malloc(SPANS_MAX * sizeof *span);
    enum status st = span ? ST_OK : err_set(err, ST_NOMEM, "out of memory for the trace");
    st = run_agree(r, st, err);
    if (st == ST_OK && span)
        st = run_agree(r, gather(r, span, err), err);
    free(span);
    return st;
}

enum status timeline_write(struct run *r, struct err *err)
{
    if (!r->trace || r->trace_left == 0)
        return ST_OK;
    r->trace_left = 0;
    trace_switch(r->trace, false);
    return write_spans(r, err);
}

/* ---- which steps ----------------------------------------------------------------------------- */

void timeline_phase(struct run *r)
{
    r->trace_left = r->trace ? steps_wanted(r) : 0;
    trace_switch(r->trace, r->trace_left > 0);
}

/* After the 1st, 2nd, 4th, 8th ... step as well: a job that is killed leaves half of what it recorded at least. */
enum status timeline_step(struct run *r, struct err *err)
{
    if (!r->trace || r->trace_left == 0)
        return ST_OK;
    if (r->trace_left == 1)
        return timeline_write(r, err);
    int64_t done = steps_wanted(r) - --r->trace_left;
    return (done & (done - 1)) == 0 ? write_spans(r, err) : ST_OK;
}
