/* spool.c - see spool.h. */
#include "report/spool.h"

#include "base/buf.h"
#include "base/file.h"
#include "espalier/v1/report.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FRAME_HEAD 13 /* kind, length, sum */
#define HEAD_MAX 512  /* bytes of the packed head */

static uint64_t fnv1a(const uint8_t *p, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static void put_le(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static void frame_add(struct buf *b, enum spool_kind kind, const void *data, size_t len)
{
    uint8_t head[FRAME_HEAD] = {(uint8_t)kind};
    put_le(head + 1, len, 4);
    put_le(head + 5, fnv1a(data, len), 8);
    buf_add(b, head, sizeof head);
    buf_add(b, data, len);
}

static void frame_add_ack(struct buf *b, uint64_t number)
{
    uint8_t le[8];
    put_le(le, number, 8);
    frame_add(b, SPOOL_ACK, le, sizeof le);
}

static enum status frame_add_head(struct buf *b, const char *job_id, uint32_t attempt,
                                  struct err *err)
{
    uint8_t packed[HEAD_MAX];
    Espalier__V1__ReportRequest head = ESPALIER__V1__REPORT_REQUEST__INIT;
    head.job_id = (char *)job_id;
    head.attempt = attempt;
    if (espalier__v1__report_request__get_packed_size(&head) > sizeof packed)
        return err_set(err, ST_INVALID, "the job id '%.40s...' is too long", job_id);
    frame_add(b, SPOOL_HEAD, packed, espalier__v1__report_request__pack(&head, packed));
    return ST_OK;
}

/* ---- reading ------------------------------------------------------------------------------ */

struct frame {
    int kind;
    const uint8_t *data;
    size_t len;
};

/* The frame at *at, which moves past it; false at the end or where the rest is torn. */
static bool frame_next(const struct buf *b, size_t *at, struct frame *ret_frame)
{
    const uint8_t *p = (const uint8_t *)b->data + *at;
    size_t left = b->len - *at;
    if (left < FRAME_HEAD)
        return false;
    size_t len = (size_t)get_le(p + 1, 4);
    if (len > left - FRAME_HEAD || fnv1a(p + FRAME_HEAD, len) != get_le(p + 5, 8))
        return false;
    *ret_frame = (struct frame){p[0], p + FRAME_HEAD, len};
    *at += FRAME_HEAD + len;
    return true;
}

static enum status check_head(const struct spool *s, const struct frame *f, const char *job_id,
                              uint32_t attempt, struct err *err)
{
    Espalier__V1__ReportRequest *head =
        f->kind == SPOOL_HEAD ? espalier__v1__report_request__unpack(NULL, f->len, f->data) : NULL;
    if (!head)
        return err_set(err, ST_CORRUPT, "%s is not a report spool", s->path);
    enum status st = ST_OK;
    if (strcmp(head->job_id, job_id) != 0 || head->attempt != attempt)
        st = err_set(err, ST_STATE,
                     "the spool %s belongs to attempt %u of job %s, not to attempt %u of job %s",
                     s->path, head->attempt, head->job_id, attempt, job_id);
    espalier__v1__report_request__free_unpacked(head, NULL);
    return st;
}

static enum status load_record(struct record_queue *waiting, const struct frame *f, uint64_t *last,
                               struct err *err)
{
    Espalier__V1__Record *r = espalier__v1__record__unpack(NULL, f->len, f->data);
    if (!r)
        return ST_OK; /* of a newer version: its number alone would be of no use */
    uint64_t number = r->number;
    espalier__v1__record__free_unpacked(r, NULL);
    struct record *record = record_create(number, record_series(f->data, f->len), f->data, f->len);
    if (!record)
        return err_set(err, ST_NOMEM, "out of memory for the records of the spool");
    record_push(waiting, record);
    *last = number > *last ? number : *last;
    return ST_OK;
}

/* Takes all whole frames; *ret_good is where they end. */
static enum status load_frames(const struct spool *s, const struct buf *b, const char *job_id,
                               uint32_t attempt, struct record_queue *waiting, uint64_t *last,
                               size_t *ret_good, struct err *err)
{
    struct frame f;
    size_t at = 0;
    if (!frame_next(b, &at, &f))
        return err_set(err, ST_CORRUPT, "%s is not a report spool", s->path);
    TRY(check_head(s, &f, job_id, attempt, err));
    *ret_good = at;
    while (frame_next(b, &at, &f)) {
        *ret_good = at;
        if (f.kind == SPOOL_RECORD) {
            TRY(load_record(waiting, &f, last, err));
        } else if (f.kind == SPOOL_ACK && f.len == 8) {
            uint64_t acked = get_le(f.data, 8);
            record_drop_to(waiting, acked);
            *last = acked > *last ? acked : *last;
        }
    }
    return ST_OK;
}

/* ---- writing ------------------------------------------------------------------------------ */

static enum status write_all(struct spool *s, const struct buf *b, struct err *err)
{
    if (!buf_ok(b))
        return err_set(err, ST_NOMEM, "out of memory for the spool %s", s->path);
    for (size_t at = 0; at < b->len;) {
        ssize_t n = pwrite(s->fd, b->data + at, b->len - at, (off_t)(s->bytes + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            enum status st = err_errno(err, "cannot write the spool %s", s->path);
            /* Half a frame would hide every later one. If this fails too, the sum finds it out. */
            if (ftruncate(s->fd, (off_t)s->bytes) < 0)
                return st;
            return st;
        }
        at += (size_t)n;
    }
    s->bytes += b->len;
    return ST_OK;
}

enum status spool_append(struct spool *s, enum spool_kind kind, const void *data, size_t len,
                         struct err *err)
{
    struct buf b;
    buf_init(&b, len + FRAME_HEAD);
    frame_add(&b, kind, data, len);
    enum status st = write_all(s, &b, err);
    buf_fini(&b);
    return st;
}

enum status spool_append_ack(struct spool *s, uint64_t number, struct err *err)
{
    struct buf b;
    buf_init(&b, FRAME_HEAD + 8);
    frame_add_ack(&b, number);
    enum status st = write_all(s, &b, err);
    buf_fini(&b);
    return st;
}

enum status spool_sync(struct spool *s, struct err *err)
{
    return fdatasync(s->fd) < 0 ? err_errno(err, "cannot sync the spool %s", s->path) : ST_OK;
}

/* Opens the file that the path names now and locks it. */
static enum status lock_file(struct spool *s, struct err *err)
{
    int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "cannot open the spool %s", s->path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        enum status st =
            errno == EWOULDBLOCK
                ? err_set(err, ST_STATE, "the spool %s is in use by another process", s->path)
                : err_errno(err, "cannot lock the spool %s", s->path);
        close(fd);
        return st;
    }
    if (s->fd >= 0)
        close(s->fd);
    s->fd = fd;
    return ST_OK;
}

enum status spool_rewrite(struct spool *s, const char *job_id, uint32_t attempt, uint64_t acked,
                          const struct record_queue *waiting, struct err *err)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2); /* as much as the queue, which has its own maximum */
    enum status st = frame_add_head(&b, job_id, attempt, err);
    frame_add_ack(&b, acked);
    for (const struct record *r = waiting->first; r; r = r->next)
        frame_add(&b, SPOOL_RECORD, r->bytes, r->len);
    if (st == ST_OK && !buf_ok(&b))
        st = err_set(err, ST_NOMEM, "out of memory for the spool %s", s->path);
    if (st == ST_OK)
        st = file_write_atomic(s->path, b.data, b.len, 0600, err);
    if (st == ST_OK)
        st = lock_file(s, err);
    if (st == ST_OK)
        s->bytes = b.len;
    buf_fini(&b);
    return st;
}

enum status spool_open(struct spool *s, const char *path, const char *job_id, uint32_t attempt,
                       size_t max, struct record_queue *waiting, uint64_t *ret_last,
                       struct err *err)
{
    *s = (struct spool){.fd = -1, .path = strdup(path)};
    if (!s->path)
        return err_set(err, ST_NOMEM, "out of memory for the path %s", path);
    struct buf b;
    buf_init(&b, max);
    uint64_t last = 0;
    enum status st = lock_file(s, err);
    if (st == ST_OK)
        st = file_read(&b, path, err);
    if (st == ST_OK && b.len == 0)
        st = spool_rewrite(s, job_id, attempt, 0, waiting, err);
    else if (st == ST_OK)
        st = load_frames(s, &b, job_id, attempt, waiting, &last, &s->bytes, err);
    if (st == ST_OK && s->bytes < b.len && ftruncate(s->fd, (off_t)s->bytes) < 0)
        st = err_errno(err, "cannot cut the torn end off the spool %s", path);
    buf_fini(&b);
    if (st == ST_OK)
        *ret_last = last;
    else
        spool_close(s);
    return st;
}

void spool_close(struct spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    *s = (struct spool){.fd = -1};
}
