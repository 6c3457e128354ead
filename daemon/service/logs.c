/* logs.c - Logs: whole lines of the job's log from a byte offset on. */
#include "service/service.h"
#include "service/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_MAX 65536 /* a longer line is cut here */

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

static enum stream_step step_logs(struct daemon *d, struct stream *s, struct err *err)
{
    char text[CHUNK_MAX];
    /* Asked before reading: what is written later than this look belongs to an attempt that still ran. */
    bool final = !s->follow || is_over(d, s->job_id);
    ssize_t n = open_log(d, s) ? pread(s->fd, text, sizeof text, (off_t)s->cursor) : 0;
    if (n < 0) {
        err_errno(err, "cannot read the log of job %lld", (long long)s->job_id);
        return STREAM_FAIL;
    }
    size_t take = whole_lines(text, (size_t)n, final);
    if (take == 0)
        return final ? STREAM_END : STREAM_WAIT;
    V1(LogChunk) chunk = ESPALIER__V1__LOG_CHUNK__INIT;
    chunk.text = (ProtobufCBinaryData){take, (uint8_t *)text};
    chunk.next = (uint64_t)s->cursor + take;
    if (!rpc_call_send(s->call, &chunk.base))
        return STREAM_WAIT;
    s->cursor += (int64_t)take;
    return STREAM_SENT;
}

static const struct stream_kind logs_kind = {.step = step_logs, .tick = true};

enum status serve_logs(struct daemon *d, struct rpc_call *call, const V1(LogsRequest) * request,
                       struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    if (request->after > INT64_MAX)
        return err_set(err, ST_INVALID, "offset %llu is beyond any log",
                       (unsigned long long)request->after);
    struct stream s = {.kind = &logs_kind,
                       .call = call,
                       .job_id = job.id,
                       .cursor = (int64_t)request->after,
                       .follow = request->follow,
                       .fd = -1};
    return streams_open(d, &s, err);
}
