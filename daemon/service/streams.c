/* streams.c - see streams.h. */
#include "service/streams.h"

#include "base/clock.h"
#include "daemon.h"
#include "inbox.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct slot {
    struct message wake; /* in the inbox while `posted` */
    atomic_bool posted;
    struct daemon *daemon;
    struct stream stream;
};

struct streams {
    struct slot slot[STREAMS_MAX];
    int open;
    bool more;                         /* in this pass some stream said STREAM_MORE */
    int first;                         /* whose turn it is to come first */
    int64_t until_ns;                  /* end of this pass's share */
    int64_t called_ns, rests_until_ns; /* the last call that was served; no stream sends before */
};

enum status streams_create(struct daemon *d, struct err *err)
{
    d->streams = calloc(1, sizeof *d->streams);
    if (!d->streams)
        return err_set(err, ST_NOMEM, "out of memory for %d streams", STREAMS_MAX);
    return ST_OK;
}

void streams_destroy(struct daemon *d)
{
    free(d->streams);
    d->streams = NULL;
}

static void woken(struct daemon *d, struct message *m)
{
    struct slot *slot = (struct slot *)m; /* its first member */
    (void)d;
    atomic_store(&slot->posted, false);
    slot->stream.clear_to_send = slot->stream.due = true;
}

/* On the server's thread: the last message was taken, or the peer is gone. */
static void ready(struct rpc_call *call, void *user)
{
    struct slot *slot = user;
    (void)call;
    if (!atomic_exchange(&slot->posted, true))
        inbox_post(slot->daemon->inbox, &slot->wake);
}

static int count_of(const struct daemon *d, const char *name)
{
    int n = 0;
    for (int i = 0; i < STREAMS_MAX; i++) {
        const struct stream *s = &d->streams->slot[i].stream;
        n += s->kind && strcmp(rpc_call_identity(s->call)->name, name) == 0;
    }
    return n;
}

enum status streams_open(struct daemon *d, const struct stream *first, struct err *err)
{
    const char *name = rpc_call_identity(first->call)->name;
    if (d->streams->open >= STREAMS_OF_ONE && count_of(d, name) >= STREAMS_OF_ONE)
        return err_set(err, ST_LIMIT, "%s has %d streams open, which is all that one may have",
                       name, STREAMS_OF_ONE);
    for (int i = 0; i < STREAMS_MAX; i++) {
        struct slot *slot = &d->streams->slot[i];
        if (slot->stream.kind)
            continue;
        slot->daemon = d;
        slot->wake.run = woken;
        slot->stream = *first;
        slot->stream.clear_to_send = slot->stream.due = true;
        d->streams->open++;
        rpc_call_on_ready(first->call, ready, slot);
        return ST_OK;
    }
    return err_set(err, ST_LIMIT,
                   "this daemon serves at most %d streams at a time; try again later", STREAMS_MAX);
}

static void close_slot(struct daemon *d, struct slot *slot, enum status st, const char *text)
{
    struct stream *s = &slot->stream;
    if (st == ST_OK)
        rpc_call_finish(s->call);
    else
        rpc_call_fail(s->call, st, text);
    if (s->fd >= 0)
        close(s->fd);
    if (s->drop)
        s->drop(s->more);
    *s = (struct stream){.fd = -1};
    d->streams->open--;
}

static void mark(struct daemon *d, bool tick)
{
    for (int i = 0; d->streams->open && i < STREAMS_MAX; i++) {
        struct stream *s = &d->streams->slot[i].stream;
        if (s->kind && s->kind->tick == tick)
            s->due = true;
    }
}

void streams_note_commit(struct daemon *d)
{
    mark(d, false);
}

void streams_tick(struct daemon *d)
{
    mark(d, true);
}

int streams_wait_ms(const struct daemon *d)
{
    if (!d->streams->more)
        return -1;
    int64_t left = d->streams->rests_until_ns - clock_mono_ns();
    return left > 0 ? (int)(left / 1000000) + 1 : 0;
}

void streams_note_call(struct daemon *d)
{
    d->streams->called_ns = clock_mono_ns();
}

bool streams_want_tick(const struct daemon *d)
{
    for (int i = 0; d->streams->open && i < STREAMS_MAX; i++) {
        const struct stream *s = &d->streams->slot[i].stream;
        if (s->kind && s->kind->tick && s->follow)
            return true;
    }
    return false;
}

bool streams_share_is_spent(const struct daemon *d)
{
    return clock_mono_ns() >= d->streams->until_ns;
}

static void step(struct daemon *d, struct slot *slot)
{
    struct stream *s = &slot->stream;
    struct err err;
    if (rpc_call_gone(s->call)) {
        close_slot(d, slot, ST_CANCELLED, "the client is gone");
        return;
    }
    int64_t expires = rpc_call_identity(s->call)->expires_ms;
    if (expires && daemon_now_ms(d) >= expires) {
        close_slot(d, slot, ST_DENIED, "the token has expired");
        return;
    }
    if (!s->due || !s->clear_to_send)
        return;
    if (s->looking && streams_share_is_spent(d)) {
        d->streams->more = true;
        return;
    }
    s->looking = false;
    d->caller = rpc_call_identity(s->call);
    enum stream_step outcome = s->kind->step(d, s, &err);
    d->caller = NULL;
    switch (outcome) {
    case STREAM_SENT:
        s->clear_to_send = false;
        break;
    case STREAM_WAIT:
        s->due = false;
        break;
    case STREAM_MORE:
        d->streams->more = s->looking = true;
        break;
    case STREAM_END:
        close_slot(d, slot, ST_OK, "");
        break;
    case STREAM_FAIL:
        close_slot(d, slot, err.code, err.text);
        break;
    }
}

void streams_pump(struct daemon *d)
{
    /* What an open group has written is not for anybody's eyes yet. */
    if (store_is_writing(d->store))
        return;
    struct streams *all = d->streams;
    int64_t begun = clock_mono_ns();
    int first = all->first;
    bool busy = begun - all->called_ns < STREAMS_QUIET_NS;
    if (begun < all->rests_until_ns)
        return;
    all->more = false;
    all->until_ns = begun + STREAMS_SHARE_NS;
    all->first = (first + 1) % STREAMS_MAX;
    for (int i = 0; all->open && i < STREAMS_MAX; i++) {
        struct slot *slot = &all->slot[(first + i) % STREAMS_MAX];
        if (!slot->stream.kind)
            continue;
        int64_t now = clock_mono_ns();
        if (busy && now - begun > STREAMS_ROUND_NS) {
            all->first = (first + i) % STREAMS_MAX; /* the next round goes on here */
            all->more = true;
            all->rests_until_ns = now + STREAMS_REST_NS;
            return;
        }
        step(d, slot);
    }
}

int streams_open_count(const struct daemon *d)
{
    return d->streams ? d->streams->open : 0;
}

void streams_end_all(struct daemon *d, const char *text)
{
    for (int i = 0; d->streams->open && i < STREAMS_MAX; i++)
        if (d->streams->slot[i].stream.kind)
            close_slot(d, &d->streams->slot[i], ST_UNAVAILABLE, text);
}

void streams_end_of(struct daemon *d, const char *name, const char *text)
{
    for (int i = 0; d->streams->open && i < STREAMS_MAX; i++) {
        const struct stream *s = &d->streams->slot[i].stream;
        if (s->kind && strcmp(rpc_call_identity(s->call)->name, name) == 0)
            close_slot(d, &d->streams->slot[i], ST_DENIED, text);
    }
}
