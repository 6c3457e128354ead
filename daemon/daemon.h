/* daemon.h - the coordinator: what it owns, and the one thread that may touch it.
 *
 * Everything in struct daemon belongs to the loop's thread. Other threads (gRPC's, the checker's) hold only
 * the pointer and hand work over by inbox_post(). A pass of the loop (loop.c) is: wait, timers, inbox,
 * queue, group commit, answers, effects, streams. Nothing is answered or done before the commit that
 * makes it true; if the commit fails, the group never happened and memory is read anew from the store.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "base/clock.h"
#include "base/err.h"
#include "job/job.h"
#include "launch/launch.h"
#include "metrics/page.h"
#include "options.h"
#include "rpc/rpc.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct inbox;
struct checker;
struct hasher;
struct streams;
struct jobs;
struct answer;
struct diagnosis;
struct metrics;
struct webhook;
struct access;
struct sweeper;

struct daemon {
    struct options options;
    const struct clock *clock;
    char owner[JOB_OWNER_MAX]; /* the account's name */
    int64_t started_ms;
    int64_t home_id;                                 /* random; HOME/id */
    int home_lock, store_lock, socket_lock, signals; /* file descriptors; -1 = none */

    struct nodes nodes; /* what jobs run on; options.node is their sum */
    struct store *store;
    struct launch *launch;
    struct jobs *jobs; /* those that are not over */
    struct inbox *inbox;
    struct checker *checker;     /* its thread parses job files */
    struct hasher *hasher;       /* its thread reads whole checkpoints */
    struct sweeper *sweeper;     /* its thread deletes folders of removed jobs */
    struct diagnosis *diagnosis; /* a Diagnose call that is under way; NULL = none */
    struct streams *streams;     /* open Watch, Logs and Download calls */
    struct rpc_server *server;
    struct metrics *metrics; /* the page; NULL = none */
    struct webhook *webhook; /* NULL = none */
    struct meters meters;
    int ports[16];         /* that were chosen, by the number of the address in config.listen */
    struct access *access; /* tokens, and who calls how often */
    struct munge *munge;   /* NULL: its credentials are not taken */

    const struct rpc_identity *caller;     /* of the request that is being served; NULL = none is */
    struct answer *answers, **answers_end; /* what this group will be told once durable */
    struct err group_err;                  /* code ST_OK: nothing in this group has failed */
    bool failing;          /* the last group failed: nothing is tried before the next tick */
    bool stale;            /* memory could not be read anew: nothing is known until it is */
    bool queue_dirty;      /* something changed that may let a job start */
    int64_t next_tick_ms;  /* monotonic */
    int64_t next_start_ms; /* when a job that waits after a bad end may start; 0 = none does */
    int64_t next_trim_ms;  /* monotonic: when logs are held to their limit */
    bool log_uncut;        /* a file system without holes was complained of */
    int64_t complained_ms; /* when a failing store was last logged */
    int stop_signal;       /* 0 = go on */
};

/* Builds every subsystem in the order of one table, or none. */
enum status daemon_create(struct daemon **ret_daemon, const struct options *options,
                          struct err *err);
/* Backwards through the table. Running jobs go on; the next daemon adopts them. NULL allowed. */
void daemon_destroy(struct daemon *d);

static inline int64_t daemon_now_ms(const struct daemon *d)
{
    return d->clock->wall_ms(d->clock);
}

#endif
