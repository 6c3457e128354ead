/* follow.c - see follow.h. */
#include "client/follow.h"

#include "base/clock.h"
#include "client/feed.h"
#include "client/job_text.h"
#include "client/job_view.h"
#include "client/message.h"
#include "term/format.h"
#include "term/live.h"

#include <stdio.h>
#include <string.h>

#define DRAW_MS 100  /* at most ten pictures a second, however many events come */
#define TICK_MS 1000 /* the clock in the head goes on without events */

struct follow {
    struct cli *cli;
    enum follow_how how;
    char id[24];
    struct job_view view;
    struct live live;
    struct ask ask;
    uint64_t cursor;
    int64_t drawn_ms, until_ms; /* monotonic; until 0 = no limit */
    bool dirty;
    int code; /* exit code once decided; -1 before */
};

enum follow_how follow_how(const struct cli *cli)
{
    return cli->json ? FOLLOW_JSON : cli->out.tty ? FOLLOW_VIEW : FOLLOW_LINES;
}

static int64_t now_ms(void)
{
    const struct clock *clock = clock_system();
    return clock->mono_ms(clock);
}

static void draw(struct follow *f, bool now)
{
    const struct clock *clock = clock_system();
    if (f->how != FOLLOW_VIEW || (!now && now_ms() - f->drawn_ms < DRAW_MS))
        return;
    struct buf out;
    buf_init(&out, 1 << 20);
    job_view_draw(&f->view, &f->cli->out, clock->wall_ms(clock), &out);
    live_draw(&f->live, buf_str(&out));
    buf_fini(&out);
    f->drawn_ms = now_ms();
    f->dirty = false;
}

static void print_line(struct follow *f, const Espalier__V1__Event *e)
{
    char time[FORMAT_MAX];
    struct buf out;
    buf_init(&out, 1 << 20);
    if (f->how == FOLLOW_JSON) {
        struct json_object *json = message_json(&e->base);
        buf_puts(&out, json_object_to_json_string_ext(json, JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(json);
    } else {
        buf_printf(&out, "%s  ", format_time(time, e->time_ms));
        event_text(&out, &f->cli->out, e);
    }
    buf_puts(&out, "\n");
    f->code = cli_print(f->cli, &out) ? status_exit_code(ST_IO) : f->code;
    buf_fini(&out);
}

static void take_event(struct follow *f, Espalier__V1__Event *e)
{
    f->cursor = e->cursor;
    job_view_event(&f->view, &f->cli->out, e);
    f->dirty = true;
    if (f->how == FOLLOW_LINES || f->how == FOLLOW_JSON)
        print_line(f, e);
    draw(f, false);
    reply_free(e);
}

static void take_loss(struct follow *f, bool lost)
{
    f->view.lost = lost;
    draw(f, true);
    if (f->how != FOLLOW_VIEW)
        cli_note(f->cli, lost ? "lost the connection to %s; trying again" : "connected to %s again",
                 f->cli->target);
}

/* Waits for what comes; false when this feed has no more to give (f->code may still be open). */
static bool step(struct follow *f, struct feed *feed)
{
    struct err err;
    Espalier__V1__Event *event = NULL;
    int wait = f->how != FOLLOW_VIEW ? -1 : f->dirty ? DRAW_MS : TICK_MS;
    if (f->until_ms) {
        int64_t left = f->until_ms - now_ms();
        left = left < 0 ? 0 : left > 1000 ? 1000 : left;
        wait = wait < 0 || left < wait ? (int)left : wait;
    }
    switch (feed_next(feed, wait, &event, &err)) {
    case FEED_MESSAGE:
        take_event(f, event);
        break;
    case FEED_LOST:
        take_loss(f, true);
        break;
    case FEED_BACK:
        take_loss(f, false);
        break;
    case FEED_TICK:
        draw(f, f->dirty || now_ms() - f->drawn_ms >= TICK_MS);
        break;
    case FEED_RESIZE:
        term_resize(&f->cli->out);
        draw(f, true);
        break;
    case FEED_INTERRUPT:
        f->code = EXIT_INTERRUPTED;
        break;
    case FEED_END:
        return false;
    case FEED_FAILED:
        f->code = cli_fail(f->cli, &err);
        break;
    }
    if (f->code < 0 && f->until_ms && now_ms() >= f->until_ms)
        f->code = status_exit_code(ST_TIMEOUT);
    return f->code < 0;
}

/* Reads one feed until it ends or the exit code is known. */
static void read_feed(struct follow *f)
{
    struct feed *feed = NULL;
    struct err err;
    f->ask.after = f->cursor;
    f->ask.follow = true;
    if (feed_open_asking(&feed, f->cli, FEED_EVENTS, f->id, &f->ask, &err) != ST_OK) {
        f->code = cli_fail(f->cli, &err);
        return;
    }
    while (step(f, feed))
        ;
    feed_close(feed);
}

/* The daemon's word on the job after its events have ended. */
static void ask_result(struct follow *f)
{
    Espalier__V1__GetReply *reply = NULL;
    struct err err;
    if (cli_get_job(f->cli, f->id, &reply, &err) == ST_OK) {
        f->code = exit_of_state(reply->job->state);
        f->view.state = reply->job->state;
        f->view.ended_ms = reply->job->ended_ms;
    } else if (err.code != ST_UNAVAILABLE) {
        f->code = cli_fail(f->cli, &err);
    }
    reply_free(reply);
}

static void say_end(struct follow *f)
{
    char state[16];
    draw(f, true);
    live_end(&f->live);
    if (f->code == EXIT_INTERRUPTED)
        cli_note(f->cli,
                 "left job %s, which goes on; `espalier watch %s` comes back, `espalier cancel %s` "
                 "ends it",
                 f->id, f->id, f->id);
    else if (f->code == status_exit_code(ST_TIMEOUT) && f->until_ms)
        cli_note(f->cli, "job %s is still %s after the time given", f->id,
                 state_text(f->view.state, state));
    else if (f->code >= EXIT_JOB_FAILED && f->how != FOLLOW_JSON)
        cli_note(f->cli, "job %s is %s%s%s; `espalier logs %s` shows its log", f->id,
                 state_text(f->view.state, state), f->view.text[0] ? ": " : "", f->view.text,
                 f->id);
}

static int follow(struct cli *cli, const char *id, enum follow_how how, int64_t timeout_s,
                  const struct ask *ask)
{
    struct follow f = {.cli = cli, .how = how, .ask = *ask, .cursor = ask->after, .code = -1};
    Espalier__V1__GetReply *reply = NULL;
    struct err err;
    feed_block_signals();
    if (cli_get_job(cli, id, &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    snprintf(f.id, sizeof f.id, "%s", reply->job->id);
    job_view_init(&f.view, reply->job);
    live_init(&f.live, &cli->out);
    if (how == FOLLOW_QUIET) {
        f.cursor = reply->job->last_event;
        f.code = exit_of_state(reply->job->state);
        snprintf(f.view.text, sizeof f.view.text, "%s", reply->job->text);
    }
    reply_free(reply);
    f.until_ms = timeout_s > 0 ? now_ms() + 1000 * timeout_s : 0;
    while (f.code < 0) {
        read_feed(&f);
        if (f.code < 0)
            ask_result(&f);
    }
    say_end(&f);
    return f.code;
}

int follow_job(struct cli *cli, const char *id, enum follow_how how, int64_t timeout_s)
{
    return follow(cli, id, how, timeout_s, &(struct ask){0});
}

int follow_job_asking(struct cli *cli, const char *id, enum follow_how how, const struct ask *ask)
{
    return follow(cli, id, how, 0, ask);
}
