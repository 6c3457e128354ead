/* state.h - the states of a job, and the one table of what may follow what. Pure.
 *
 * docs/spec/job-states.md draws this table; a test compares the two. A restart is a replay: the
 * state of a job is job_next() folded over its events. The numbers are those of job.proto and of
 * the store, so they are never changed.
 */
#ifndef JOB_STATE_H
#define JOB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, number, is over, holds resources of the node */
#define JOB_STATES(X)                                                                              \
    X(NONE, 0, false, false)                                                                       \
    X(QUEUED, 1, false, false)                                                                     \
    X(SUBMITTED, 2, false, true)                                                                   \
    X(STARTING, 3, false, true)                                                                    \
    X(RUNNING, 4, false, true)                                                                     \
    X(STOPPING, 5, false, true)                                                                    \
    X(COMPLETED, 6, true, false)                                                                   \
    X(CANCELLED, 7, true, false)                                                                   \
    X(FAILED, 8, true, false)                                                                      \
    X(TIMEOUT, 9, true, false)                                                                     \
    X(UNREACHABLE, 10, false, true)                                                                \
    X(HELD, 11, false, false)                                                                      \
    X(PAUSING, 12, false, true)                                                                    \
    X(PAUSED, 13, false, false)                                                                    \
    X(REQUEUED, 14, false, false)                                                                  \
    X(PREEMPTED, 15, false, false)                                                                 \
    X(STALLED, 16, false, true)

#define JOB_STATE_ENUM(name, number, over, holds) JOB_##name = (number),
enum job_state { JOB_STATES(JOB_STATE_ENUM) JOB_STATE_COUNT };
#undef JOB_STATE_ENUM

/* What can happen to a job. */
#define JOB_EVENTS(X)                                                                              \
    X(SUBMIT, "submit")                   /* accepted */                                           \
    X(SUBMIT_HELD, "submit_held")         /* accepted, not to run yet */                           \
    X(HOLD, "hold")                       /* a person: not yet */                                  \
    X(RELEASE, "release")                 /* a person: now */                                      \
    X(PLACE, "place")                     /* the queue found room; a new attempt begins */         \
    X(START, "start")                     /* the launcher has started the attempt */               \
    X(HELLO, "hello")                     /* the worker's first report */                          \
    X(STEP, "step")                       /* a stalled worker reported progress */                 \
    X(STALL, "stall")                     /* alive, no step for long */                            \
    X(LOSE, "lose")                       /* no contact and no evidence of an end */               \
    X(FIND, "find")                       /* contact again */                                      \
    X(CANCEL, "cancel")                   /* a person asked for the end */                         \
    X(TIME_UP, "time_up")                 /* the attempt's time limit passed */                    \
    X(PAUSE, "pause")                     /* a person: checkpoint, give the node back */           \
    X(RESUME, "resume")                   /* a person: go on from there */                         \
    X(PREEMPT, "preempt")                 /* the cluster took the node away */                     \
    X(RESTART, "restart")                 /* on_stall: restart */                                  \
    X(RETRY, "retry")                     /* a person: another attempt after all */                \
    X(RESOLVE_FAILED, "resolve_failed")   /* a person's word: the attempt is over, and the job */  \
    X(RESOLVE_REQUEUE, "resolve_requeue") /* the same; start another */                            \
    X(END_OK, "end_ok")                   /* exit 0 and a "done" record */                         \
    X(END_CANCELLED, "end_cancelled")     /* it ended after a cancel */                            \
    X(END_TIMEOUT, "end_timeout")         /* it ended after its time limit */                      \
    X(END_PAUSED, "end_paused")           /* it ended after a pause */                             \
    X(END_RETRY, "end_retry")             /* it ended badly; another attempt is due */             \
    X(END_FAILED, "end_failed")           /* it ended badly; no further attempt */

#define JOB_EVENT_ENUM(name, text) ON_##name,
enum job_event { JOB_EVENTS(JOB_EVENT_ENUM) JOB_EVENT_COUNT };
#undef JOB_EVENT_ENUM

/* Whether a new attempt may cure it. ELSEWHERE: on another node, where there is a choice. */
enum retry_class { RETRY_NONE, RETRY_NOW, RETRY_ELSEWHERE };

/* The closed list of reasons: name on the wire, retry class, limit, wait, what it means.
 *
 * limit: how many attempts of a job may end for this reason and be followed by another one. 0: there is no limit of its
 * own, such ends share the job's `retries`. What is not the job's fault has its own and costs none of those.
 * wait: seconds until the next attempt; doubled for each such end, up to --retry-wait (job_retry_wait_ms()). */
#define JOB_REASONS(X)                                                                             \
    X(NONE, "", RETRY_NONE, 0, 0, "all is well")                                                   \
    X(CANCELLED, "cancelled", RETRY_NONE, 0, 0, "a person asked for the end")                      \
    X(TIME_LIMIT, "time_limit", RETRY_NONE, 0, 0,                                                  \
      "the attempt ran longer than resources.time_minutes")                                        \
    X(HELD, "held", RETRY_NONE, 0, 0, "a person holds it back")                                    \
    X(PAUSED, "paused", RETRY_NONE, 0, 0, "a person paused it")                                    \
    X(RESOLVED, "resolved", RETRY_NONE, 0, 0, "a person said that the attempt is over")            \
    X(PREEMPTED, "preempted", RETRY_ELSEWHERE, 100, 1, "the cluster took the node away")           \
    X(NO_CONTACT, "no_contact", RETRY_NONE, 0, 0, "nothing is known about the attempt")            \
    X(STALLED, "stalled", RETRY_NOW, 0, 1, "alive, but no step for long")                          \
    X(LAUNCH_FAILED, "launch_failed", RETRY_NONE, 0, 0, "the launcher could not start the ranks")  \
    X(RANK_LOST, "rank_lost", RETRY_NOW, 0, 1, "a rank was killed by a signal")                    \
    X(VANISHED, "vanished", RETRY_NOW, 0, 1, "all its processes are gone without an exit record")  \
    X(HOST_RESTARTED, "host_restarted", RETRY_NOW, 20, 1,                                          \
      "the machine was started anew meanwhile")                                                    \
    X(NO_DONE_RECORD, "no_done_record", RETRY_NOW, 0, 2, "exit 0, but the worker never said done") \
    X(STOPPED, "stopped", RETRY_NOW, 20, 1, "something outside asked the worker to stop")          \
    X(WORKER_FAILED, "worker_failed", RETRY_NOW, 0, 2, "it ended with an error and said nothing")  \
    X(WALL_TIME, "wall_time", RETRY_NOW, 10000, 1,                                                 \
      "the time of the Slurm job was over; the next one goes on from the checkpoint")              \
    X(TOO_SHORT, "too_short", RETRY_NOW, 0, 2,                                                     \
      "the time of the Slurm job was over before there was a new checkpoint")                      \
    X(NODE_LOST, "node_lost", RETRY_ELSEWHERE, 20, 10,                                             \
      "a node failed: Slurm says so, or it no longer answers")                                     \
    X(OUT_OF_MEMORY, "out_of_memory", RETRY_NONE, 0, 0, "it used more memory than it may")         \
    X(NAN_LOSS, "nan_loss", RETRY_NONE, 0, 0, "the loss was NaN or Inf too often in a row")        \
    X(COLLAPSE, "collapse", RETRY_NONE, 0, 0, "all queries answered alike")                        \
    X(BAD_INPUT, "bad_input", RETRY_NONE, 0, 0, "a file it needs is wrong")                        \
    X(IO, "io", RETRY_NOW, 0, 10, "reading or writing failed")                                     \
    X(INTERNAL, "internal", RETRY_NONE, 0, 0, "an error of the worker itself")

#define JOB_REASON_ENUM(name, text, retry, limit, wait, meaning) REASON_##name,
enum job_reason { JOB_REASONS(JOB_REASON_ENUM) JOB_REASON_COUNT, REASON_GIVEN };
#undef JOB_REASON_ENUM

/* One edge. reason REASON_GIVEN: it comes with the event. */
struct job_edge {
    enum job_state from;
    enum job_event event;
    enum job_state to;
    enum job_reason reason;
};

/* The whole table, in the order of the drawing. */
const struct job_edge *job_edges(size_t *ret_n);
/* The edge that the event takes from there; NULL if it may not happen in that state. */
const struct job_edge *job_next(enum job_state from, enum job_event event);

const char *job_state_name(enum job_state s); /* "QUEUED"; "?" for a number out of range */
bool job_state_find(const char *name, enum job_state *ret_state);
bool job_state_is_over(enum job_state s);
bool job_state_holds(enum job_state s);      /* counts against the node's inventory */
bool job_state_is_waiting(enum job_state s); /* the queue may place it */
/* An attempt of which the launcher finds nothing may be one that never began. reported: its worker has said something.
 * Otherwise its folder is away, and a start would be a second one. */
bool job_state_may_be_unborn(enum job_state s, bool reported);

const char *job_event_name(enum job_event e);
const char *job_reason_name(enum job_reason r);
const char *job_reason_meaning(enum job_reason r);
enum retry_class job_reason_retry(enum job_reason r);
int job_reason_limit(enum job_reason r); /* 0 = it shares the job's retries */
bool job_reason_find(const char *name, enum job_reason *ret_reason);

/* How an attempt ended, as far as evidence goes. */
enum end_kind {
    END_EXITED,
    END_VANISHED,
    END_HOST_RESTARTED,
    END_NOT_LAUNCHED,
    END_PREEMPTED, /* from here on: what a cluster says */
    END_WALL_TIME,
    END_NODE_LOST,
    END_NO_MEMORY,
    END_CANCELLED, /* there, by somebody */
};

struct job_end {
    enum end_kind kind;
    int exit_code, signal;   /* END_EXITED: signal 0 = it exited by itself */
    bool done, done_success; /* the worker's own end record, if it is durable */
    const char *done_reason; /* borrowed; NULL without one */
    bool no_checkpoint;      /* END_WALL_TIME: the attempt left none */
};

/* What the end is called; state and why as below. */
enum job_reason job_end_reason(const struct job_end *end, enum job_state state,
                               enum job_reason why);

/* Attempts since the count began that ended badly, this one among them. */
struct job_spent {
    int same;    /* for this end's reason */
    int counted; /* for any reason without a limit of its own */
};

/* Which event the end is. `why`: the reason the job stands in, which tells a cancel from a time limit or a restart while
 * STOPPING. `reason`: job_end_reason(); *ret_reason is what the change of state is to say, REASON_NONE for edges that
 * know it themselves. */
enum job_event job_end_event(const struct job_end *end, enum job_state state, enum job_reason why,
                             enum job_reason reason, const struct job_spent *spent, int retries,
                             enum job_reason *ret_reason);

/* How long the next attempt waits after such an end, so that what dies at once does not spin. ran_ms: how long the attempt
 * lasted; one of ten minutes or more has shown that the job can run and waits as after a first end. */
int64_t job_retry_wait_ms(enum job_reason reason, const struct job_spent *spent, int64_t ran_ms,
                          int64_t most_ms);

#endif
