/* watch.c - Watch: events from a cursor on, read from the store one by one as the client takes them. */
#include "service/access.h"
#include "service/service.h"
#include "service/streams.h"

#include <stdio.h>

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
static bool send_event(struct rpc_call *call, const struct event *e)
{
    V1(Event) out = ESPALIER__V1__EVENT__INIT;
    V1(StateChange) change;
    ProtobufCMessage *body = NULL;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)e->job_id);
    out.cursor = (uint64_t)e->cursor;
    out.job_id = id;
    out.time_ms = e->time_ms;
    const ProtobufCMessageDescriptor *type = body_type(e->kind);
    if (type)
        body = protobuf_c_message_unpack(type, NULL, e->body_len, e->body);
    if (e->kind == EVENT_STATE) {
        fill_change(&change, e);
        out.state = &change;
        out.kind_case = ESPALIER__V1__EVENT__KIND_STATE;
    } else if (body) {
        out.note = (V1(Note) *)body;
        out.kind_case = (V1(Event__KindCase))e->kind;
    }
    bool sent = rpc_call_send(call, &out.base);
    if (body)
        protobuf_c_message_free_unpacked(body, NULL);
    return sent;
}

/* Its state is in memory unless it is over. */
static bool is_over(const struct daemon *d, int64_t job_id)
{
    const struct active *a = jobs_find(d->jobs, job_id);
    return !a || job_state_is_over(a->job.state);
}

static enum stream_step step_watch(struct daemon *d, struct stream *s, struct err *err)
{
    struct event e;
    enum status st;
    while ((st = store_event_next(d->store, s->job_id, s->cursor, &e, err)) == ST_OK &&
           !access_sees_job(d, e.job_id))
        s->cursor = e.cursor;
    if (st == ST_OK) {
        int64_t cursor = e.cursor;
        if (!send_event(s->call, &e))
            return STREAM_WAIT;
        s->cursor = cursor;
        return STREAM_SENT;
    }
    if (st != ST_NOT_FOUND)
        return STREAM_FAIL;
    bool end = !s->follow || (s->job_id && is_over(d, s->job_id));
    return end ? STREAM_END : STREAM_WAIT;
}

static const struct stream_kind watch_kind = {.step = step_watch, .tick = false};

enum status serve_watch(struct daemon *d, struct rpc_call *call, const V1(WatchRequest) * request,
                        struct err *err)
{
    struct stream s = {.kind = &watch_kind,
                       .call = call,
                       .cursor = (int64_t)request->after,
                       .follow = request->follow,
                       .fd = -1};
    if (request->after > INT64_MAX)
        return err_set(err, ST_INVALID, "cursor %llu is none of this daemon's",
                       (unsigned long long)request->after);
    if (request->id[0]) {
        struct job job;
        TRY(lookup_job(d, request->id, &job, err));
        s.job_id = job.id;
    }
    return streams_open(d, &s, err);
}
