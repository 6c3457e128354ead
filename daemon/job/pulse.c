/* pulse.c - see pulse.h. */
#include "job/pulse.h"

#include "base/file.h"
#include "launch/proc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define FRAMES_SHOWN 12

static const struct {
    const char *word, *text;
} places[] = {[PULSE_START] = {"start", "is starting"},
              [PULSE_COMPUTE] = {"compute", "computes"},
              [PULSE_SUM] = {"sum", "waits for the others' gradients"},
              [PULSE_EVALUATE] = {"evaluate", "evaluates"},
              [PULSE_GATHER] = {"gather", "waits for the others' scores"},
              [PULSE_DONE] = {"done", "has done its work and delivers what it has to say"}};

const char *pulse_at_text(enum pulse_at at)
{
    return places[at].text;
}

/* The word behind "NAME "; false if it is not there or does not fit. */
static bool word_of(const char *text, const char *name, char *out, size_t size)
{
    const char *at = text;
    size_t len = strlen(name);
    while ((at = strstr(at, name)) && ((at > text && at[-1] != ' ') || at[len] != ' '))
        at += len;
    size_t n = at ? strcspn(at + len + 1, " \n") : 0;
    if (n == 0 || n >= size)
        return false;
    memcpy(out, at + len + 1, n);
    out[n] = '\0';
    return true;
}

static bool number_of(const char *text, const char *name, uint64_t *ret_number)
{
    char word[24], *end;
    if (!word_of(text, name, word, sizeof word))
        return false;
    errno = 0;
    *ret_number = strtoull(word, &end, 10);
    return *end == '\0' && errno == 0 && word[0] >= '0' && word[0] <= '9';
}

static bool place_of(const char *text, enum pulse_at *ret_at)
{
    char word[16];
    if (!word_of(text, "at", word, sizeof word))
        return false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strcmp(places[i].word, word) == 0) {
            *ret_at = (enum pulse_at)i;
            return true;
        }
    return false;
}

bool pulse_parse(const char *text, struct pulse *ret_pulse)
{
    struct pulse p = {0};
    uint64_t pid, step, time;
    if (!number_of(text, "pid", &pid) || pid == 0 || pid > INT32_MAX ||
        !number_of(text, "start", &p.start_time) ||
        !word_of(text, "boot", p.boot_id, sizeof p.boot_id) ||
        !word_of(text, "host", p.host, sizeof p.host) || !number_of(text, "beats", &p.beats) ||
        !number_of(text, "step", &step) || !place_of(text, &p.at) ||
        !number_of(text, "time", &time))
        return false;
    p.pid = (pid_t)pid;
    p.step = (int64_t)step;
    p.time_ms = (int64_t)time;
    *ret_pulse = p;
    return true;
}

static bool read_small(const char *path, struct buf *b)
{
    buf_init(b, 1u << 16);
    return file_read(b, path, NULL) == ST_OK;
}

bool pulse_read(const char *attempt_dir, int rank, struct pulse *ret_pulse)
{
    char path[PATH_SIZE];
    struct buf b;
    snprintf(path, sizeof path, "%s/rank-%d", attempt_dir, rank);
    bool ok = read_small(path, &b) && pulse_parse(buf_str(&b), ret_pulse);
    buf_fini(&b);
    return ok;
}

static int ranks_seen(int ranks)
{
    return ranks < PULSE_RANKS_MAX ? ranks : PULSE_RANKS_MAX;
}

uint64_t pulse_beats(const char *attempt_dir, int ranks, int *ret_found)
{
    struct pulse p;
    uint64_t sum = 0;
    *ret_found = 0;
    for (int i = 0; i < ranks_seen(ranks); i++)
        if (pulse_read(attempt_dir, i, &p)) {
            sum += p.beats;
            ++*ret_found;
        }
    return sum;
}

/* ---- the process --------------------------------------------------------------------------- */

static bool is_here(const struct pulse *p)
{
    char boot[BOOT_ID_MAX];
    return boot_id_read(boot, NULL) == ST_OK && strcmp(boot, p->boot_id) == 0 &&
           proc_is_alive(p->pid, p->start_time);
}

/* A line of /proc/PID/status, behind its name and blanks; "" if it is not there. */
static void status_line(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    struct buf b;
    *out = '\0';
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    char *at = read_small(path, &b) ? strstr(b.data, name) : NULL;
    if (at) {
        at += strlen(name);
        at += strspn(at, ": \t");
        snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
    }
    buf_fini(&b);
}

/* Of a process of another host nothing is known: it counts as one that runs. */
static bool does_run(const struct pulse *p)
{
    char boot[BOOT_ID_MAX], state[48];
    if (boot_id_read(boot, NULL) != ST_OK || strcmp(boot, p->boot_id) != 0)
        return true;
    status_line(p->pid, "\nState", state, sizeof state);
    return proc_is_alive(p->pid, p->start_time) && !strchr("TtDZX", state[0]);
}

static int compare(const struct pulse *a, const struct pulse *b)
{
    if (a->step != b->step)
        return a->step < b->step ? -1 : 1;
    return a->at != b->at ? (int)a->at - (int)b->at : (int)does_run(a) - (int)does_run(b);
}

int pulse_behind(const char *attempt_dir, int ranks, struct pulse *ret_pulse, bool *ret_alone)
{
    struct pulse p;
    int behind = -1;
    *ret_alone = false;
    for (int i = 0; i < ranks_seen(ranks); i++) {
        if (!pulse_read(attempt_dir, i, &p))
            continue;
        int order = behind < 0 ? -1 : compare(&p, ret_pulse);
        *ret_alone |= behind >= 0 && order != 0;
        if (order < 0) {
            *ret_pulse = p;
            behind = i;
        }
    }
    return behind;
}

/* A worker that does not catch the signal would be ended by it. */
static bool catches(pid_t pid, int signal_number)
{
    char mask[32];
    status_line(pid, "\nSigCgt", mask, sizeof mask);
    return strtoull(mask, NULL, 16) >> (signal_number - 1) & 1;
}

static void stack_path(const char *attempt_dir, int rank, char out[PATH_SIZE])
{
    snprintf(out, PATH_SIZE, "%s/stack-%d.txt", attempt_dir, rank);
}

bool pulse_ask_stack(const char *attempt_dir, int rank, const struct pulse *p)
{
    char path[PATH_SIZE];
    stack_path(attempt_dir, rank, path);
    if (!is_here(p) || !catches(p->pid, SIGUSR2))
        return false;
    unlink(path);
    return kill(p->pid, SIGUSR2) == 0;
}

/* "bin/espalier-worker(weight_step+0x1f)[0x55...]": what stands in the parentheses, else the file's name. */
static void add_frame(char *out, size_t size, char *line)
{
    size_t n = strlen(out);
    char *name = strchr(line, '('), *end = name ? strpbrk(name, "+)") : NULL;
    char *file = strrchr(line, '/');
    if (end && end > name + 1)
        snprintf(out + n, size - n, "%s%.*s", n ? " < " : "", (int)(end - name - 1), name + 1);
    else if (name)
        snprintf(out + n, size - n, "%s%.*s", n ? " < " : "",
                 (int)(name - (file ? file + 1 : line)), file ? file + 1 : line);
}

static void read_stack(const char *attempt_dir, int rank, char *out, size_t size)
{
    char path[PATH_SIZE];
    struct buf b;
    *out = '\0';
    stack_path(attempt_dir, rank, path);
    char *rest = read_small(path, &b) ? b.data : NULL;
    int n = 0;
    for (char *line; (line = strsep(&rest, "\n")) && n < FRAMES_SHOWN;) {
        /* The innermost two are the handler and the kernel's way into it. */
        if (strstr(line, "leave_stack") || strstr(line, "__restore_rt"))
            continue;
        add_frame(out, size, line);
        n++;
    }
    buf_fini(&b);
}

void pulse_describe(const char *attempt_dir, int rank, const struct pulse *p, char *out,
                    size_t size)
{
    char state[48], frames[600], wchan[64], path[64];
    struct buf b;
    *out = '\0';
    if (!is_here(p))
        return;
    status_line(p->pid, "\nState", state, sizeof state);
    snprintf(path, sizeof path, "/proc/%ld/wchan", (long)p->pid);
    snprintf(wchan, sizeof wchan, "%s", read_small(path, &b) ? buf_str(&b) : "");
    buf_fini(&b);
    read_stack(attempt_dir, rank, frames, sizeof frames);
    snprintf(out, size, "process %ld is in state %s%s%s%s%s", (long)p->pid, state,
             wchan[0] && strcmp(wchan, "0") != 0 ? ", in the kernel at " : "",
             wchan[0] && strcmp(wchan, "0") != 0 ? wchan : "", frames[0] ? ", stack " : "", frames);
}
