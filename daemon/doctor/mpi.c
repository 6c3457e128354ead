/* mpi.c - mpirun, what its ranks see, and the other nodes. See doctor.h. */
#include "doctor/doctor.h"

#include "base/clock.h"
#include "launch/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MPI_MS 60000
#define NODE_MS 20000
#define SKEW_MS 2000
#define ARGV_MAX 120
#define PROBES 4

/* ---- mpirun here ------------------------------------------------------------------------------ */

static void rank_faults(struct doctor *d, const struct probe *p, int n, int code, const char *words)
{
    if (code != 0 && n == 0)
        check_remedy(doctor_say(d, "mpi", CHECK_FAULT, "mpirun -n 2 ended with code %d: %.200s",
                                code, words),
                     "run it by hand: %s -n 2 %.150s probe", d->options->mpirun,
                     d->options->worker);
    else if (n == 2 && p[0].ranks == 1)
        check_remedy(doctor_say(d, "mpi", CHECK_FAULT,
                                "two ranks start, but each believes that it is alone: this mpirun "
                                "and the worker are of two MPI installations"),
                     "put the mpirun of the worker's Open MPI first, or say --mpirun PATH; `ldd "
                     "%.150s | grep libmpi` names it",
                     d->options->worker);
    else if (n != 2)
        check_remedy(doctor_say(d, "mpi", CHECK_FAULT, "%d of 2 ranks answered: %.200s", n, words),
                     "run it by hand: %s -n 2 %.150s probe", d->options->mpirun,
                     d->options->worker);
    else
        doctor_say(d, "mpi", CHECK_OK, "mpirun starts 2 ranks; each sees %d cores", p[0].cpus);
}

/* GPUs are counted by asking the driver in a rank, so a driver or a container that hides them shows. */
static void gpu_faults(struct doctor *d, const struct probe *p, int n)
{
    const struct config *c = &d->options->config;
    int64_t wanted = c->n_nodes ? 0 : d->options->node.gpus;
    for (int i = 0; i < c->n_nodes; i++)
        if (host_is_here(c->nodes[i].host))
            wanted = c->nodes[i].gpus;
    for (int i = 0; i < n; i++)
        if (p[i].gpus < wanted) {
            check_remedy(doctor_say(d, "gpus", CHECK_FAULT,
                                    "the daemon is told of %lld GPUs here, but rank %d sees %d",
                                    (long long)wanted, p[i].rank, p[i].gpus),
                         "lower gpus in the configuration, or repair the driver: nvidia-smi; "
                         "CUDA_VISIBLE_DEVICES of the daemon hides GPUs from all ranks");
            return;
        }
    if (n == 0)
        doctor_say(d, "gpus", CHECK_SKIPPED, "no rank could be asked");
    else if (p[0].gpus > wanted)
        check_remedy(doctor_say(d, "gpus", CHECK_WARNING,
                                "ranks see %d GPUs, but the daemon hands out %lld", p[0].gpus,
                                (long long)wanted),
                     "say so in the configuration: gpus: %d", p[0].gpus);
    else
        doctor_say(d, "gpus", CHECK_OK, "every rank sees the %lld GPUs that are handed out",
                   (long long)wanted);
}

static void precision_faults(struct doctor *d, const struct probe *p, int n)
{
    if (n == 0)
        doctor_say(d, "bf16", CHECK_SKIPPED, "no rank could be asked");
    else if (p[0].bf16)
        doctor_say(d, "bf16", CHECK_OK, "the processor here can run train.precision: bf16");
    else
        doctor_say(
            d, "bf16", CHECK_SKIPPED,
            "the processor here has no AVX-512 BF16; jobs run here with train.precision: f32");
}

void examine_mpi(struct doctor *d)
{
    const char *argv[] = {
        d->options->mpirun, "-n",    "2",     "--bind-to", "none", "--oversubscribe",
        d->options->worker, "probe", "--mpi", NULL};
    struct asked a;
    struct probe p[PROBES];
    int n = 0;
    if (geteuid() == 0) {
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
        setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
    }
    ask(&a, argv, MPI_MS);
    if (a.status == ST_NOT_FOUND)
        check_remedy(doctor_say(d, "mpi", CHECK_FAULT, "there is no %s", d->options->mpirun),
                     "install Open MPI (Debian: apt-get install openmpi-bin), or say where it is: "
                     "--mpirun PATH");
    else if (a.status != ST_OK)
        check_remedy(doctor_say(d, "mpi", CHECK_FAULT, "%s", a.words),
                     "run it by hand: %s -n 2 %.150s probe", d->options->mpirun,
                     d->options->worker);
    else {
        n = probes_read(&a.said, p, PROBES);
        rank_faults(d, p, n, a.code, a.words);
    }
    gpu_faults(d, p, n);
    precision_faults(d, p, n);
    asked_fini(&a);
}

/* ---- other nodes ------------------------------------------------------------------------------ */

static int agent_words(const struct doctor *d, char *agent, size_t size, const char **argv)
{
    int n = 0;
    char *rest = agent, *word;
    snprintf(agent, size, "%s", d->options->config.remote_shell);
    while (n < ARGV_MAX - 10 && (word = strsep(&rest, " ")))
        if (*word)
            argv[n++] = word;
    return n;
}

static void judge_node(struct doctor *d, const struct config_node *node, const struct probe *p,
                       int64_t asked_ms, int64_t answered_ms)
{
    int64_t early = asked_ms - p->time_ms, late = p->time_ms - answered_ms;
    int64_t skew = early > late ? early : late;
    const char *host = node->host;
    int faults = d->n;
    if (strcmp(p->version, ESPALIER_VERSION) != 0)
        check_remedy(doctor_say(d, "node", CHECK_FAULT,
                                "%.100s has espalier-worker %.60s, here is %s", host, p->version,
                                ESPALIER_VERSION),
                     "install the same version on all nodes");
    if (home_to_find(d) && strcmp(p->home, "ok") != 0)
        check_remedy(doctor_say(d, "node", CHECK_FAULT,
                                "%.100s does not have the daemon's home %.150s: %.100s", host,
                                d->options->home, p->home),
                     "share %.150s/jobs with all nodes under the same path", d->options->home);
    if (skew > SKEW_MS)
        check_remedy(doctor_say(d, "node", CHECK_WARNING, "the clock of %.100s is off by %lld s",
                                host, (long long)(skew / 1000)),
                     "run NTP there (chrony or systemd-timesyncd)");
    if (p->gpus < node->gpus || p->cpus < node->cores)
        check_remedy(
            doctor_say(d, "node", CHECK_FAULT,
                       "%.100s is configured with %lld cores and %lld GPUs, a process there "
                       "sees %d and %d",
                       host, (long long)node->cores, (long long)node->gpus, p->cpus, p->gpus),
            "correct nodes in the configuration");
    if (d->n == faults)
        doctor_say(d, "node", CHECK_OK,
                   "%.100s: %d cores, %d GPUs%s, the same worker, the same home", host, p->cpus,
                   p->gpus, p->bf16 ? ", bf16" : "");
}

static bool check_node(struct doctor *d, const struct config_node *node)
{
    const char *argv[ARGV_MAX];
    char agent[1024];
    struct asked a;
    struct probe p;
    int n = agent_words(d, agent, sizeof agent, argv);
    const char *home = home_to_find(d);
    const char *more[] = {node->host, d->options->worker, "probe", home ? "--home" : NULL, home,
                          NULL};
    memcpy(argv + n, more, sizeof more);
    int64_t asked = clock_system()->wall_ms(clock_system());
    ask(&a, argv, NODE_MS);
    int64_t answered = clock_system()->wall_ms(clock_system());
    bool reached = a.status == ST_OK && probes_read(&a.said, &p, 1) == 1;
    if (reached)
        judge_node(d, node, &p, asked, answered);
    else if (a.status == ST_OK && (a.code == 126 || a.code == 127))
        check_remedy(doctor_say(d, "node", CHECK_FAULT,
                                "%.100s has no %.150s that can be run: %.100s", node->host,
                                d->options->worker, a.words),
                     "install the worker there under the same path");
    else
        check_remedy(doctor_say(d, "node", CHECK_FAULT, "%.100s cannot be reached: %.200s",
                                node->host, a.words),
                     "try it by hand: %.100s %.100s true; it must not ask for a password",
                     d->options->config.remote_shell, node->host);
    asked_fini(&a);
    return reached;
}

/* Rank 0 reports over the first address. */
static void check_way_back(struct doctor *d)
{
    check_remedy(
        doctor_say(d, "way back", CHECK_WARNING,
                   "ranks report to %.150s, which other nodes cannot reach: a job without a "
                   "rank on this host shows its progress only when it is over",
                   d->options->listen),
        "give the daemon's own host cores in nodes, so that rank 0 runs here; nothing is "
        "lost otherwise: reports wait in the job's folder");
}

void examine_nodes(struct doctor *d)
{
    const struct config *c = &d->options->config;
    int others = 0;
    bool here = false;
    for (int i = 0; i < c->n_nodes; i++) {
        if (host_is_here(c->nodes[i].host)) {
            here = true;
            continue;
        }
        others++;
        check_node(d, &c->nodes[i]);
    }
    if (others == 0)
        doctor_say(d, "nodes", CHECK_SKIPPED,
                   "none are configured; jobs of mpirun run on this host alone");
    else if (!here)
        check_way_back(d);
    else
        doctor_say(d, "way back", CHECK_OK,
                   "rank 0 of a job that has a rank here reports from here");
}
