/* fake.c - simulated attempts: no process, no worker, the same folder and the same vtable. See
 * launch.h.
 *
 * What an attempt does at a time is a function of its script and of when it was started, both kept
 * in its folder; so a simulated attempt outlives the daemon like a real one, and a restarted daemon
 * adopts it. The script is the job's name: words key=value, for instance "steps=20 step_ms=10
 * die_at=5 signal=9".
 *
 *   steps=10 step_ms=20    progress reports and the time between them
 *   start_ms=0             until the first report
 *   die_at=0               step at which it ends badly (0 = never), in the first die_attempts=1 attempts
 *   exit=1 signal=0        how it ends badly;
 *   vanish=0 lost=0        or without a trace, or with its node
 *   report=1               0: never reports, and so never says done
 *   done=1                 0: exits with 0 but never says done
 *   deaf=0                 1: ignores the polite request to stop, 2: also SIGTERM
 *   refuse=0               1: the launcher cannot start it
 *   hang_at=0 hang_ms=0    step after which the first attempt does nothing for a while
 *   cut_at=0               step from which on no report arrives any more (0 = never)
 *   silent=0               1: nothing can be told about it (after start)
 */
#include "launch/launch.h"

#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct script {
    int64_t steps, step_ms, start_ms, die_at, die_attempts, exit, signal, vanish, lost;
    int64_t report, done, deaf, refuse, silent, hang_at, hang_ms, cut_at;
};

struct launch_fake {
    struct launch base;
    const struct clock *clock;
    fake_report_f report;
    void *user;
};

/* An attempt as its folder tells it. Times 0 = not. */
struct fake_attempt {
    struct script script;
    int64_t started_ms, asked_ms, term_ms, kill_ms;
};

static void parse_word(struct script *s, const char *word)
{
    const struct {
        const char *key;
        int64_t *value;
    } keys[] = {{"steps", &s->steps},
                {"step_ms", &s->step_ms},
                {"start_ms", &s->start_ms},
                {"die_at", &s->die_at},
                {"die_attempts", &s->die_attempts},
                {"exit", &s->exit},
                {"signal", &s->signal},
                {"vanish", &s->vanish},
                {"lost", &s->lost},
                {"report", &s->report},
                {"done", &s->done},
                {"deaf", &s->deaf},
                {"refuse", &s->refuse},
                {"silent", &s->silent},
                {"hang_at", &s->hang_at},
                {"hang_ms", &s->hang_ms},
                {"cut_at", &s->cut_at}};
    const char *eq = strchr(word, '=');
    for (size_t i = 0; eq && i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].key) == (size_t)(eq - word) &&
            strncmp(word, keys[i].key, (size_t)(eq - word)) == 0)
            *keys[i].value = strtoll(eq + 1, NULL, 10);
}

static struct script parse_script(const char *text)
{
    struct script s = {
        .steps = 10, .step_ms = 20, .die_attempts = 1, .exit = 1, .report = 1, .done = 1};
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word; (word = strsep(&rest, " "));)
        parse_word(&s, word);
    return s;
}

static const char *fake_path(char out[4096], const struct launch_spec *spec)
{
    snprintf(out, 4096, "%s/fake.json", spec->attempt_dir);
    return out;
}

static enum status save(const struct launch_spec *spec, const struct fake_attempt *a,
                        struct err *err)
{
    char path[4096], text[256];
    snprintf(text, sizeof text,
             "{\"started_ms\": %lld, \"asked_ms\": %lld, \"term_ms\": %lld, \"kill_ms\": %lld}",
             (long long)a->started_ms, (long long)a->asked_ms, (long long)a->term_ms,
             (long long)a->kill_ms);
    return file_write_atomic(fake_path(path, spec), text, strlen(text), 0600, err);
}

static bool load(const struct launch_spec *spec, struct fake_attempt *ret_a)
{
    char path[4096];
    struct json_object *obj = NULL;
    if (json_read_file(&obj, fake_path(path, spec), 4096, NULL) != ST_OK)
        return false;
    *ret_a = (struct fake_attempt){.script = parse_script(spec->name),
                                   .started_ms = json_get_int(obj, "started_ms", 0),
                                   .asked_ms = json_get_int(obj, "asked_ms", 0),
                                   .term_ms = json_get_int(obj, "term_ms", 0),
                                   .kill_ms = json_get_int(obj, "kill_ms", 0)};
    json_object_put(obj);
    return true;
}

static enum status fake_start(struct launch *l, const struct launch_spec *spec, struct err *err)
{
    struct launch_fake *f = (struct launch_fake *)l;
    struct fake_attempt a = {0};
    if (load(spec, &a))
        return ST_OK;
    if (parse_script(spec->name).refuse)
        return err_set(err, ST_UNSUPPORTED, "the script of attempt %d says refuse", spec->attempt);
    a.started_ms = f->clock->wall_ms(f->clock);
    return save(spec, &a, err);
}

/* Where the attempt stands at a time. */
struct fake_now {
    int64_t step; /* reached */
    bool hello, ended;
    bool stopped; /* ended because it was asked */
    struct evidence ev;
};

static bool dies(const struct script *s, const struct launch_spec *spec)
{
    return s->die_at > 0 && spec->attempt <= s->die_attempts;
}

/* How long it has done nothing at a time. */
static int64_t hung_ms(const struct script *s, const struct launch_spec *spec, int64_t hello,
                       int64_t t, int64_t last)
{
    int64_t begins = hello + s->hang_at * s->step_ms;
    if (s->hang_at == 0 || s->hang_at >= last || spec->attempt > 1 || t <= begins)
        return 0;
    return t - begins < s->hang_ms ? t - begins : s->hang_ms;
}

static void end_at(struct fake_now *now, enum evidence_kind kind, int code, int signal, int64_t at)
{
    now->ended = true;
    now->ev = (struct evidence){.kind = kind, .exit_code = code, .signal = signal, .ended_ms = at};
}

/* The earlier of its own end and of what was done to it. */
static struct fake_now stand(const struct fake_attempt *a, const struct launch_spec *spec,
                             int64_t t)
{
    const struct script *s = &a->script;
    int64_t hello = a->started_ms + s->start_ms;
    int64_t last = dies(s, spec) ? s->die_at : s->steps;
    int64_t end = hello + last * s->step_ms + hung_ms(s, spec, hello, INT64_MAX, last);
    int64_t moving = t - hello - hung_ms(s, spec, hello, t, last);
    int64_t step = s->step_ms > 0 ? moving / s->step_ms : last;
    struct fake_now now = {.hello = t >= hello, .ev.kind = EVIDENCE_ALIVE};
    int64_t cut = INT64_MAX; /* when it was made to end */
    int code = 0;
    if (a->kill_ms)
        cut = a->kill_ms, code = 137;
    if (a->term_ms && s->deaf < 2 && a->term_ms < cut)
        cut = a->term_ms, code = 143;
    if (a->asked_ms && s->deaf < 1 && a->asked_ms < cut)
        cut = a->asked_ms, code = 0;
    if (t >= end && end <= cut) {
        int signal = dies(s, spec) ? (int)s->signal : 0;
        enum evidence_kind kind = !dies(s, spec) ? EVIDENCE_EXITED
                                  : s->vanish    ? EVIDENCE_VANISHED
                                  : s->lost      ? EVIDENCE_NODE_LOST
                                                 : EVIDENCE_EXITED;
        end_at(&now, kind, dies(s, spec) ? (signal ? 128 + signal : (int)s->exit) : 0, signal, end);
    } else if (t >= cut) {
        end_at(&now, EVIDENCE_EXITED, code, 0, cut);
        now.stopped = code == 0;
        step = s->step_ms > 0 ? (cut - hello - hung_ms(s, spec, hello, cut, last)) / s->step_ms : 0;
    }
    now.step = step < 0 || !now.hello ? 0 : step > last ? last : step;
    return now;
}

/* Record numbers: 1 hello, 1 + k step k, then done. */
static void deliver(struct launch_fake *f, const struct launch_spec *spec,
                    const struct fake_attempt *a, const struct fake_now *now)
{
    const struct script *s = &a->script;
    struct fake_report r = {
        .job_id = spec->job_id, .attempt = spec->attempt, .steps = (uint64_t)s->steps};
    if (!s->report || !now->hello || (s->cut_at && now->step >= s->cut_at))
        return;
    bool says_done =
        now->ended && s->done && (now->stopped || (!dies(s, spec) && now->ev.exit_code == 0));
    uint64_t last = 1 + (uint64_t)now->step + says_done;
    for (uint64_t n = spec->reported + 1; n <= last; n++) {
        r.number = n;
        r.kind = n == 1 ? FAKE_HELLO : says_done && n == last ? FAKE_DONE : FAKE_STEP;
        r.step = n - 1;
        r.time_ms = a->started_ms + s->start_ms + (int64_t)(n - 1) * s->step_ms;
        r.success = !now->stopped;
        r.reason = now->stopped ? "stopped" : "";
        f->report(&r, f->user);
    }
    r.kind = FAKE_ALIVE;
    f->report(&r, f->user);
}

static void fake_poll(struct launch *l, const struct launch_spec *spec, struct evidence *ret_ev)
{
    struct launch_fake *f = (struct launch_fake *)l;
    struct fake_attempt a;
    *ret_ev = (struct evidence){.kind = EVIDENCE_ABSENT};
    if (!load(spec, &a))
        return;
    *ret_ev = (struct evidence){.kind = EVIDENCE_UNKNOWN};
    if (a.script.silent)
        return;
    struct fake_now now = stand(&a, spec, f->clock->wall_ms(f->clock));
    deliver(f, spec, &a, &now);
    *ret_ev = now.ev;
}

static void note_stop(struct launch *l, const struct launch_spec *spec, size_t which)
{
    struct launch_fake *f = (struct launch_fake *)l;
    struct fake_attempt a = {0};
    int64_t now = f->clock->wall_ms(f->clock);
    if (!load(spec, &a)) { /* never started, and never to be */
        a.started_ms = a.kill_ms = now;
        save(spec, &a, NULL);
        return;
    }
    int64_t *at[] = {&a.asked_ms, &a.term_ms, &a.kill_ms};
    if (*at[which] == 0) {
        *at[which] = now;
        save(spec, &a, NULL); /* not noted: the next rung, or the same one again, will be */
    }
}

static void fake_stop(struct launch *l, const struct launch_spec *spec, enum stop_rung rung)
{
    note_stop(l, spec, rung == STOP_TERM ? 1 : 2);
}

static void fake_ask(struct launch *l, const struct launch_spec *spec)
{
    note_stop(l, spec, 0);
}

static int fake_wake_fd(struct launch *l)
{
    (void)l;
    return -1;
}

static void fake_destroy(struct launch *l)
{
    free(l);
}

static const struct launch_ops fake_ops = {
    .name = "fake",
    .start = fake_start,
    .poll = fake_poll,
    .stop = fake_stop,
    .ask = fake_ask,
    .wake_fd = fake_wake_fd,
    .destroy = fake_destroy,
};

enum status launch_fake_create(struct launch **ret_launch, const struct clock *clock,
                               fake_report_f report, void *user, struct err *err)
{
    struct launch_fake *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(err, ST_NOMEM, "out of memory for the launcher");
    f->base.ops = &fake_ops;
    f->clock = clock;
    f->report = report;
    f->user = user;
    *ret_launch = &f->base;
    return ST_OK;
}
