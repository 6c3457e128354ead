/* pulse.c - see pulse.h. */
#include "run/pulse.h"

#include "base/boot.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 256 /* with the newline; a mark writes all of it */
#define FRAMES_MAX 64

struct pulse {
    int fd;
    char who[160];
    uint64_t beats;
};

/* The handler's own: it may use nothing that could be in the middle of a change. */
static struct {
    pthread_t main_thread;
    char path[4096], temp[4096 + 8];
} stack;

/* backtrace() is safe here because pulse_open() has called it before: it loads its library the first time. */
static void leave_stack(int signal_number)
{
    int saved = errno;
    if (!pthread_equal(pthread_self(), stack.main_thread)) {
        pthread_kill(stack.main_thread, signal_number); /* the helpers' stacks say nothing */
        errno = saved;
        return;
    }
    void *frame[FRAMES_MAX];
    int fd = open(stack.temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        backtrace_symbols_fd(frame, backtrace(frame, FRAMES_MAX), fd);
        close(fd);
        rename(stack.temp, stack.path); /* whole, or not there */
    }
    errno = saved;
}

static void catch_signal(const char *attempt_dir, int rank)
{
    void *frame[1];
    struct sigaction action = {.sa_handler = leave_stack, .sa_flags = SA_RESTART};
    stack.main_thread = pthread_self();
    snprintf(stack.path, sizeof stack.path, "%s/stack-%d.txt", attempt_dir, rank);
    snprintf(stack.temp, sizeof stack.temp, "%.4095s.new", stack.path);
    backtrace(frame, 1);
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR2, &action, NULL);
}

/* Field 22 of /proc/self/stat, counted from the last ')': the name before it may hold anything. */
static unsigned long long own_start_time(void)
{
    struct buf b;
    unsigned long long start = 0;
    buf_init(&b, 4096);
    char *at = file_read(&b, "/proc/self/stat", NULL) == ST_OK ? strrchr(b.data, ')') : NULL;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        start = strtoull(at + 1, NULL, 10);
    buf_fini(&b);
    return start;
}

static void describe_self(char *out, size_t size)
{
    char host[64] = "", boot[BOOT_ID_MAX] = "";
    gethostname(host, sizeof host - 1);
    (void)boot_id_read(boot, NULL);
    snprintf(out, size, "pid %ld start %llu boot %s host %s", (long)getpid(), own_start_time(),
             boot, host[0] ? host : "?");
}

enum status pulse_open(struct pulse **ret_pulse, const char *attempt_dir, int rank, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/rank-%d", attempt_dir, rank);
    struct pulse *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(err, ST_NOMEM, "out of memory for %s", path);
    catch_signal(attempt_dir, rank); /* first: whoever finds the file may send the signal */
    describe_self(p->who, sizeof p->who);
    p->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (p->fd < 0) {
        enum status st = err_errno(err, "cannot open %s", path);
        free(p);
        return st;
    }
    *ret_pulse = p;
    pulse_mark(p, PULSE_START, 0);
    return ST_OK;
}

void pulse_close(struct pulse *p)
{
    if (!p)
        return;
    close(p->fd);
    free(p);
}

void pulse_mark(struct pulse *p, enum pulse_at at, int64_t total_step)
{
    static const char *const names[] = {
        [PULSE_START] = "start",       [PULSE_COMPUTE] = "compute", [PULSE_SUM] = "sum",
        [PULSE_EVALUATE] = "evaluate", [PULSE_GATHER] = "gather",   [PULSE_DONE] = "done"};
    char line[LINE_SIZE + 1];
    const struct clock *clock = clock_system();
    if (!p)
        return;
    int n = snprintf(line, sizeof line, "%s beats %llu step %lld at %s time %lld", p->who,
                     (unsigned long long)++p->beats, (long long)total_step, names[at],
                     (long long)clock->wall_ms(clock));
    memset(line + n, ' ', (size_t)(LINE_SIZE - n));
    line[LINE_SIZE - 1] = '\n';
    ssize_t written = pwrite(p->fd, line, LINE_SIZE, 0);
    (void)written;
}
