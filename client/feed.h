/* feed.h - a job's events or log, followed across restarts of the daemon, together with what else
 * may happen meanwhile: Ctrl-C, a resized terminal, a tick of the clock.
 *
 * A thread reads the stream; when the connection is lost it opens it anew from the last cursor, so
 * that nothing is lost or doubled. The caller's thread waits for all of these in one place,
 * feed_next(). feed_block_signals() must run before anything starts a thread.
 */
#ifndef CLIENT_FEED_H
#define CLIENT_FEED_H

#include "client/ask.h"
#include "client/cli.h"

enum feed_kind { FEED_EVENTS, FEED_LOG };

enum feed_result {
    FEED_MESSAGE, /* *ret_message: an Event or a LogChunk; the caller frees it with reply_free() */
    FEED_LOST,    /* the connection is gone; it is being tried again (once a loss) */
    FEED_BACK,    /* it is there again */
    FEED_TICK,    /* nothing within the time */
    FEED_RESIZE,
    FEED_INTERRUPT, /* SIGINT or SIGTERM */
    FEED_END,       /* the stream is over: the job has ended, or there is no more */
    FEED_FAILED,    /* for good; see err */
};

struct feed;

/* SIGINT, SIGTERM and SIGWINCH are from now on only seen by feed_next(). */
void feed_block_signals(void);

/* after: only what comes later than this cursor. follow false: end at what there is now. */
enum status feed_open(struct feed **ret_feed, struct cli *cli, enum feed_kind kind, const char *id,
                      uint64_t after, bool follow, struct err *err);
/* The same with filters. What ask points at must outlive the feed. */
enum status feed_open_asking(struct feed **ret_feed, struct cli *cli, enum feed_kind kind,
                             const char *id, const struct ask *ask, struct err *err);
enum feed_result feed_next(struct feed *feed, int timeout_ms, void *ret_message, struct err *err);
void feed_close(struct feed *feed); /* NULL allowed */

#endif
