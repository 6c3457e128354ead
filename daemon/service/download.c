/* download.c - Download: a result file in chunks. Only files that the worker reported, as artifacts or as checkpoints, and only inside
 * the job's folder; the hash is the one it reported, which the client compares with what it got. */
#include "service/service.h"
#include "service/streams.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_MAX (256u << 10)

static enum stream_step step_download(struct daemon *d, struct stream *s, struct err *err)
{
    static uint8_t data[CHUNK_MAX]; /* the loop's thread alone comes here */
    (void)d;
    uint64_t at = (uint64_t)s->cursor;
    if (at > s->size)
        return STREAM_END; /* the last chunk was sent */
    uint64_t left = s->size - at;
    size_t want = left < CHUNK_MAX ? (size_t)left : CHUNK_MAX;
    ssize_t n = pread(s->fd, data, want, (off_t)at);
    if (n < 0 || (size_t)n < want) {
        err_set(err, ST_IO, "the file became shorter than its %llu bytes while it was read",
                (unsigned long long)s->size);
        return STREAM_FAIL;
    }
    V1(DownloadChunk) chunk = ESPALIER__V1__DOWNLOAD_CHUNK__INIT;
    chunk.data = (ProtobufCBinaryData){want, data};
    chunk.total_bytes = s->size;
    bool last = want == left;
    if (last)
        chunk.sha256 = s->sha256;
    if (!rpc_call_send(s->call, &chunk.base))
        return STREAM_WAIT;
    s->cursor += (int64_t)want + last; /* one past the end: nothing is left to send */
    return STREAM_SENT;
}

static const struct stream_kind download_kind = {.step = step_download, .tick = false};

struct artifact_query {
    const char *name;
    struct stream *stream;
    bool found;
};

static bool match_artifact(const struct stored_file *f, void *user)
{
    struct artifact_query *q = user;
    if (strcmp(f->name, q->name) != 0)
        return true;
    q->found = true;
    q->stream->size = (uint64_t)f->size_bytes;
    snprintf(q->stream->sha256, sizeof q->stream->sha256, "%s", f->sha256);
    return false;
}

/* A checkpoint is a file of the job as an artifact is; its rows are others. */
static enum status find_file(struct daemon *d, struct stream *s, const char *name, bool *ret_found,
                             struct err *err)
{
    struct artifact_query q = {name, s, false};
    struct stored_checkpoint row;
    TRY(store_artifacts(d->store, s->job_id, match_artifact, &q, err));
    *ret_found = q.found;
    if (q.found)
        return ST_OK;
    enum status st = store_checkpoint_load(d->store, s->job_id, name, &row, err);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    *ret_found = true;
    s->size = (uint64_t)row.size_bytes;
    snprintf(s->sha256, sizeof s->sha256, "%s", row.sha256);
    return ST_OK;
}

static enum status open_artifact(struct daemon *d, struct stream *s, const char *name,
                                 struct err *err)
{
    uint64_t size;
    bool found = false;
    TRY(find_file(d, s, name, &found, err));
    if (!found)
        return err_set(err, ST_NOT_FOUND,
                       "job %lld has no result file '%.100s'; `espalier show %lld` lists them",
                       (long long)s->job_id, name, (long long)s->job_id);
    TRY(folder_open(d, s->job_id, name, &s->fd, &size, err));
    if (size != s->size)
        return err_set(err, ST_CORRUPT,
                       "'%.100s' has %llu bytes, but the job reported %llu: it was changed", name,
                       (unsigned long long)size, (unsigned long long)s->size);
    return ST_OK;
}

enum status serve_download(struct daemon *d, struct rpc_call *call,
                           const V1(DownloadRequest) * request, struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    struct stream s = {.kind = &download_kind, .call = call, .job_id = job.id, .fd = -1};
    enum status st = open_artifact(d, &s, request->name, err);
    if (st == ST_OK && request->offset_bytes > s.size)
        st = err_set(err, ST_INVALID, "offset %llu is beyond the file's %llu bytes",
                     (unsigned long long)request->offset_bytes, (unsigned long long)s.size);
    s.cursor = (int64_t)request->offset_bytes;
    if (st == ST_OK)
        st = streams_open(d, &s, err);
    if (st != ST_OK && s.fd >= 0)
        close(s.fd);
    return st;
}
