/* feed.c - see feed.h. */
#include "client/feed.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_MAX 256 /* the reader waits when the caller is this far behind */
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 3000

struct item {
    enum feed_result what;
    ProtobufCMessage *message;
    struct err err;
};

struct feed {
    struct cli *cli; /* borrowed */
    enum feed_kind kind;
    char *id;
    struct ask ask;
    uint64_t cursor;   /* reader's: of the last message taken */
    bool any;          /* reader's: some message was taken */
    bool lost;         /* reader's: FEED_LOST was said */
    int signals, wake; /* signalfd; eventfd that is readable while the queue is not empty */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool closing;
    struct rpc_stream *stream; /* while the reader waits in it */
    int first, n;
    struct item queue[QUEUE_MAX];
};

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGWINCH);
}

void feed_block_signals(void)
{
    sigset_t set;
    signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- the reader's thread --------------------------------------------------------------------- */

/* False once the feed is being closed; the message is freed then. */
static bool push(struct feed *f, enum feed_result what, ProtobufCMessage *message,
                 const struct err *err)
{
    pthread_mutex_lock(&f->lock);
    while (f->n == QUEUE_MAX && !f->closing)
        pthread_cond_wait(&f->changed, &f->lock);
    bool open = !f->closing;
    if (open) {
        struct item *item = &f->queue[(f->first + f->n++) % QUEUE_MAX];
        *item = (struct item){.what = what, .message = message};
        if (err)
            item->err = *err;
        eventfd_write(f->wake, 1);
    }
    pthread_mutex_unlock(&f->lock);
    if (!open)
        reply_free(message);
    return open;
}

/* Waits; false when the feed is being closed. */
static bool pause_ms(struct feed *f, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&f->lock);
    while (!f->closing && pthread_cond_timedwait(&f->changed, &f->lock, &until) != ETIMEDOUT)
        ;
    bool open = !f->closing;
    pthread_mutex_unlock(&f->lock);
    return open;
}

static enum status open_events(struct feed *f, struct rpc_stream **ret_stream, struct err *err)
{
    Espalier__V1__WatchRequest request = ESPALIER__V1__WATCH_REQUEST__INIT;
    request.id = f->id;
    request.after = f->cursor;
    request.follow = f->ask.follow;
    request.kinds = (char **)f->ask.kinds;
    request.n_kinds = f->ask.n_kinds;
    request.level = f->ask.level;
    request.since_ms = f->ask.since_ms;
    request.grep = (char *)(f->ask.grep ? f->ask.grep : "");
    return rpc_stream_open(ret_stream, f->cli->rpc, "/espalier.v1.JobService/Watch", &request.base,
                           &espalier__v1__event__descriptor, err);
}

/* A lost connection is taken up behind the last chunk, which settled where the tail begins and since when. */
static enum status open_log(struct feed *f, struct rpc_stream **ret_stream, struct err *err)
{
    Espalier__V1__LogsRequest request = ESPALIER__V1__LOGS_REQUEST__INIT;
    request.id = f->id;
    request.after = f->cursor;
    request.follow = f->ask.follow;
    request.ranks = f->ask.ranks;
    request.n_ranks = f->ask.n_ranks;
    request.level = f->ask.level;
    request.since_ms = f->any ? 0 : f->ask.since_ms;
    request.grep = (char *)(f->ask.grep ? f->ask.grep : "");
    request.tail_lines = f->any ? 0 : f->ask.tail_lines;
    return rpc_stream_open(ret_stream, f->cli->rpc, "/espalier.v1.JobService/Logs", &request.base,
                           &espalier__v1__log_chunk__descriptor, err);
}

/* Shows the stream to feed_close(), so that it can be cancelled; false when it came first. */
static bool stream_show(struct feed *f, struct rpc_stream *stream)
{
    pthread_mutex_lock(&f->lock);
    f->stream = stream;
    bool open = !f->closing;
    pthread_mutex_unlock(&f->lock);
    return open;
}

/* A message counts once: what is not beyond the cursor was seen before the connection broke. */
static bool take_message(struct feed *f, ProtobufCMessage *message)
{
    uint64_t cursor = f->kind == FEED_EVENTS ? ((Espalier__V1__Event *)message)->cursor
                                             : ((Espalier__V1__LogChunk *)message)->next;
    if (f->lost) {
        f->lost = false;
        if (!push(f, FEED_BACK, NULL, NULL)) {
            reply_free(message);
            return false;
        }
    }
    if (cursor <= f->cursor) {
        reply_free(message);
        return true;
    }
    f->cursor = cursor;
    f->any = true;
    return push(f, FEED_MESSAGE, message, NULL);
}

/* Reads one stream to its end. ST_OK: it is over; ST_CANCELLED also when the feed is being closed.
 */
static enum status read_stream(struct feed *f, struct err *err)
{
    struct rpc_stream *stream = NULL;
    TRY(f->kind == FEED_EVENTS ? open_events(f, &stream, err) : open_log(f, &stream, err));
    enum status st = ST_OK;
    bool more = stream_show(f, stream);
    if (!more)
        st = err_set(err, ST_CANCELLED, "closed");
    while (more) {
        ProtobufCMessage *message = NULL;
        st = rpc_stream_next(stream, &message, err);
        more = st == ST_OK && message;
        if (more && !take_message(f, message)) {
            st = err_set(err, ST_CANCELLED, "closed");
            more = false;
        }
    }
    stream_show(f, NULL);
    rpc_stream_close(stream);
    return st;
}

static void *reader_main(void *arg)
{
    struct feed *f = arg;
    int delay = RETRY_FIRST_MS;
    for (;;) {
        uint64_t before = f->cursor;
        struct err err = {0};
        enum status st = read_stream(f, &err);
        if (st == ST_OK) {
            push(f, FEED_END, NULL, NULL);
            return NULL;
        }
        /* A daemon that stops cancels its streams; it comes back, or Ctrl-C ends the wait for it.
         */
        if (!f->ask.follow || (st != ST_UNAVAILABLE && st != ST_CANCELLED)) {
            push(f, FEED_FAILED, NULL, &err);
            return NULL;
        }
        delay = f->cursor != before ? RETRY_FIRST_MS : delay;
        if (!f->lost && !push(f, FEED_LOST, NULL, &err))
            return NULL;
        f->lost = true;
        if (!pause_ms(f, delay))
            return NULL;
        delay = delay * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : delay * 2;
    }
}

/* ---- the caller's side ----------------------------------------------------------------------- */

static enum status feed_init(struct feed *f, struct cli *cli, const char *id, struct err *err)
{
    sigset_t set;
    signal_set(&set);
    f->cli = cli;
    f->id = strdup(id);
    f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    if (!f->id)
        return err_set(err, ST_NOMEM, "out of memory for following job %s", id);
    if (f->wake < 0 || f->signals < 0)
        return err_errno(err, "cannot follow job %s", id);
    TRY(cli_connect(cli, err));
    int code = pthread_create(&f->thread, NULL, reader_main, f);
    if (code) {
        errno = code;
        return err_errno(err, "cannot start a thread");
    }
    f->started = true;
    return ST_OK;
}

enum status feed_open(struct feed **ret_feed, struct cli *cli, enum feed_kind kind, const char *id,
                      uint64_t after, bool follow, struct err *err)
{
    const struct ask ask = {.after = after, .follow = follow};
    return feed_open_asking(ret_feed, cli, kind, id, &ask, err);
}

enum status feed_open_asking(struct feed **ret_feed, struct cli *cli, enum feed_kind kind,
                             const char *id, const struct ask *ask, struct err *err)
{
    struct feed *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(err, ST_NOMEM, "out of memory for following job %s", id);
    *f = (struct feed){.kind = kind, .ask = *ask, .cursor = ask->after, .signals = -1, .wake = -1};
    enum status st = feed_init(f, cli, id, err);
    if (st == ST_OK)
        *ret_feed = f;
    else
        feed_close(f);
    return st;
}

static enum feed_result take_signal(struct feed *f)
{
    struct signalfd_siginfo info;
    if (read(f->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return FEED_TICK;
    return info.ssi_signo == SIGWINCH ? FEED_RESIZE : FEED_INTERRUPT;
}

/* True and *ret_item when the queue has one. */
static bool take_item(struct feed *f, struct item *ret_item)
{
    eventfd_t count;
    pthread_mutex_lock(&f->lock);
    bool any = f->n > 0;
    if (any) {
        *ret_item = f->queue[f->first];
        f->first = (f->first + 1) % QUEUE_MAX;
        f->n--;
        if (f->n == 0)
            eventfd_read(f->wake, &count);
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return any;
}

enum feed_result feed_next(struct feed *f, int timeout_ms, void *ret_message, struct err *err)
{
    struct pollfd fds[] = {{.fd = f->signals, .events = POLLIN}, {.fd = f->wake, .events = POLLIN}};
    struct item item;
    int n = poll(fds, 2, timeout_ms);
    if (n <= 0)
        return FEED_TICK;
    if (fds[0].revents)
        return take_signal(f);
    if (!take_item(f, &item))
        return FEED_TICK;
    if (item.what == FEED_MESSAGE)
        memcpy(ret_message, &item.message, sizeof item.message);
    if ((item.what == FEED_FAILED || item.what == FEED_LOST) && err)
        *err = item.err;
    return item.what;
}

void feed_close(struct feed *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->closing = true;
    if (f->stream)
        rpc_stream_cancel(f->stream);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->started)
        pthread_join(f->thread, NULL);
    struct item item;
    while (take_item(f, &item))
        reply_free(item.message);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    if (f->wake >= 0)
        close(f->wake);
    if (f->signals >= 0)
        close(f->signals);
    free(f->id);
    free(f);
}
