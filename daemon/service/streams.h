/* streams.h - the open server streams: Watch, Logs, Download.
 *
 * A fixed number of slots. A stream pulls: it sends its next message when the last one was taken, so a slow reader
 * costs one message and nobody waits for it. Slots are never freed while the server runs, so a late
 * wake-up finds its slot or the slot's next tenant, and both are harmless.
 */
#ifndef SERVICE_STREAMS_H
#define SERVICE_STREAMS_H

#include "base/err.h"
#include "job/folder.h"
#include "rpc/rpc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct stream;

#define STREAMS_MAX 512
#define STREAMS_OF_ONE 256 /* of one caller: the others' half */

/* What the next step of a stream came to. */
enum stream_step {
    STREAM_SENT, /* a message is on its way */
    STREAM_WAIT, /* nothing to send now: until a commit or a tick */
    STREAM_MORE, /* its share of this pass is spent and there is more to look through: at the next one */
    STREAM_END,  /* finished well */
    STREAM_FAIL, /* err says why */
};

/* One kind of stream; step() sends at most one message. `tick`: asks again at every tick, else at every commit. */
struct stream_kind {
    enum stream_step (*step)(struct daemon *d, struct stream *s, struct err *err);
    bool tick;
};

/* How long all streams together may look through what they do not send, in one pass of the loop. */
#define STREAMS_SHARE_NS INT64_C(4000000)
/* While calls come, streams send so long and then rest: what they send takes the time of gRPC's thread and of their
 * readers too. Quiet is when no call has come for a while. */
#define STREAMS_ROUND_NS INT64_C(250000)
#define STREAMS_REST_NS INT64_C(2000000)
#define STREAMS_QUIET_NS INT64_C(10000000)

struct stream {
    const struct stream_kind *kind; /* NULL = free slot */
    struct rpc_call *call;
    int64_t job_id; /* 0 = all jobs */
    int64_t cursor; /* events: the last one sent; files: the next byte */
    bool follow;
    int fd; /* of a file; -1 = none */
    uint64_t size;
    char sha256[65];
    void *more;               /* of the kind; NULL = none */
    void (*drop)(void *more); /* frees it when the stream is closed */
    bool looking;             /* its last step said STREAM_MORE */
    bool clear_to_send, due;  /* nothing in flight; something may be there to send */
};

enum status streams_create(struct daemon *d, struct err *err);
void streams_destroy(struct daemon *d); /* after the server has stopped */

/* Takes the call and a copy of *first (fd and `more` included). ST_LIMIT when all slots are taken: nothing was taken. */
enum status streams_open(struct daemon *d, const struct stream *first, struct err *err);

void streams_note_commit(struct daemon *d);
void streams_tick(struct daemon *d);
bool streams_want_tick(const struct daemon *d);
int streams_wait_ms(
    const struct daemon *d); /* until some stream must be asked again; -1 = none must */
void streams_note_call(struct daemon *d); /* a call is served */
void streams_pump(struct daemon *d);
int streams_open_count(const struct daemon *d);
/* A step that looks for something to send stops when this says true, with STREAM_MORE. */
bool streams_share_is_spent(const struct daemon *d);
/* Ends those of a caller: he is not let in any more. */
void streams_end_of(struct daemon *d, const char *name, const char *text);
/* Ends every stream with a sentence: the daemon is about to stop. */
void streams_end_all(struct daemon *d, const char *text);

#endif
