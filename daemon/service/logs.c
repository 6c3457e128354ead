/* logs.c - Logs: whole lines of the job's log from a byte offset on, those that the filters let through.
 *
 * An offset is a place in everything the ranks ever wrote. What was given up for room (job/log_limit.c) is a hole at
 * the file's begin: the first line behind it is where reading starts, and the chunk says how much is gone.
 */
#include "service/filter.h"
#include "service/service.h"
#include "service/streams.h"

#include "job/log_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_MAX 65536 /* a longer line is cut here */
#define TAIL_MAX 10000  /* as job.proto says */

struct log_view {
    struct filter filter;
    uint64_t gone; /* bytes, to be told with the next chunk */
    int64_t
        *tail; /* ring of where the last lines that pass begin; NULL = no tail, or it is found */
    size_t tail_max; /* its size */
    size_t tail_n;   /* lines seen */
};

/* The loop's thread alone comes here, and keeps nothing in them between steps. */
static char in[CHUNK_MAX], out[CHUNK_MAX];

static void drop_view(void *more)
{
    struct log_view *v = more;
    if (!v)
        return;
    filter_fini(&v->filter);
    free(v->tail);
    free(v);
}

static bool is_over(const struct daemon *d, int64_t job_id)
{
    const struct active *a = jobs_find(d->jobs, job_id);
    return !a || job_state_is_over(a->job.state);
}

/* Up to the last newline; all of it when nothing more will come, or when one line fills the chunk. */
static size_t whole_lines(const char *text, size_t n, bool final)
{
    const char *last = n ? memrchr(text, '\n', n) : NULL;
    if (final || n == CHUNK_MAX)
        return last && !final ? (size_t)(last - text) + 1 : n;
    return last ? (size_t)(last - text) + 1 : 0;
}

/* The log comes into being with the first attempt. */
static bool open_log(struct daemon *d, struct stream *s)
{
    struct err err;
    if (s->fd < 0)
        folder_open(d, s->job_id, "log.txt", &s->fd, &s->size, &err);
    return s->fd >= 0;
}

/* Moves a cursor that points into the hole to the first whole line behind it. */
static void skip_gone(struct stream *s)
{
    struct log_view *v = s->more;
    int64_t first = log_first_line(s->fd);
    if (s->cursor >= first)
        return;
    v->gone += (uint64_t)(first - s->cursor);
    s->cursor = first;
}

/* Length of the line at text, its newline included where it has one. */
static size_t line_length(const char *text, size_t n)
{
    const char *end = memchr(text, '\n', n);
    return end ? (size_t)(end - text) + 1 : n;
}

static bool passes(struct log_view *v, const char *line, size_t len)
{
    return filter_is_empty(&v->filter) ||
           filter_line(&v->filter, line, len && line[len - 1] == '\n' ? len - 1 : len);
}

static void end_tail(struct stream *s, struct log_view *v)
{
    if (v->tail_n > 0)
        s->cursor = v->tail_n > v->tail_max ? v->tail[v->tail_n % v->tail_max] : v->tail[0];
    free(v->tail);
    v->tail = NULL;
    v->filter.time_ms = 0; /* the lines are read again, from a dated one or not */
    v->filter.since_ms = 0;
    v->gone = 0; /* nobody asked for what lies before the last lines */
}

/* Looks through the lines of in[0..n), which begin at the cursor, as far as the share reaches; returns how many bytes
 * that were. What passes goes to out, or while a tail is looked for, where it begins goes to the ring. */
static size_t look_through(struct daemon *d, struct stream *s, size_t n, size_t *ret_kept)
{
    struct log_view *v = s->more;
    size_t i = 0, kept = 0;
    do {
        size_t len = line_length(in + i, n - i);
        bool passing = passes(v, in + i, len);
        if (passing && v->tail) {
            v->tail[v->tail_n++ % v->tail_max] = s->cursor + (int64_t)i;
        } else if (passing) {
            memcpy(out + kept, in + i, len);
            kept += len;
        }
        i += len;
    } while (i < n && (filter_is_empty(&v->filter) || !streams_share_is_spent(d)));
    *ret_kept = kept;
    return i;
}

static enum stream_step send_lines(struct stream *s, struct log_view *v, size_t kept, int64_t next)
{
    V1(LogChunk) chunk = ESPALIER__V1__LOG_CHUNK__INIT;
    chunk.text = (ProtobufCBinaryData){kept, (uint8_t *)out};
    chunk.next = (uint64_t)next;
    chunk.gone_bytes = v->gone;
    if (!rpc_call_send(s->call, &chunk.base))
        return STREAM_WAIT;
    s->cursor = next;
    v->gone = 0;
    return STREAM_SENT;
}

/* One read's worth. STREAM_MORE: nothing of it was to be sent. */
static enum stream_step take_lines(struct daemon *d, struct stream *s, struct err *err)
{
    struct log_view *v = s->more;
    /* Asked before reading: what is written later than this look belongs to an attempt that still ran. */
    bool final = !s->follow || is_over(d, s->job_id);
    if (open_log(d, s))
        skip_gone(s);
    ssize_t n = s->fd >= 0 ? pread(s->fd, in, sizeof in, (off_t)s->cursor) : 0;
    if (n < 0) {
        err_errno(err, "cannot read the log of job %lld", (long long)s->job_id);
        return STREAM_FAIL;
    }
    size_t take = whole_lines(in, (size_t)n, final);
    if (take == 0 && v->tail) {
        end_tail(s, v);
        return STREAM_MORE;
    }
    if (take == 0)
        return final ? STREAM_END : STREAM_WAIT;
    size_t kept = 0;
    take = look_through(d, s, take, &kept);
    if (kept > 0 || (v->gone > 0 && !v->tail))
        return send_lines(s, v, kept, s->cursor + (int64_t)take);
    s->cursor += (int64_t)take;
    return STREAM_MORE;
}

static enum stream_step step_logs(struct daemon *d, struct stream *s, struct err *err)
{
    enum stream_step step;
    do
        step = take_lines(d, s, err);
    while (step == STREAM_MORE && !streams_share_is_spent(d));
    return step;
}

static const struct stream_kind logs_kind = {.step = step_logs, .tick = true};

static enum status make_view(struct log_view **ret_view, const V1(LogsRequest) * q, struct err *err)
{
    if (q->tail_lines > TAIL_MAX)
        return err_set(err, ST_INVALID, "tail_lines is %u, at most %d can be asked for",
                       q->tail_lines, TAIL_MAX);
    struct log_view *v = calloc(1, sizeof *v);
    if (!v)
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    v->tail_max = q->tail_lines;
    v->tail = q->tail_lines ? calloc(q->tail_lines, sizeof *v->tail) : NULL;
    enum status st = q->tail_lines && !v->tail
                         ? err_set(err, ST_NOMEM, "the daemon is out of memory")
                         : filter_init(&v->filter, q->ranks, q->n_ranks, (int)q->level, q->since_ms,
                                       q->grep, err);
    if (st == ST_OK)
        *ret_view = v;
    else
        drop_view(v);
    return st;
}

enum status serve_logs(struct daemon *d, struct rpc_call *call, const V1(LogsRequest) * request,
                       struct err *err)
{
    struct job job;
    struct log_view *view = NULL;
    TRY(lookup_job(d, request->id, &job, err));
    if (request->after > INT64_MAX)
        return err_set(err, ST_INVALID, "offset %llu is beyond any log",
                       (unsigned long long)request->after);
    TRY(make_view(&view, request, err));
    struct stream s = {.kind = &logs_kind,
                       .call = call,
                       .job_id = job.id,
                       .cursor = (int64_t)request->after,
                       .follow = request->follow,
                       .fd = -1,
                       .more = view,
                       .drop = drop_view};
    enum status st = streams_open(d, &s, err);
    if (st != ST_OK)
        drop_view(view);
    return st;
}
