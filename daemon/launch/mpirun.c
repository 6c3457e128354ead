/* mpirun.c - attempts as `mpirun`, started on this host, on this and other nodes. See launch.h.
 *
 * Between daemon and mpirun stands espalier-launcher, one process an attempt, which outlives the
 * daemon. The truth is in the attempt's folder (record.h); what is kept here is only which
 * launchers are watched, so that an end is noticed at once.
 */
#include "launch/launch.h"

#include "launch/hosts.h"
#include "launch/record.h"
#include "launch/shm.h"
#include "launch/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHED_MAX 1024
#define ARGV_MAX (MPIRUN_EXTRA_MAX + 40)
#define ATTEMPT_PATH_MAX 1100
#define CLEAR_EVERY_NS ((int64_t)10 * 1000000000)
#define TO_REAP (-1)

/* A launcher process that is watched. */
struct watched {
    int64_t job_id; /* 0 = free, TO_REAP = over */
    int attempt;
    pid_t pid;
    int pidfd;  /* -1 = cannot be watched; polling finds the end */
    bool child; /* ours: it must be reaped */
    bool reaped;
    int status; /* once reaped */
};

struct launch_mpirun {
    struct launch base;
    char *mpirun, *worker, *launcher, *agent; /* owned */
    char **extra;                             /* borrowed: more arguments of mpirun */
    int n_extra;
    int epoll;
    struct watched watched[WATCHED_MAX];
    pid_t clearing; /* asks other nodes what is left of an attempt; one at a time; 0 = none */
    int64_t clear_after_ns; /* not again before */
};

static struct launch_mpirun *self_of(struct launch *l)
{
    return (struct launch_mpirun *)l;
}

static struct watched *find_watched(struct launch_mpirun *m, const struct launch_spec *spec)
{
    for (int i = 0; i < WATCHED_MAX; i++)
        if (m->watched[i].job_id == spec->job_id && m->watched[i].attempt == spec->attempt)
            return &m->watched[i];
    return NULL;
}

static void close_pidfd(struct watched *w)
{
    if (w->pidfd >= 0)
        close(w->pidfd); /* leaves the epoll set by itself */
    w->pidfd = -1;
}

/* A child leaves its exit record a moment before it ends; its slot waits until it can be reaped. */
static void unwatch(struct watched *w)
{
    if (!w)
        return;
    close_pidfd(w);
    if (w->child && !w->reaped && waitpid(w->pid, NULL, WNOHANG) == 0)
        w->job_id = TO_REAP;
    else
        *w = (struct watched){.pidfd = -1};
}

static void reap_late(struct launch_mpirun *m)
{
    for (int i = 0; i < WATCHED_MAX; i++)
        if (m->watched[i].job_id == TO_REAP)
            unwatch(&m->watched[i]);
}

/* Watching is a convenience: without a free slot or a pidfd the end is found by polling. */
static void watch(struct launch_mpirun *m, const struct launch_spec *spec, pid_t pid, bool child)
{
    reap_late(m);
    struct watched *w = find_watched(m, &(struct launch_spec){0});
    if (!w)
        return;
    *w = (struct watched){
        .job_id = spec->job_id, .attempt = spec->attempt, .pid = pid, .child = child};
    w->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct epoll_event ev = {.events = EPOLLIN};
    if (w->pidfd >= 0 && epoll_ctl(m->epoll, EPOLL_CTL_ADD, w->pidfd, &ev) < 0)
        close_pidfd(w);
}

/* Takes a launcher that has ended out of the epoll set, which is level-triggered, and reaps it. */
static void settle(struct watched *w)
{
    if (w->child && !w->reaped && waitpid(w->pid, &w->status, WNOHANG) == w->pid)
        w->reaped = true;
    if (w->reaped || proc_start_time(w->pid) == 0)
        close_pidfd(w);
}

/* ---- start ---------------------------------------------------------------------------------- */

/* What mpirun is told beside the worker: room for all of it, and the texts that it points at. */
struct mpirun_line {
    const char *argv[ARGV_MAX], *env[8];
    int n, n_env;
    char ranks[16], omp[48], blas[48], attempt[ATTEMPT_PATH_MAX], hostfile[ATTEMPT_PATH_MAX];
};

static void add(struct mpirun_line *c, const char *word)
{
    if (c->n + 1 < ARGV_MAX)
        c->argv[c->n++] = word;
}

static void add_env(struct mpirun_line *c, const char *setting)
{
    c->env[c->n_env++] = setting;
}

/* The queue has counted the cores and the worker binds itself to them; mpirun must do neither again. */
static void add_ranks(struct mpirun_line *c, const struct launch_mpirun *m,
                      const struct launch_spec *spec)
{
    snprintf(c->ranks, sizeof c->ranks, "%d", spec->ranks);
    add(c, m->mpirun);
    add(c, "-n");
    add(c, c->ranks);
    add(c, "--bind-to");
    add(c, "none");
    add(c, "--oversubscribe");
    for (int i = 0; i < m->n_extra && i < MPIRUN_EXTRA_MAX; i++)
        add(c, m->extra[i]);
}

static void add_environment(struct mpirun_line *c, const struct launch_spec *spec)
{
    snprintf(c->omp, sizeof c->omp, "OMP_NUM_THREADS=%d", spec->threads);
    snprintf(c->blas, sizeof c->blas, "OPENBLAS_NUM_THREADS=%d", spec->threads);
    snprintf(c->attempt, sizeof c->attempt, HOSTS_ATTEMPT_VARIABLE "=%s", spec->attempt_dir);
    add_env(c, c->omp);
    add_env(c, c->blas);
    add_env(c, c->attempt);
    add_env(c, "OMP_WAIT_POLICY=passive"); /* threads without work sleep */
    if (geteuid() == 0) {
        add_env(c, "OMPI_ALLOW_RUN_AS_ROOT=1");
        add_env(c, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1");
    }
}

/* Only these variables: what else the daemon has in its environment is of this host. */
static enum status add_hosts(struct mpirun_line *c, const struct launch_mpirun *m,
                             const struct launch_spec *spec, struct err *err)
{
    static const char *const passed[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                         "OMP_WAIT_POLICY", HOSTS_ATTEMPT_VARIABLE};
    snprintf(c->hostfile, sizeof c->hostfile, "%s/hosts", spec->attempt_dir);
    TRY(hosts_write(c->hostfile, spec, err));
    add(c, "--hostfile");
    add(c, c->hostfile);
    add(c, "--map-by");
    add(c, "slot");
    add(c, "--mca");
    add(c, "plm_rsh_agent");
    add(c, m->agent);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        add(c, "-x");
        add(c, passed[i]);
    }
    return ST_OK;
}

static enum status write_command(struct launch_mpirun *m, const struct launch_spec *spec,
                                 struct err *err)
{
    struct mpirun_line c = {0};
    add_ranks(&c, m, spec);
    add_environment(&c, spec);
    if (hosts_are_needed(spec))
        TRY(add_hosts(&c, m, spec, err));
    add(&c, m->worker);
    add(&c, "run");
    add(&c, "--job-dir");
    add(&c, spec->job_dir);
    return record_write_command(spec->attempt_dir, c.argv, c.env, err);
}

extern char **environ;

static int spawn_launcher(const char *launcher, const char *how, const struct launch_spec *spec,
                          pid_t *ret_pid)
{
    char log[4096];
    const char *argv[] = {launcher, how ? how : spec->attempt_dir, how ? spec->attempt_dir : NULL,
                          NULL};
    snprintf(log, sizeof log, "%s/log.txt", spec->job_dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int e = child_spawn(&(struct child){.argv = argv, .dir = spec->job_dir, .out = fd, .err = fd},
                        ret_pid);
    close(fd);
    return e;
}

static enum status mpirun_start(struct launch *l, const struct launch_spec *spec, struct err *err)
{
    struct launch_mpirun *m = self_of(l);
    struct launcher_record record;
    if (find_watched(m, spec) || record_is_locked(spec->attempt_dir) ||
        record_read_launcher(spec->attempt_dir, &record, NULL) != ST_NOT_FOUND)
        return ST_OK; /* it is on its way, or was */
    TRY(write_command(m, spec, err));
    pid_t pid = 0;
    errno = spawn_launcher(m->launcher, NULL, spec, &pid);
    if (errno)
        return err_errno(err, "cannot start %s", m->launcher);
    watch(m, spec, pid, true);
    return ST_OK;
}

/* ---- poll ----------------------------------------------------------------------------------- */

static bool exit_evidence(const struct launch_spec *spec, struct evidence *ret_ev)
{
    struct exit_record r;
    struct err err;
    enum status st = record_read_exit(spec->attempt_dir, &r, &err);
    if (st == ST_NOT_FOUND)
        return false;
    if (st != ST_OK) {
        *ret_ev = (struct evidence){.kind = EVIDENCE_UNKNOWN};
        snprintf(ret_ev->text, sizeof ret_ev->text, "%.250s", err.text);
        return true;
    }
    *ret_ev = (struct evidence){.kind = r.refused[0] ? EVIDENCE_REFUSED
                                        : r.lost[0]  ? EVIDENCE_NODE_LOST
                                                     : EVIDENCE_EXITED,
                                .exit_code = r.exit_code,
                                .signal = r.signal,
                                .ended_ms = r.ended_ms};
    snprintf(ret_ev->text, sizeof ret_ev->text, "%s", r.refused);
    if (r.lost[0])
        snprintf(ret_ev->text, sizeof ret_ev->text, "node %.200s does not answer", r.lost);
    return true;
}

/* No launcher record yet. A launcher of ours that ended with an error before it wrote one cannot start, except when it
 * said that another one may. */
static void early_evidence(const struct launch_spec *spec, const struct watched *w,
                           struct evidence *ret_ev)
{
    bool failed = w && w->reaped &&
                  (!WIFEXITED(w->status) ||
                   (WEXITSTATUS(w->status) != 0 && WEXITSTATUS(w->status) != LAUNCHER_TRY_AGAIN));
    if (failed) {
        *ret_ev = (struct evidence){.kind = EVIDENCE_REFUSED};
        snprintf(ret_ev->text, sizeof ret_ev->text,
                 "the launcher process ended early (wait status %d); log.txt says more", w->status);
        return;
    }
    bool coming = (w && !w->reaped) || record_is_locked(spec->attempt_dir);
    *ret_ev = (struct evidence){.kind = coming ? EVIDENCE_STARTING : EVIDENCE_ABSENT};
}

static enum evidence_kind process_evidence(const struct launcher_record *r)
{
    char boot[BOOT_ID_MAX];
    if (boot_id_read(boot, NULL) != ST_OK)
        return EVIDENCE_UNKNOWN;
    if (strcmp(boot, r->boot_id) != 0)
        return EVIDENCE_HOST_RESTARTED;
    uint64_t leader = 0;
    enum status st = proc_look(r->pid, &leader);
    if (st ==
        ST_OK) /* another start time: the number was given away, so nothing of the session is left */
        return leader == r->start_time ? EVIDENCE_ALIVE : EVIDENCE_VANISHED;
    if (st != ST_NOT_FOUND)
        return EVIDENCE_UNKNOWN;
    /* Ranks of a launcher that was killed: still the attempt, still its only one. */
    int left = proc_session_count(r->pid, r->pid);
    return left < 0 ? EVIDENCE_UNKNOWN : left > 0 ? EVIDENCE_ALIVE : EVIDENCE_VANISHED;
}

static void launcher_evidence(const struct launcher_record *r, struct evidence *ret_ev)
{
    ret_ev->kind = process_evidence(r);
    if (ret_ev->kind == EVIDENCE_UNKNOWN)
        snprintf(ret_ev->text, sizeof ret_ev->text,
                 "the processes of this host cannot be looked at (/proc): too many open files?");
}

/* The hostfile tells, not the placement: a node of it may have been taken out of the configuration since. */
static bool went_elsewhere(const struct launch_spec *spec)
{
    char path[ATTEMPT_PATH_MAX];
    snprintf(path, sizeof path, "%s/hosts", spec->attempt_dir);
    return access(path, F_OK) == 0 || errno != ENOENT;
}

/* mpirun and its launcher are gone here. What they started elsewhere ends by itself, but that must be known before
 * the attempt counts as ended. */
static bool nodes_are_clear(struct launch_mpirun *m, const struct launch_spec *spec)
{
    char path[ATTEMPT_PATH_MAX];
    snprintf(path, sizeof path, "%s/clear", spec->attempt_dir);
    if (access(path, F_OK) == 0)
        return true;
    if (m->clearing && waitpid(m->clearing, NULL, WNOHANG) == m->clearing)
        m->clearing = 0;
    if (m->clearing == 0 && clock_mono_ns() >= m->clear_after_ns) {
        m->clear_after_ns = clock_mono_ns() + CLEAR_EVERY_NS;
        if (spawn_launcher(m->launcher, "--clear", spec, &m->clearing) != 0)
            m->clearing = 0;
    }
    return false;
}

static void mpirun_poll(struct launch *l, const struct launch_spec *spec, struct evidence *ret_ev)
{
    struct launch_mpirun *m = self_of(l);
    struct watched *w = find_watched(m, spec);
    struct launcher_record record;
    struct err err;
    if (w)
        settle(w);
    if (exit_evidence(spec, ret_ev)) {
        unwatch(w);
        return;
    }
    enum status st = record_read_launcher(spec->attempt_dir, &record, &err);
    *ret_ev = (struct evidence){.kind = EVIDENCE_UNKNOWN};
    if (st == ST_NOT_FOUND)
        early_evidence(spec, w, ret_ev);
    else if (st == ST_OK)
        launcher_evidence(&record, ret_ev);
    else
        snprintf(ret_ev->text, sizeof ret_ev->text, "%.250s", err.text);
    if (ret_ev->kind == EVIDENCE_ALIVE && !w)
        watch(m, spec, record.pid, false);
    if ((ret_ev->kind == EVIDENCE_VANISHED || ret_ev->kind == EVIDENCE_HOST_RESTARTED) &&
        went_elsewhere(spec) && !nodes_are_clear(m, spec)) {
        *ret_ev = (struct evidence){.kind = EVIDENCE_UNKNOWN};
        snprintf(ret_ev->text, sizeof ret_ev->text,
                 "mpirun is gone; the other nodes are asked whether ranks are left there");
    }
    /* The record may have been written between the two looks. */
    if (ret_ev->kind == EVIDENCE_VANISHED && !exit_evidence(spec, ret_ev))
        shm_remove(&record);
    if (ret_ev->kind != EVIDENCE_ALIVE && ret_ev->kind != EVIDENCE_STARTING)
        unwatch(w);
}

/* ---- stop ----------------------------------------------------------------------------------- */

static void mpirun_stop(struct launch *l, const struct launch_spec *spec, enum stop_rung rung)
{
    (void)l;
    struct launcher_record r;
    char boot[BOOT_ID_MAX];
    enum status st = record_read_launcher(spec->attempt_dir, &r, NULL);
    if (st == ST_NOT_FOUND)
        record_forbid_start(spec->attempt_dir);
    if (st != ST_OK || boot_id_read(boot, NULL) != ST_OK || strcmp(boot, r.boot_id) != 0)
        return;
    if (rung == STOP_TERM && proc_is_alive(r.child, r.child_start_time))
        kill(r.child, SIGTERM);
    /* Every rank is a process group of its own; what they share is the launcher's session. Its id
     * stays taken while a member lives; a leader of another start time means that none does. */
    uint64_t leader = r.start_time;
    enum status found = proc_look(r.pid, &leader);
    if (rung == STOP_KILL && (found == ST_OK || found == ST_NOT_FOUND) && leader == r.start_time)
        proc_session_kill(r.pid, r.pid, SIGKILL);
}

static int mpirun_wake_fd(struct launch *l)
{
    return self_of(l)->epoll;
}

static void mpirun_destroy(struct launch *l)
{
    struct launch_mpirun *m = self_of(l);
    for (int i = 0; i < WATCHED_MAX; i++)
        close_pidfd(&m->watched[i]);
    if (m->epoll >= 0)
        close(m->epoll);
    free(m->mpirun);
    free(m->worker);
    free(m->launcher);
    free(m->agent);
    free(m);
}

static const struct launch_ops mpirun_ops = {
    .name = "mpirun",
    .start = mpirun_start,
    .poll = mpirun_poll,
    .stop = mpirun_stop,
    .wake_fd = mpirun_wake_fd,
    .destroy = mpirun_destroy,
};

enum status launch_mpirun_create(struct launch **ret_launch, const struct mpirun_options *options,
                                 struct err *err)
{
    struct launch_mpirun *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(err, ST_NOMEM, "out of memory for the launcher");
    m->base.ops = &mpirun_ops;
    for (int i = 0; i < WATCHED_MAX; i++)
        m->watched[i].pidfd = -1;
    m->mpirun = strdup(options->mpirun);
    m->worker = strdup(options->worker);
    m->launcher = strdup(options->launcher);
    m->agent = strdup(options->agent ? options->agent : "ssh");
    m->extra = options->extra;
    m->n_extra = options->n_extra;
    m->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum status st = ST_OK;
    if (m->epoll < 0)
        st = err_errno(err, "cannot watch processes");
    else if (!m->mpirun || !m->worker || !m->launcher || !m->agent)
        st = err_set(err, ST_NOMEM, "out of memory for the launcher");
    if (st == ST_OK)
        *ret_launch = &m->base;
    else
        mpirun_destroy(&m->base);
    return st;
}

void launch_destroy(struct launch *l)
{
    if (l)
        l->ops->destroy(l);
}
