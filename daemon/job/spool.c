/* spool.c - reports that an attempt could not deliver before it ended (docs/spec/worker-environment.md).
 *
 * Frames: kind (1 byte), length (4), FNV-1a of the payload (8), little-endian, then the payload. 'H' a packed
 * ReportRequest with job and attempt, 'R' a packed Record, 'A' what was acknowledged. Reading stops at the
 * first frame that is torn.
 */
#include "job/records.h"

#include "base/file.h"
#include "base/log.h"
#include "daemon.h"
#include "job/change.h"
#include "job/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEAD 13
#define SPOOL_MAX (80u << 20) /* bytes; a worker thins its own at 64 MiB */

struct frame {
    char kind;
    const uint8_t *data;
    size_t len;
};

static uint64_t fnv1a(const uint8_t *p, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t little_endian(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static bool next_frame(const struct buf *b, size_t *at, struct frame *ret_frame)
{
    size_t left = b->len - *at;
    if (left < FRAME_HEAD)
        return false;
    const uint8_t *p = (const uint8_t *)b->data + *at;
    size_t len = (size_t)little_endian(p + 1, 4);
    if (len > left - FRAME_HEAD || fnv1a(p + FRAME_HEAD, len) != little_endian(p + 5, 8))
        return false;
    *ret_frame = (struct frame){(char)p[0], p + FRAME_HEAD, len};
    *at += FRAME_HEAD + len;
    return true;
}

static bool head_is_ours(const struct active *a, const struct frame *f)
{
    Espalier__V1__ReportRequest *head =
        f->kind == 'H' ? espalier__v1__report_request__unpack(NULL, f->len, f->data) : NULL;
    bool ours = head && strtoll(head->job_id, NULL, 10) == a->job.id &&
                head->attempt == (uint32_t)a->job.attempt.number;
    if (head)
        espalier__v1__report_request__free_unpacked(head, NULL);
    return ours;
}

static enum status take_frames(struct daemon *d, struct active *a, const struct buf *b,
                               struct err *err)
{
    struct frame f;
    size_t at = 0;
    enum status st = ST_OK;
    if (!next_frame(b, &at, &f) || !head_is_ours(a, &f))
        return ST_OK; /* not this attempt's: it says nothing */
    while (st == ST_OK && next_frame(b, &at, &f)) {
        Espalier__V1__Record *r =
            f.kind == 'R' ? espalier__v1__record__unpack(NULL, f.len, f.data) : NULL;
        if (r && rpc_message_valid_utf8(&r->base))
            st = records_take(d, a, &r, 1, err);
        if (r)
            espalier__v1__record__free_unpacked(r, NULL);
    }
    return st;
}

enum status records_take_spool(struct daemon *d, struct active *a, struct err *err)
{
    char path[FOLDER_PATH_MAX + 32];
    folder_path(d, a->job.id, path);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, "/spool/attempt-%d", a->job.attempt.number);
    if (!file_exists(path))
        return ST_OK;
    struct buf b;
    buf_init(&b, SPOOL_MAX);
    enum status st = file_read(&b, path, err);
    if (st == ST_OK)
        st = take_frames(d, a, &b, err);
    else if (st == ST_LIMIT) {
        /* It does not become smaller by waiting, and its job would never end. */
        log_warn("job %lld: nothing is taken of what its worker left: %s", (long long)a->job.id,
                 err->text);
        st = ST_OK;
    }
    buf_fini(&b);
    return st;
}
