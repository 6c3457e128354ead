/* probe.c - see doctor.h. */
#include "doctor/doctor.h"

#include "base/clock.h"
#include "base/json.h"
#include "launch/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ST_OK at the end of what it says; ST_TIMEOUT; ST_CANCELLED. */
static enum status read_all(int fd, int cancel_fd, int64_t deadline_ns, struct buf *out)
{
    char chunk[4096];
    for (;;) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
        int64_t left = (deadline_ns - clock_mono_ns()) / 1000000;
        if (left <= 0)
            return ST_TIMEOUT;
        if (poll(p, 2, (int)left) <= 0)
            continue;
        if (p[1].revents)
            return ST_CANCELLED;
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n <= 0)
            return ST_OK;
        buf_add(out, chunk, (size_t)n);
    }
}

enum status capture_until(const char *const *argv, char *const *environment, int timeout_ms,
                          int cancel_fd, struct buf *out, int *ret_exit, struct err *err)
{
    int fd[2], status = 0;
    pid_t pid = 0;
    if (pipe2(fd, O_CLOEXEC) != 0)
        return err_errno(err, "cannot make a pipe");
    const struct child child = {.argv = argv,
                                .environment = environment,
                                .out = fd[1],
                                .err = fd[1],
                                .group = true}; /* so that all of it can be killed */
    int e = child_spawn(&child, &pid);
    close(fd[1]);
    if (e) {
        close(fd[0]);
        errno = e;
        return err_errno(err, "cannot run %s", argv[0]);
    }
    enum status st =
        read_all(fd[0], cancel_fd, clock_mono_ns() + timeout_ms * (int64_t)1000000, out);
    close(fd[0]);
    if (st != ST_OK)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (st == ST_CANCELLED)
        return err_set(err, st, "the daemon is ending");
    if (st != ST_OK)
        return err_set(err, st, "%s did not end within %d s", argv[0], timeout_ms / 1000);
    *ret_exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ST_OK;
}

enum status capture(const char *const *argv, int timeout_ms, struct buf *out, int *ret_exit,
                    struct err *err)
{
    return capture_until(argv, NULL, timeout_ms, -1, out, ret_exit, err);
}

static bool read_probe(const char *line, size_t len, struct probe *p)
{
    struct json_object *o = NULL;
    if (json_parse(&o, line, len, "a probe", NULL) != ST_OK)
        return false;
    *p = (struct probe){.rank = (int)json_get_int(o, "rank", 0),
                        .ranks = (int)json_get_int(o, "ranks", 0),
                        .cpus = (int)json_get_int(o, "cpus", 0),
                        .gpus = (int)json_get_int(o, "gpus", 0),
                        .bf16 = json_object_get_boolean(json_find(o, "bf16")),
                        .time_ms = json_get_int(o, "time_ms", 0)};
    snprintf(p->host, sizeof p->host, "%s", json_get_str(o, "host", ""));
    snprintf(p->version, sizeof p->version, "%s", json_get_str(o, "version", ""));
    snprintf(p->home, sizeof p->home, "%s", json_get_str(o, "home", ""));
    snprintf(p->report, sizeof p->report, "%s", json_get_str(o, "report", ""));
    json_object_put(o);
    return p->ranks > 0;
}

int probes_read(const struct buf *said, struct probe *ret_probe, int most)
{
    int n = 0;
    for (const char *line = buf_str(said), *end; *line && n < most; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        const char *from = memchr(line, '{', (size_t)(end - line));
        n += from && read_probe(from, (size_t)(end - from), &ret_probe[n]);
    }
    return n;
}

void ask(struct asked *a, const char *const *argv, int timeout_ms)
{
    struct err err = {0};
    *a = (struct asked){0};
    buf_init(&a->said, 1u << 20);
    a->status = capture(argv, timeout_ms, &a->said, &a->code, &err);
    if (a->status == ST_OK)
        first_words(&a->said, a->words, sizeof a->words);
    else
        snprintf(a->words, sizeof a->words, "%.249s", err.text);
    a->well = a->status == ST_OK && a->code == 0;
}

void asked_fini(struct asked *a)
{
    buf_fini(&a->said);
}

void first_words(const struct buf *said, char *out, size_t size)
{
    size_t n = 0;
    const char *at = buf_str(said);
    at += strspn(at, "-=* \t\r\n");
    for (; *at && *at != '\n' && n + 1 < size; at++)
        out[n++] = *at >= ' ' && *at < 127 ? *at : '?';
    out[n] = '\0';
}
