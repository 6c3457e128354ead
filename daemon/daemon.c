/* daemon.c - the subsystems in one table: built in its order, taken down backwards. */
#include "daemon.h"

#include "base/file.h"
#include "base/log.h"
#include "home.h"
#include "inbox.h"
#include "job/folder.h"
#include "job/jobs.h"
#include "job/records.h"
#include "job/sweep.h"
#include "launch/hosts.h"
#include "loop.h"
#include "metrics/metrics.h"
#include "service/access.h"
#include "service/check.h"
#include "service/diagnose.h"
#include "service/service.h"
#include "service/streams.h"
#include "service/verify.h"
#include "store/backup.h"
#include "webhook/webhook.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FILES_WANTED 16384
#define GRACE_MS 500 /* for calls that are being answered when the daemon ends */

/* ---- account and signals -------------------------------------------------------------------- */

/* A connection is a descriptor, and thousands may be idle. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= FILES_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static enum status create_process(struct daemon *d, struct err *err)
{
    raise_file_limit();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    /* Before any thread: all of them inherit the mask, and the loop reads the signals as it reads the rest. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit shows as a failed write, like a full disk */
    d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (d->signals < 0)
        return err_errno(err, "cannot read signals");
    struct passwd *account = getpwuid(geteuid());
    if (account)
        snprintf(d->owner, sizeof d->owner, "%s", account->pw_name);
    else
        snprintf(d->owner, sizeof d->owner, "%u", geteuid());
    d->started_ms = daemon_now_ms(d);
    return ST_OK;
}

static void destroy_process(struct daemon *d)
{
    if (d->signals >= 0)
        close(d->signals);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void configured_node(struct node *to, const struct config_node *from)
{
    snprintf(to->host, sizeof to->host, "%s", from->host);
    to->has =
        (struct resources){from->cores, from->gpus,
                           from->memory_mib ? from->memory_mib << 20 : NODE_MEMORY_NOT_COUNTED};
    to->local = host_is_here(from->host);
}

static void this_node(struct node *to, const struct resources *has)
{
    if (gethostname(to->host, sizeof to->host - 1) != 0)
        snprintf(to->host, sizeof to->host, "localhost");
    to->has = *has;
    to->local = true;
}

static enum status create_nodes(struct daemon *d, struct err *err)
{
    const struct config *c = &d->options.config;
    int n = c->n_nodes > 0 ? c->n_nodes : 1;
    d->nodes.list = calloc((size_t)n, sizeof *d->nodes.list);
    if (!d->nodes.list)
        return err_set(err, ST_NOMEM, "out of memory for the nodes");
    this_node(d->nodes.list, &d->options.node);
    for (int i = 0; i < c->n_nodes; i++) {
        if (nodes_find(&d->nodes, c->nodes[i].host) >= 0)
            return err_set(err, ST_INVALID, "nodes: %s is there twice", c->nodes[i].host);
        d->nodes.list[i] = (struct node){0};
        configured_node(&d->nodes.list[i], &c->nodes[i]);
        d->nodes.n = i + 1;
    }
    d->nodes.n = n;
    d->options.node = nodes_sum(&d->nodes);
    return ST_OK;
}

static void destroy_nodes(struct daemon *d)
{
    free(d->nodes.list);
}

/* ---- store and jobs ------------------------------------------------------------------------- */

/* It was left behind when the store moved, or the store was never moved. */
static void warn_of_other_store(const struct daemon *d)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/espalier.db", d->options.home);
    if (strcmp(path, d->options.store) != 0 && file_exists(path))
        log_warn("%s is not the job store, %s is; move it away, or restore it there first", path,
                 d->options.store);
}

static enum status create_store(struct daemon *d, struct err *err)
{
    warn_of_other_store(d);
    const char *path = d->options.store;
    int64_t newest;
    TRY(store_open(&d->store, path, err));
    TRY(home_check_id(d, err));
    enum status st = store_job_newest(d->store, NULL, &newest, err);
    if (st != ST_NOT_FOUND)
        return st;
    /* A new store beside folders of old jobs: whoever got one of their numbers would go on from their checkpoints. */
    return store_reserve(path, folder_last(d->options.home), err);
}

static void destroy_store(struct daemon *d)
{
    store_close(d->store);
}

static bool mark_drained(const char *host, void *user)
{
    struct daemon *d = user;
    int i = nodes_find(&d->nodes, host);
    if (i >= 0)
        d->nodes.list[i].drained = true;
    return true;
}

static enum status create_jobs(struct daemon *d, struct err *err)
{
    TRY(store_nodes_drained(d->store, mark_drained, d, err));
    TRY(jobs_create(&d->jobs, err));
    d->queue_dirty = true;
    return jobs_reload(d->jobs, d->store, &d->nodes, err);
}

static void destroy_jobs(struct daemon *d)
{
    jobs_destroy(d->jobs);
}

/* ---- launcher ------------------------------------------------------------------------------- */

static void take_fake(const struct fake_report *f, void *user)
{
    struct daemon *d = user;
    struct active *a = jobs_find(d->jobs, f->job_id);
    Espalier__V1__Record r = ESPALIER__V1__RECORD__INIT, *records[] = {&r};
    Espalier__V1__Hello hello = ESPALIER__V1__HELLO__INIT;
    Espalier__V1__Progress progress = ESPALIER__V1__PROGRESS__INIT;
    Espalier__V1__Done done = ESPALIER__V1__DONE__INIT;
    if (!a || a->job.attempt.number != f->attempt)
        return;
    stall_note_contact(d, a);
    if (f->kind == FAKE_ALIVE)
        return;
    r.number = f->number;
    r.time_ms = f->time_ms;
    if (f->kind == FAKE_HELLO) {
        hello.host = hello.kernel_set = (char *)"fake";
        hello.ranks = (uint32_t)a->job.ranks;
        hello.threads_per_rank = (uint32_t)a->job.threads;
        r.kind_case = ESPALIER__V1__RECORD__KIND_HELLO;
        r.hello = &hello;
    } else if (f->kind == FAKE_STEP) {
        progress.phase = (char *)"task";
        progress.step = progress.total_step = f->step;
        progress.steps = progress.total_steps = f->steps;
        progress.params_kept = 1;
        progress.eta_seconds = -1;
        r.kind_case = ESPALIER__V1__RECORD__KIND_PROGRESS;
        r.progress = &progress;
    } else {
        done.success = f->success;
        done.reason = (char *)f->reason;
        r.kind_case = ESPALIER__V1__RECORD__KIND_DONE;
        r.done = &done;
    }
    struct err err;
    records_take(d, a, records, 1, &err); /* a failure fails the group; it is reported again */
}

static enum status create_slurm(struct daemon *d, struct launch **ret_launch, struct err *err)
{
    const struct config *c = &d->options.config;
    double most_s = c->slurm_poll_most_s > c->slurm_poll_s ? c->slurm_poll_most_s : c->slurm_poll_s;
    struct slurm_options options = {.clock = d->clock,
                                    .bin = c->slurm_bin,
                                    .worker = d->options.worker,
                                    .launcher = d->options.launcher_path,
                                    .mpirun = d->options.mpirun,
                                    .mpi = c->slurm_mpi,
                                    .start = (enum slurm_starter)c->slurm_start,
                                    .nice_step = (int)c->slurm_nice_step,
                                    .poll_ms = (int64_t)(c->slurm_poll_s * 1000),
                                    .poll_most_ms = (int64_t)(most_s * 1000),
                                    .command_ms = (int64_t)(c->slurm_command_s * 1000)};
    snprintf(options.daemon_id, sizeof options.daemon_id, "%08x", (unsigned)(d->home_id >> 32));
    return launch_slurm_create(ret_launch, &options, err);
}

static enum status create_launch(struct daemon *d, struct err *err)
{
    if (d->options.fake)
        return launch_fake_create(&d->launch, d->clock, take_fake, d, err);
    struct mpirun_options options = {.mpirun = d->options.mpirun,
                                     .worker = d->options.worker,
                                     .launcher = d->options.launcher_path,
                                     .agent = d->options.config.remote_shell,
                                     .extra = d->options.config.mpirun_arguments,
                                     .n_extra = d->options.config.n_mpirun_arguments};
    struct launch *local = NULL, *slurm = NULL;
    TRY(launch_mpirun_create(&local, &options, err));
    enum status st = create_slurm(d, &slurm, err);
    if (st == ST_OK)
        return launch_mux_create(&d->launch, local, slurm, err);
    launch_destroy(local);
    return st;
}

static void destroy_launch(struct daemon *d)
{
    launch_destroy(d->launch);
}

/* ---- inbox and server ----------------------------------------------------------------------- */

static enum status create_inbox(struct daemon *d, struct err *err)
{
    return inbox_create(&d->inbox, err);
}

static void destroy_inbox(struct daemon *d)
{
    inbox_destroy(d->inbox);
}

static enum status listen_all(struct daemon *d, struct err *err)
{
    const struct config *c = &d->options.config;
    struct rpc_tls files = {c->tls_cert, c->tls_key, c->tls_client_ca[0] ? c->tls_client_ca : NULL};
    if (c->n_listen > 1)
        TRY(rpc_server_use_tls(d->server, &files, err));
    for (int i = 0; i < c->n_listen; i++)
        TRY(rpc_server_listen(d->server, c->listen[i], &d->ports[i], err));
    return ST_OK;
}

static enum status create_server(struct daemon *d, struct err *err)
{
    TRY(rpc_server_create(&d->server, err));
    TRY(service_register(d, err));
    rpc_server_guard(d->server, access_admit, d);
    TRY(listen_all(d, err));
    return rpc_server_start(d->server, err);
}

/* Nobody posts any more once server and checker have stopped; then what is left is answered. */
static void destroy_server(struct daemon *d)
{
    if (!d->server)
        return;
    streams_end_all(d, "the daemon is ending; watch again when it is back");
    rpc_server_stop(d->server, GRACE_MS);
    checker_stop(d);
    diagnose_stop(d);
    hasher_stop(d);
    loop_drain(d);
    streams_end_all(d, "the daemon is ending");
    rpc_server_destroy(d->server);
}

static void destroy_streams(struct daemon *d)
{
    streams_destroy(d);
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum status (*create)(struct daemon *d, struct err *err);
    void (*destroy)(struct daemon *d); /* accepts what a failed create left */
} subsystems[] = {
    {"process", create_process, destroy_process},
    {"home", home_lock, home_unlock},
    {"socket", home_lock_socket, home_unlock},
    {"nodes", create_nodes, destroy_nodes},
    {"store", create_store, destroy_store},
    {"jobs", create_jobs, destroy_jobs},
    {"launcher", create_launch, destroy_launch},
    {"inbox", create_inbox, destroy_inbox},
    {"streams", streams_create, destroy_streams},
    {"checker", checker_create, checker_destroy},
    {"hasher", hasher_create, hasher_destroy},
    {"access", access_create, access_destroy},
    {"sweeper", sweep_create, sweep_destroy},
    {"metrics", metrics_create, metrics_destroy},
    {"webhook", webhook_create, webhook_destroy},
    {"server", create_server, destroy_server},
    {"webhook's thread", webhook_start, webhook_stop},
};
#define SUBSYSTEMS (sizeof subsystems / sizeof *subsystems)

static void destroy_first(struct daemon *d, size_t n)
{
    while (n-- > 0) {
        log_debug("ending: %s", subsystems[n].name);
        subsystems[n].destroy(d);
    }
    free(d);
}

enum status daemon_create(struct daemon **ret_daemon, const struct options *options,
                          struct err *err)
{
    struct daemon *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(err, ST_NOMEM, "out of memory");
    d->options = *options;
    d->clock = clock_system();
    d->home_lock = d->store_lock = d->socket_lock = d->signals = -1;
    d->answers_end = &d->answers;
    for (size_t i = 0; i < SUBSYSTEMS; i++) {
        enum status st = subsystems[i].create(d, err);
        if (st != ST_OK) {
            destroy_first(d, i + 1);
            return st;
        }
    }
    *ret_daemon = d;
    return ST_OK;
}

void daemon_destroy(struct daemon *d)
{
    if (d)
        destroy_first(d, SUBSYSTEMS);
}
