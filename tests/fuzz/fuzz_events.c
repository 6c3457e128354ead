/* fuzz_events.c - any row of things that happen to a job, and any bytes as what the store holds of them. An input is a
 * row of steps: 0..199 an event of the state machine, 200..255 a stored event with kind, series, length and bytes.
 * Holds: an edge that is not in the table is refused; what the events add up to is the job's state, before and after
 * memory is read anew; Watch, Get, Explain and List can give whatever is stored.
 */
#include "daemon_bed.h"

#include "job/change.h"
#include "job/jobs.h"
#include "loop.h"
#include "service/access.h"

#include <stdbool.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAW 200
#define JOB 3

static void change(struct daemon *d, struct active *a, uint8_t what)
{
    struct change c = {.actor = "user", .text = "fuzz"};
    struct err err = {0};
    enum job_event event = (enum job_event)(what % JOB_EVENT_COUNT);
    enum job_state before = a->job.state;
    const struct job_edge *edge = job_next(before, event);
    enum status st = job_apply(d, a, event, &c, &err);
    BED_REQUIRE((st == ST_OK) == (edge != NULL));
    BED_REQUIRE(st == ST_OK ? a->job.state == edge->to : a->job.state == before && err.text[0]);
}

/* Returns how many bytes it took. */
static size_t raw_event(struct daemon *d, const uint8_t *data, size_t size)
{
    if (size < 3)
        return size;
    size_t len = data[2] < size - 3 ? data[2] : size - 3;
    struct event e = {.job_id = JOB,
                      .time_ms = daemon_now_ms(d),
                      .kind = (enum event_kind)(EVENT_PROGRESS + data[0] % 6),
                      .series = data[1] & 1   ? ""
                                : data[1] & 2 ? "loss"
                                              : NULL,
                      .body = data + 3,
                      .body_len = len};
    BED_REQUIRE(store_event_append(d->store, &e, NULL) == ST_OK);
    return 3 + len;
}

static enum job_state replay(struct daemon *d)
{
    enum job_state state = JOB_NONE;
    struct event e;
    int64_t cursor = 0;
    while (store_event_next(d->store, JOB, cursor, &e, NULL) == ST_OK) {
        cursor = e.cursor;
        if (e.kind != EVENT_STATE)
            continue;
        BED_REQUIRE(e.from == state);
        state = e.to;
    }
    return state;
}

static void look(void)
{
    static const uint8_t job[] = {0x0a, 1, '0' + JOB};
    bed_call_bytes(bed_method("Watch"), ROLE_OPERATOR, job, sizeof job);
    bed_call_bytes(bed_method("Get"), ROLE_READ_ONLY, job, sizeof job);
    bed_call_bytes(bed_method("Explain"), ROLE_OPERATOR, job, sizeof job);
    bed_call_bytes(bed_method("List"), ROLE_OPERATOR, job, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct daemon *d = bed_begin();
    struct active *a = jobs_find(d->jobs, JOB);
    for (size_t at = 0; a && at < size && !job_state_is_over(a->job.state);) {
        uint8_t what = data[at++];
        if (what < RAW)
            change(d, a, what);
        else
            at += raw_event(d, data + at, size - at);
    }
    struct job job;
    BED_REQUIRE(store_job_load(d->store, JOB, &job, NULL) == ST_OK);
    BED_REQUIRE(replay(d) == job.state);
    /* Most groups are given up: the next input finds the job as this one did. A process's first input is looked at. */
    static unsigned runs; /* a new bed costs as much as fifty inputs */
    bool keep = runs++ % 64 == 0;
    if (keep)
        BED_REQUIRE(store_commit(d->store, NULL) == ST_OK);
    else
        store_rollback(d->store);
    BED_REQUIRE(jobs_reload(d->jobs, d->store, &d->nodes, NULL) == ST_OK);
    if (keep) {
        look();
        bed_spoil();
    }
    bed_end();
    BED_REQUIRE(store_job_load(d->store, JOB, &job, NULL) == ST_OK && replay(d) == job.state);
    return 0;
}
