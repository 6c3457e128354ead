/* state.c - see state.h. */
#include "job/state.h"

#include <string.h>

/* clang-format off */
static const struct job_edge edges[] = {
    /* from             event             to               reason */
    /* in */
    {JOB_NONE,        ON_SUBMIT,        JOB_QUEUED,      REASON_NONE},
    {JOB_NONE,        ON_SUBMIT_HELD,   JOB_HELD,        REASON_HELD},
    {JOB_QUEUED,      ON_HOLD,          JOB_HELD,        REASON_HELD},
    {JOB_REQUEUED,    ON_HOLD,          JOB_HELD,        REASON_HELD},
    {JOB_PREEMPTED,   ON_HOLD,          JOB_HELD,        REASON_HELD},
    {JOB_HELD,        ON_RELEASE,       JOB_QUEUED,      REASON_NONE},
    /* up */
    {JOB_QUEUED,      ON_PLACE,         JOB_SUBMITTED,   REASON_NONE},
    {JOB_REQUEUED,    ON_PLACE,         JOB_SUBMITTED,   REASON_NONE},
    {JOB_PREEMPTED,   ON_PLACE,         JOB_SUBMITTED,   REASON_NONE},
    {JOB_SUBMITTED,   ON_START,         JOB_STARTING,    REASON_NONE},
    {JOB_SUBMITTED,   ON_HELLO,         JOB_RUNNING,     REASON_NONE},
    {JOB_STARTING,    ON_HELLO,         JOB_RUNNING,     REASON_NONE},
    /* aside and back */
    {JOB_STARTING,    ON_STALL,         JOB_STALLED,     REASON_STALLED},
    {JOB_RUNNING,     ON_STALL,         JOB_STALLED,     REASON_STALLED},
    {JOB_STALLED,     ON_STEP,          JOB_RUNNING,     REASON_NONE},
    {JOB_SUBMITTED,   ON_LOSE,          JOB_UNREACHABLE, REASON_NO_CONTACT},
    {JOB_STARTING,    ON_LOSE,          JOB_UNREACHABLE, REASON_NO_CONTACT},
    {JOB_RUNNING,     ON_LOSE,          JOB_UNREACHABLE, REASON_NO_CONTACT},
    {JOB_STALLED,     ON_LOSE,          JOB_UNREACHABLE, REASON_NO_CONTACT},
    {JOB_UNREACHABLE, ON_FIND,          JOB_RUNNING,     REASON_NONE},
    {JOB_SUBMITTED,   ON_PAUSE,         JOB_PAUSING,     REASON_PAUSED},
    {JOB_STARTING,    ON_PAUSE,         JOB_PAUSING,     REASON_PAUSED},
    {JOB_RUNNING,     ON_PAUSE,         JOB_PAUSING,     REASON_PAUSED},
    {JOB_STALLED,     ON_PAUSE,         JOB_PAUSING,     REASON_PAUSED},
    {JOB_PAUSING,     ON_END_PAUSED,    JOB_PAUSED,      REASON_PAUSED},
    {JOB_PAUSED,      ON_RESUME,        JOB_REQUEUED,    REASON_NONE},
    {JOB_SUBMITTED,   ON_PREEMPT,       JOB_PREEMPTED,   REASON_PREEMPTED},
    {JOB_STARTING,    ON_PREEMPT,       JOB_PREEMPTED,   REASON_PREEMPTED},
    {JOB_RUNNING,     ON_PREEMPT,       JOB_PREEMPTED,   REASON_PREEMPTED},
    {JOB_STALLED,     ON_PREEMPT,       JOB_PREEMPTED,   REASON_PREEMPTED},
    {JOB_UNREACHABLE, ON_PREEMPT,       JOB_PREEMPTED,   REASON_PREEMPTED},
    /* the end is asked for */
    {JOB_HELD,        ON_CANCEL,        JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_QUEUED,      ON_CANCEL,        JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_REQUEUED,    ON_CANCEL,        JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_PREEMPTED,   ON_CANCEL,        JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_PAUSED,      ON_CANCEL,        JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_SUBMITTED,   ON_CANCEL,        JOB_STOPPING,    REASON_CANCELLED},
    {JOB_STARTING,    ON_CANCEL,        JOB_STOPPING,    REASON_CANCELLED},
    {JOB_RUNNING,     ON_CANCEL,        JOB_STOPPING,    REASON_CANCELLED},
    {JOB_STALLED,     ON_CANCEL,        JOB_STOPPING,    REASON_CANCELLED},
    {JOB_PAUSING,     ON_CANCEL,        JOB_STOPPING,    REASON_CANCELLED},
    {JOB_UNREACHABLE, ON_CANCEL,        JOB_STOPPING,    REASON_CANCELLED},
    {JOB_STARTING,    ON_TIME_UP,       JOB_STOPPING,    REASON_TIME_LIMIT},
    {JOB_RUNNING,     ON_TIME_UP,       JOB_STOPPING,    REASON_TIME_LIMIT},
    {JOB_STALLED,     ON_TIME_UP,       JOB_STOPPING,    REASON_TIME_LIMIT},
    {JOB_STALLED,     ON_RESTART,       JOB_STOPPING,    REASON_STALLED},
    /* over */
    {JOB_RUNNING,     ON_END_OK,        JOB_COMPLETED,   REASON_NONE},
    {JOB_STALLED,     ON_END_OK,        JOB_COMPLETED,   REASON_NONE},
    {JOB_UNREACHABLE, ON_END_OK,        JOB_COMPLETED,   REASON_NONE},
    {JOB_PAUSING,     ON_END_OK,        JOB_COMPLETED,   REASON_NONE},
    {JOB_STOPPING,    ON_END_OK,        JOB_COMPLETED,   REASON_NONE},
    {JOB_STOPPING,    ON_END_CANCELLED, JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_SUBMITTED,   ON_END_CANCELLED, JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_STARTING,    ON_END_CANCELLED, JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_RUNNING,     ON_END_CANCELLED, JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_STALLED,     ON_END_CANCELLED, JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_UNREACHABLE, ON_END_CANCELLED, JOB_CANCELLED,   REASON_CANCELLED},
    {JOB_STOPPING,    ON_END_TIMEOUT,   JOB_TIMEOUT,     REASON_TIME_LIMIT},
    {JOB_STOPPING,    ON_END_RETRY,     JOB_REQUEUED,    REASON_GIVEN},
    {JOB_STOPPING,    ON_END_FAILED,    JOB_FAILED,      REASON_GIVEN},
    {JOB_SUBMITTED,   ON_END_RETRY,     JOB_REQUEUED,    REASON_GIVEN},
    {JOB_STARTING,    ON_END_RETRY,     JOB_REQUEUED,    REASON_GIVEN},
    {JOB_RUNNING,     ON_END_RETRY,     JOB_REQUEUED,    REASON_GIVEN},
    {JOB_STALLED,     ON_END_RETRY,     JOB_REQUEUED,    REASON_GIVEN},
    {JOB_UNREACHABLE, ON_END_RETRY,     JOB_REQUEUED,    REASON_GIVEN},
    {JOB_SUBMITTED,   ON_END_FAILED,    JOB_FAILED,      REASON_GIVEN},
    {JOB_STARTING,    ON_END_FAILED,    JOB_FAILED,      REASON_GIVEN},
    {JOB_RUNNING,     ON_END_FAILED,    JOB_FAILED,      REASON_GIVEN},
    {JOB_STALLED,     ON_END_FAILED,    JOB_FAILED,      REASON_GIVEN},
    {JOB_UNREACHABLE, ON_END_FAILED,    JOB_FAILED,      REASON_GIVEN},
    /* a person's word */
    {JOB_UNREACHABLE, ON_RESOLVE_FAILED,  JOB_FAILED,    REASON_RESOLVED},
    {JOB_UNREACHABLE, ON_RESOLVE_REQUEUE, JOB_REQUEUED,  REASON_RESOLVED},
    {JOB_PAUSING,     ON_RESOLVE_FAILED,  JOB_FAILED,    REASON_RESOLVED},
    {JOB_PAUSING,     ON_RESOLVE_REQUEUE, JOB_REQUEUED,  REASON_RESOLVED},
    {JOB_STOPPING,    ON_RESOLVE_FAILED,  JOB_FAILED,    REASON_RESOLVED},
    {JOB_STOPPING,    ON_RESOLVE_REQUEUE, JOB_REQUEUED,  REASON_RESOLVED},
    {JOB_FAILED,      ON_RETRY,         JOB_REQUEUED,    REASON_NONE},
    {JOB_TIMEOUT,     ON_RETRY,         JOB_REQUEUED,    REASON_NONE},
    {JOB_CANCELLED,   ON_RETRY,         JOB_REQUEUED,    REASON_NONE},
};
/* clang-format on */

#define STATE_ROW(name, number, over, holds) [number] = {#name, over, holds},
static const struct {
    const char *name;
    bool over, holds;
} states[JOB_STATE_COUNT] = {JOB_STATES(STATE_ROW)};
#undef STATE_ROW

#define EVENT_ROW(name, text) text,
static const char *const events[JOB_EVENT_COUNT] = {JOB_EVENTS(EVENT_ROW)};
#undef EVENT_ROW

#define REASON_ROW(name, text, retry, limit, wait, meaning) {text, retry, limit, wait, meaning},
static const struct {
    const char *name;
    enum retry_class retry;
    int limit, wait_s;
    const char *meaning;
} reasons[JOB_REASON_COUNT] = {JOB_REASONS(REASON_ROW)};
#undef REASON_ROW

const struct job_edge *job_edges(size_t *ret_n)
{
    *ret_n = sizeof edges / sizeof *edges;
    return edges;
}

const struct job_edge *job_next(enum job_state from, enum job_event event)
{
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        if (edges[i].from == from && edges[i].event == event)
            return &edges[i];
    return NULL;
}

static bool state_known(enum job_state s)
{
    return (unsigned)s < JOB_STATE_COUNT;
}

const char *job_state_name(enum job_state s)
{
    return state_known(s) ? states[s].name : "?";
}

bool job_state_find(const char *name, enum job_state *ret_state)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        if (strcmp(states[i].name, name) == 0) {
            *ret_state = (enum job_state)i;
            return true;
        }
    return false;
}

bool job_state_is_over(enum job_state s)
{
    return state_known(s) && states[s].over;
}

bool job_state_holds(enum job_state s)
{
    return state_known(s) && states[s].holds;
}

bool job_state_is_waiting(enum job_state s)
{
    return job_next(s, ON_PLACE) != NULL;
}

bool job_state_may_be_unborn(enum job_state s, bool reported)
{
    return !reported &&
           (s == JOB_SUBMITTED || s == JOB_STARTING || s == JOB_PAUSING || s == JOB_STOPPING);
}

const char *job_event_name(enum job_event e)
{
    return (unsigned)e < JOB_EVENT_COUNT ? events[e] : "?";
}

const char *job_reason_name(enum job_reason r)
{
    return (unsigned)r < JOB_REASON_COUNT ? reasons[r].name : "?";
}

const char *job_reason_meaning(enum job_reason r)
{
    return (unsigned)r < JOB_REASON_COUNT ? reasons[r].meaning : "?";
}

enum retry_class job_reason_retry(enum job_reason r)
{
    return (unsigned)r < JOB_REASON_COUNT ? reasons[r].retry : RETRY_NONE;
}

int job_reason_limit(enum job_reason r)
{
    return (unsigned)r < JOB_REASON_COUNT ? reasons[r].limit : 0;
}

bool job_reason_find(const char *name, enum job_reason *ret_reason)
{
    for (int i = 0; i < JOB_REASON_COUNT; i++)
        if (strcmp(reasons[i].name, name) == 0) {
            *ret_reason = (enum job_reason)i;
            return true;
        }
    return false;
}

/* mpirun passes a rank's fatal signal on as exit code 128 + signal. */
static bool killed_by_signal(const struct job_end *end)
{
    return end->signal != 0 || end->exit_code > 128;
}

static enum job_reason said_reason(const struct job_end *end)
{
    enum job_reason said;
    bool known = end->done_reason && *end->done_reason && job_reason_find(end->done_reason, &said);
    return known ? said : REASON_WORKER_FAILED;
}

enum job_reason job_end_reason(const struct job_end *end, enum job_state state, enum job_reason why)
{
    if (state == JOB_STOPPING && why == REASON_STALLED)
        return REASON_STALLED; /* however it ended, that is why it was ended */
    bool stopped = end->done_reason && strcmp(end->done_reason, "stopped") == 0;
    if (end->kind >= END_PREEMPTED && end->done && !end->done_success && !stopped)
        return said_reason(end); /* it had a reason of its own before the cluster's came */
    switch (end->kind) {
    case END_PREEMPTED:
        return REASON_PREEMPTED;
    case END_WALL_TIME:
        return end->no_checkpoint ? REASON_TOO_SHORT : REASON_WALL_TIME;
    case END_NODE_LOST:
        return REASON_NODE_LOST;
    case END_NO_MEMORY:
        return REASON_OUT_OF_MEMORY;
    case END_CANCELLED:
        return REASON_CANCELLED;
    case END_NOT_LAUNCHED:
        return REASON_LAUNCH_FAILED;
    case END_VANISHED:
        return REASON_VANISHED;
    case END_HOST_RESTARTED:
        return REASON_HOST_RESTARTED;
    case END_EXITED:
        break;
    }
    if (end->done && !end->done_success)
        return said_reason(end);
    if (killed_by_signal(end))
        return REASON_RANK_LOST;
    return end->exit_code == 0 ? REASON_NO_DONE_RECORD : REASON_WORKER_FAILED;
}

static bool may_try_again(enum job_reason reason, const struct job_spent *spent, int retries)
{
    if (job_reason_retry(reason) == RETRY_NONE)
        return false;
    int limit = job_reason_limit(reason);
    return limit ? spent->same <= limit : spent->counted <= retries;
}

enum job_event job_end_event(const struct job_end *end, enum job_state state, enum job_reason why,
                             enum job_reason reason, const struct job_spent *spent, int retries,
                             enum job_reason *ret_reason)
{
    *ret_reason = REASON_NONE;
    if (end->kind == END_EXITED && end->exit_code == 0 && end->signal == 0 && end->done_success)
        return ON_END_OK;
    if (state == JOB_PAUSING)
        return ON_END_PAUSED;
    if (state == JOB_STOPPING && why != REASON_STALLED)
        return why == REASON_TIME_LIMIT ? ON_END_TIMEOUT : ON_END_CANCELLED;
    if (reason == REASON_CANCELLED)
        return ON_END_CANCELLED;
    if (reason == REASON_PREEMPTED && state != JOB_STOPPING &&
        may_try_again(reason, spent, retries))
        return ON_PREEMPT;
    *ret_reason = reason;
    return may_try_again(reason, spent, retries) ? ON_END_RETRY : ON_END_FAILED;
}

#define LONG_ENOUGH_MS 600000

int64_t job_retry_wait_ms(enum job_reason reason, const struct job_spent *spent, int64_t ran_ms,
                          int64_t most_ms)
{
    int64_t wait = (unsigned)reason < JOB_REASON_COUNT ? 1000LL * reasons[reason].wait_s : 0;
    int ends = job_reason_limit(reason) ? spent->same : spent->counted;
    /* An attempt that had all of its time has shown it too, however little that was. */
    bool ran_long = ran_ms >= LONG_ENOUGH_MS || reason == REASON_WALL_TIME;
    for (int i = 1; i < ends && !ran_long && wait < most_ms; i++)
        wait *= 2;
    return wait < most_ms ? wait : most_ms;
}
