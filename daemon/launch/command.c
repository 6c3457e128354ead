/* command.c - see command.h. */
#include "launch/command.h"

#include "launch/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERR_MAX (16u << 10)

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd); /* leaves the epoll set by itself */
    *fd = -1;
}

/* Not being in the epoll set only means that the end is found at the next tick. */
static void watch(struct command *c)
{
    struct epoll_event ev = {.events = EPOLLIN};
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    const int fds[] = {c->pidfd, c->fd[0], c->fd[1]};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            epoll_ctl(c->epoll, EPOLL_CTL_ADD, fds[i], &ev);
}

enum status command_start(struct command **ret_command, int epoll, const char *const *argv,
                          char *const *environment, int64_t deadline_ms, size_t out_max,
                          struct err *err)
{
    int out[2] = {-1, -1}, errs[2] = {-1, -1};
    struct command *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(err, ST_NOMEM, "out of memory for running %s", argv[0]);
    *c = (struct command){.epoll = epoll, .pidfd = -1, .fd = {-1, -1}, .deadline_ms = deadline_ms};
    buf_init(&c->out, out_max);
    buf_init(&c->err, ERR_MAX);
    bool ok = pipe2(out, O_CLOEXEC) == 0 && pipe2(errs, O_CLOEXEC) == 0;
    c->fd[0] = out[0];
    c->fd[1] = errs[0];
    if (ok && (fcntl(out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(errs[0], F_SETFL, O_NONBLOCK) < 0))
        ok = false;
    /* Its own process group, so that a deadline ends what it has started too. */
    const struct child child = {
        .argv = argv, .environment = environment, .out = out[1], .err = errs[1], .group = true};
    int e = ok ? child_spawn(&child, &c->pid) : errno;
    close_fd(&out[1]);
    close_fd(&errs[1]);
    if (e) {
        errno = e;
        enum status st = err_errno(err, "cannot run %s", argv[0]);
        command_destroy(c);
        return st;
    }
    watch(c);
    *ret_command = c;
    return ST_OK;
}

static void drain(int *fd, struct buf *to)
{
    char bytes[16384];
    while (*fd >= 0) {
        ssize_t n = read(*fd, bytes, sizeof bytes);
        if (n > 0)
            buf_add(to, bytes, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            close_fd(fd);
        else if (errno == EAGAIN)
            return;
    }
}

bool command_pump(struct command *c, int64_t now_ms)
{
    int status = 0;
    if (c->over)
        return true;
    if (now_ms >= c->deadline_ms && !c->timed_out) {
        c->timed_out = true;
        kill(-c->pid, SIGKILL);
    }
    bool ended = waitpid(c->pid, &status, WNOHANG) == c->pid;
    drain(&c->fd[0], &c->out);
    drain(&c->fd[1], &c->err);
    if (!ended)
        return false;
    c->over = true;
    c->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    close_fd(&c->pidfd);
    close_fd(&c->fd[0]);
    close_fd(&c->fd[1]);
    return true;
}

void command_destroy(struct command *c)
{
    if (!c)
        return;
    if (c->pid > 0 && !c->over) {
        kill(-c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
    }
    close_fd(&c->pidfd);
    close_fd(&c->fd[0]);
    close_fd(&c->fd[1]);
    buf_fini(&c->out);
    buf_fini(&c->err);
    free(c);
}

/* ---- the environment ------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_trap(const char *variable)
{
    static const char *const kept[] = {"SLURM_CONF=", "SLURM_CONF_SERVER="};
    static const char *const dropped[] = {
        "SLURM_",        "SLURMD_",       "SBATCH_",     "SRUN_",        "SQUEUE_",
        "SACCT_",        "SCANCEL_",      "SINFO_",      "SCONTROL_",    "SALLOC_",
        "PMI_",          "PMI2_",         "PMIX_",       "OMPI_COMM_",   "OMPI_UNIVERSE_",
        "OMPI_APP_",     "OMPI_FILE_",    "OMPI_FIRST_", "OMPI_NUM_",    "OMPI_MCA_orte_",
        "OMPI_MCA_ess_", "OMPI_MCA_pmix", "http_proxy=", "https_proxy=", "HTTP_PROXY=",
        "HTTPS_PROXY=",  "all_proxy=",    "ALL_PROXY=",  "no_proxy=",    "NO_PROXY=",
        "grpc_proxy=",   "LC_",           "LANG=",       "LANGUAGE=",    "POSIXLY_CORRECT="};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (starts_with(variable, kept[i]))
            return false;
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (starts_with(variable, dropped[i]))
            return true;
    return false;
}

void environment_free(char **environment)
{
    for (char **v = environment; v && *v; v++)
        free(*v);
    free(environment);
}

char **environment_for_slurm(char *const *from)
{
    size_t n = 0, kept = 0;
    while (from[n])
        n++;
    char **to = calloc(n + 2, sizeof *to);
    bool ok = to != NULL;
    for (size_t i = 0; ok && i < n; i++)
        if (!is_trap(from[i]))
            ok = (to[kept++] = strdup(from[i])) != NULL;
    if (ok)
        ok = (to[kept] = strdup("LC_ALL=C")) != NULL;
    if (!ok) {
        environment_free(to);
        return NULL;
    }
    return to;
}
