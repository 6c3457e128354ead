/* watch.c - Watch: events from a cursor on, read from the store one by one as the client takes them; those that the
 * filters let through. */
#include "service/access.h"
#include "service/filter.h"
#include "service/service.h"
#include "service/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A note's message sits at the place of its kind in Event's oneof. */
static const ProtobufCMessageDescriptor *body_type(enum event_kind kind)
{
    switch (kind) {
    case EVENT_PROGRESS:
        return &espalier__v1__progress__descriptor;
    case EVENT_METRIC:
        return &espalier__v1__metric__descriptor;
    case EVENT_STRUCTURE:
        return &espalier__v1__structure_note__descriptor;
    case EVENT_CHECKPOINT:
        return &espalier__v1__checkpoint_note__descriptor;
    case EVENT_NOTE:
        return &espalier__v1__note__descriptor;
    case EVENT_PHASE_DONE:
        return &espalier__v1__phase_time__descriptor;
    case EVENT_STATE:
        break;
    }
    return NULL;
}

static void fill_change(V1(StateChange) * to, const struct event *e)
{
    espalier__v1__state_change__init(to);
    to->from = (V1(JobState))e->from;
    to->to = (V1(JobState))e->to;
    to->actor = (char *)e->actor;
    to->reason = (char *)e->reason;
    to->text = (char *)e->text;
    to->attempt = (uint32_t)e->attempt;
}

/* The kinds' numbers are those of the oneof, and its members are pointers in one union. */
static bool send_event(struct rpc_call *call, const struct event *e, ProtobufCMessage *body)
{
    V1(Event) out = ESPALIER__V1__EVENT__INIT;
    V1(StateChange) change;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)e->job_id);
    out.cursor = (uint64_t)e->cursor;
    out.job_id = id;
    out.time_ms = e->time_ms;
    if (e->kind == EVENT_STATE) {
        fill_change(&change, e);
        out.state = &change;
        out.kind_case = ESPALIER__V1__EVENT__KIND_STATE;
    } else if (body) {
        out.note = (V1(Note) *)body;
        out.kind_case = (V1(Event__KindCase))e->kind;
    }
    return rpc_call_send(call, &out.base);
}

/* ---- what passes ----------------------------------------------------------------------------- */

/* What an expression is held against. */
static const char *text_of(const struct event *e, const ProtobufCMessage *body)
{
    if (e->kind == EVENT_STATE)
        return e->text[0] ? e->text : e->reason;
    if (!body)
        return "";
    switch (e->kind) {
    case EVENT_PROGRESS:
        return ((const V1(Progress) *)body)->phase;
    case EVENT_METRIC:
        return ((const V1(Metric) *)body)->name;
    case EVENT_CHECKPOINT:
        return ((const V1(CheckpointNote) *)body)->path;
    case EVENT_NOTE:
        return ((const V1(Note) *)body)->text;
    case EVENT_PHASE_DONE:
        return ((const V1(PhaseTime) *)body)->phase;
    default:
        return "";
    }
}

static int level_of(const V1(Note) * note)
{
    if (note->severity == ESPALIER__V1__SEVERITY__SEVERITY_ERROR)
        return LOG_ERROR;
    return note->severity == ESPALIER__V1__SEVERITY__SEVERITY_WARNING ? LOG_WARN : LOG_INFO;
}

static bool passes(struct filter *f, const struct event *e, const ProtobufCMessage *body)
{
    if (f->kinds && !(f->kinds >> e->kind & 1))
        return false;
    if (e->time_ms < f->since_ms)
        return false;
    if (e->kind == EVENT_NOTE && body && level_of((const V1(Note) *)body) < f->level)
        return false;
    const char *text = f->grep ? text_of(e, body) : "";
    return filter_text(f, text, strlen(text));
}

/* Its state is in memory unless it is over. */
static bool is_over(const struct daemon *d, int64_t job_id)
{
    const struct active *a = jobs_find(d->jobs, job_id);
    return !a || job_state_is_over(a->job.state);
}

static enum stream_step take_event(struct daemon *d, struct stream *s, const struct event *e)
{
    struct filter *f = s->more;
    const ProtobufCMessageDescriptor *type = body_type(e->kind);
    ProtobufCMessage *body =
        type ? protobuf_c_message_unpack(type, NULL, e->body_len, e->body) : NULL;
    int64_t cursor = e->cursor;
    enum stream_step step = STREAM_MORE;
    if (access_sees_job(d, e->job_id) && passes(f, e, body))
        step = send_event(s->call, e, body) ? STREAM_SENT : STREAM_WAIT;
    if (step != STREAM_WAIT)
        s->cursor = cursor;
    if (body)
        protobuf_c_message_free_unpacked(body, NULL);
    return step;
}

static enum stream_step step_watch(struct daemon *d, struct stream *s, struct err *err)
{
    struct event e;
    enum stream_step step = STREAM_MORE;
    enum status st;
    while ((st = store_event_next(d->store, s->job_id, s->cursor, &e, err)) == ST_OK) {
        step = take_event(d, s, &e);
        if (step != STREAM_MORE || streams_share_is_spent(d))
            break;
    }
    if (st == ST_OK)
        return step;
    if (st != ST_NOT_FOUND)
        return STREAM_FAIL;
    bool end = !s->follow || (s->job_id && is_over(d, s->job_id));
    return end ? STREAM_END : STREAM_WAIT;
}

static const struct stream_kind watch_kind = {.step = step_watch, .tick = false};

/* ---- opening --------------------------------------------------------------------------------- */

static void drop_filter(void *more)
{
    if (more)
        filter_fini(more);
    free(more);
}

/* Names of the oneof's members as a bit mask. */
static enum status read_kinds(char *const *names, size_t n, uint32_t *ret_kinds, struct err *err)
{
    const ProtobufCMessageDescriptor *event = &espalier__v1__event__descriptor;
    uint32_t kinds = 0;
    for (size_t i = 0; i < n; i++) {
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(event, names[i]);
        if (!f || !(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || f->id > 31)
            return err_set(err, ST_INVALID,
                           "'%.40s' is no kind of event: state, progress, metric, structure, "
                           "checkpoint, note, phase_done",
                           names[i]);
        kinds |= UINT32_C(1) << f->id;
    }
    *ret_kinds = kinds;
    return ST_OK;
}

static enum status make_filter(struct filter **ret_filter, const V1(WatchRequest) * q,
                               struct err *err)
{
    struct filter *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    enum status st = filter_init(f, NULL, 0, (int)q->level, q->since_ms, q->grep, err);
    if (st == ST_OK)
        st = read_kinds(q->kinds, q->n_kinds, &f->kinds, err);
    if (st == ST_OK)
        *ret_filter = f;
    else
        drop_filter(f);
    return st;
}

enum status serve_watch(struct daemon *d, struct rpc_call *call, const V1(WatchRequest) * request,
                        struct err *err)
{
    struct stream s = {.kind = &watch_kind,
                       .call = call,
                       .cursor = (int64_t)request->after,
                       .follow = request->follow,
                       .fd = -1,
                       .drop = drop_filter};
    struct filter *filter = NULL;
    if (request->after > INT64_MAX)
        return err_set(err, ST_INVALID, "cursor %llu is none of this daemon's",
                       (unsigned long long)request->after);
    if (request->id[0]) {
        struct job job;
        TRY(lookup_job(d, request->id, &job, err));
        s.job_id = job.id;
    }
    TRY(make_filter(&filter, request, err));
    s.more = filter;
    enum status st = streams_open(d, &s, err);
    if (st != ST_OK)
        drop_filter(filter);
    return st;
}
