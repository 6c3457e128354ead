/* cores.c - see cores.h. */
#include "run/cores.h"

#include "base/boot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPUS CPU_SETSIZE

/* ---- who gets which --------------------------------------------------------------------------- */

static bool overlap(const cpu_set_t *a, const cpu_set_t *b)
{
    cpu_set_t both;
    CPU_AND(&both, a, b);
    return CPU_COUNT(&both) > 0;
}

/* Part k of n even parts of a set, along `order`. */
static void take_part(cpu_set_t *part, const cpu_set_t *of, int k, int n, const int *order,
                      int cpus)
{
    int all = CPU_COUNT(of), seen = 0;
    CPU_ZERO(part);
    for (int i = 0; i < cpus; i++)
        if (CPU_ISSET(order[i], of)) {
            if (seen >= all * k / n && seen < all * (k + 1) / n)
                CPU_SET(order[i], part);
            seen++;
        }
}

void cores_meet(struct cores_met *m, const struct rank_cores *own, int me,
                const struct rank_cores *other, int rank)
{
    if (strcmp(other->host, own->host) != 0 || strcmp(other->boot, own->boot) != 0)
        return;
    bool same = CPU_EQUAL(&other->may, &own->may);
    m->alike += same;
    m->before += same && rank < me;
    m->crossed += !same && overlap(&other->may, &own->may);
}

void cores_share(const struct rank_cores *own, const struct cores_met *m, const int *order,
                 int cpus, int threads, struct cores_share *ret_share)
{
    int cores = CPU_COUNT(&own->may), ranks = m->alike > 1 ? m->alike : 1;
    struct cores_share s = {.use = own->may, .alone = !m->crossed && ranks <= cores};
    if (s.alone)
        take_part(&s.use, &own->may, m->before, ranks, order, cpus);
    int room = s.alone ? CPU_COUNT(&s.use) : cores / (ranks + m->crossed);
    s.threads = cores == 0 || threads < room ? threads : room < 1 ? 1 : room;
    *ret_share = s;
}

/* ---- this machine ----------------------------------------------------------------------------- */

static int read_topology(int cpu, const char *name)
{
    char path[96], text[16];
    int value = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, name);
    FILE *f = fopen(path, "r");
    if (f && fgets(text, sizeof text, f))
        value = (int)strtol(text, NULL, 10);
    if (f)
        fclose(f);
    return value;
}

struct place {
    int package, core, cpu;
};

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->package != y->package)
        return x->package - y->package;
    return x->core != y->core ? x->core - y->core : x->cpu - y->cpu;
}

static int list_order(const cpu_set_t *may, int *order)
{
    struct place place[CPUS];
    int n = 0;
    for (int i = 0; i < CPUS; i++)
        if (CPU_ISSET(i, may))
            place[n++] = (struct place){read_topology(i, "physical_package_id"),
                                        read_topology(i, "core_id"), i};
    qsort(place, (size_t)n, sizeof *place, by_place);
    for (int i = 0; i < n; i++)
        order[i] = place[i].cpu;
    return n;
}

/* Slurm gives a job so many cores of a node; where it does not bind to them, other jobs run on the others. */
static bool belongs_to_others(const cpu_set_t *may)
{
    const char *given = getenv("SLURM_CPUS_ON_NODE");
    return given && strtol(given, NULL, 10) > 0 && strtol(given, NULL, 10) < CPU_COUNT(may);
}

/* ---- both ------------------------------------------------------------------------------------- */

/* The kernel refuses a set that is smaller than its own: a machine of more than CPU_SETSIZE CPUs. */
static void look(struct rank_cores *own)
{
    *own = (struct rank_cores){0};
    gethostname(own->host, sizeof own->host - 1);
    (void)boot_id_read(own->boot, NULL); /* cloned nodes may all go by one name */
    if (sched_getaffinity(0, sizeof own->may, &own->may) != 0)
        CPU_ZERO(&own->may);
}

/* Ranks that may run on our cores, or on some of them. */
static int sharers(const struct cores_met *m)
{
    return m->alike + m->crossed;
}

static void bind_or_tell(const struct rank_cores *own, const struct cores_met *m,
                         const struct cores_share *share, struct binding *b)
{
    struct err err;
    int cores = CPU_COUNT(&own->may);
    if (cores == 0)
        snprintf(b->unbound, sizeof b->unbound, "this machine's CPUs cannot be listed");
    else if (belongs_to_others(&own->may))
        snprintf(b->unbound, sizeof b->unbound,
                 "Slurm gave %.8s of this node's %d cores and does not bind to them",
                 getenv("SLURM_CPUS_ON_NODE"), cores);
    else if (!share->alone)
        snprintf(b->unbound, sizeof b->unbound, "%d ranks share %d core%s", sharers(m), cores,
                 cores == 1 ? "" : "s");
    else if (bind_to_cpus(&share->use, b, &err) != ST_OK)
        snprintf(b->unbound, sizeof b->unbound, "%.150s", err.text);
}

/* Ranks of differing threads would round their sums differently, and come to decide differently. */
static int fewest_threads(struct comm *comm, int own, int *ret_rank)
{
    int fewest = own;
    for (int i = 0; i < comm->size; i++) {
        int other = own;
        comm->broadcast(comm, &other, sizeof other, i);
        if (other < fewest) {
            fewest = other;
            *ret_rank = i;
        }
    }
    return fewest;
}

static void tell_lowered(struct binding *b, const struct cores_met *m, int cores, int threads,
                         long long wanted)
{
    bool bound = cores < sysconf(_SC_NPROCESSORS_ONLN);
    int ranks = sharers(m);
    snprintf(b->lowered, sizeof b->lowered,
             "%lld threads a rank were asked for (resources.threads), but %d rank%s %s %d core%s "
             "here: it is %d thread%s%s",
             wanted, ranks, ranks == 1 ? "" : "s", ranks == 1 ? "has" : "share", cores,
             cores == 1 ? "" : "s", threads, threads == 1 ? "" : "s",
             bound ? "; the machine has more, to which the launcher did not bind it (mpirun: "
                     "--bind-to none)"
                   : "");
}

void cores_settle(struct comm *comm, int64_t *threads, struct binding *b)
{
    struct rank_cores own, other;
    struct cores_met met = {0};
    struct cores_share share;
    int order[CPUS];
    look(&own);
    for (int i = 0; i < comm->size; i++) {
        other = own;
        comm->broadcast(comm, &other, sizeof other, i);
        cores_meet(&met, &own, comm->rank, &other, i);
    }
    int cpus = list_order(&own.may, order);
    cores_share(&own, &met, order, cpus, (int)*threads, &share);
    if (!b->placed)
        bind_or_tell(&own, &met, &share, b);
    int rank = -1, fewest = fewest_threads(comm, share.threads, &rank);
    if (rank >= 0)
        snprintf(b->lowered, sizeof b->lowered,
                 "rank %d has cores for no more than %d thread%s: this rank runs as many instead "
                 "of %d, since all must be alike",
                 rank, fewest, fewest == 1 ? "" : "s", share.threads);
    else if (fewest < *threads)
        tell_lowered(b, &met, CPU_COUNT(&own.may), fewest, *threads);
    *threads = fewest;
}
