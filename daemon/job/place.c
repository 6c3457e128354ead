/* place.c - see place.h. */
#include "job/place.h"

#include <stdlib.h>
#include <string.h>

static int64_t less(int64_t a, int64_t b)
{
    return a > b ? a - b : 0;
}

void resources_take(struct resources *a, const struct resources *b)
{
    a->cores = less(a->cores, b->cores);
    a->gpus = less(a->gpus, b->gpus);
    a->memory_bytes = less(a->memory_bytes, b->memory_bytes);
}

struct resources nodes_sum(const struct nodes *nodes)
{
    struct resources sum = {0};
    for (int i = 0; i < nodes->n; i++) {
        sum.cores += nodes->list[i].has.cores;
        sum.gpus += nodes->list[i].has.gpus;
        sum.memory_bytes += nodes->list[i].has.memory_bytes;
    }
    return sum;
}

int nodes_find(const struct nodes *nodes, const char *host)
{
    for (int i = 0; i < nodes->n; i++)
        if (strcmp(nodes->list[i].host, host) == 0)
            return i;
    return -1;
}

/* ---- how many ranks where --------------------------------------------------------------------- */

static int64_t at_most(int64_t most, int64_t room, int64_t each)
{
    int64_t n = each > 0 ? room / each : most;
    return n < most ? n : most;
}

static int ranks_that_fit(const struct resources *room, const struct gang *g)
{
    int64_t n = at_most(g->ranks, room->cores, g->each.cores);
    n = at_most(n, room->gpus, g->each.gpus);
    n = at_most(n, room->memory_bytes, g->each.memory_bytes);
    return n > 0 ? (int)n : 0;
}

static int usable(const struct nodes *nodes, const struct resources *room, const struct gang *g,
                  int i, int avoid)
{
    return nodes->list[i].drained || i == avoid ? 0 : ranks_that_fit(&room[i], g);
}

/* The node that holds all of it and has the least left then; -1: none. */
static int tightest(const struct nodes *nodes, const struct resources *room, const struct gang *g,
                    int avoid)
{
    int best = -1;
    for (int i = 0; i < nodes->n; i++)
        if (usable(nodes, room, g, i, avoid) >= g->ranks &&
            (best < 0 || room[i].gpus < room[best].gpus ||
             (room[i].gpus == room[best].gpus && room[i].cores < room[best].cores)))
            best = i;
    return best;
}

/* The node with the most room again and again; true when all ranks have some. */
static bool fill(const struct nodes *nodes, const struct resources *room, const struct gang *g,
                 int avoid, int *ret_on)
{
    int left = g->ranks;
    memset(ret_on, 0, (size_t)nodes->n * sizeof *ret_on);
    while (left > 0) {
        int best = -1, most = 0;
        for (int i = 0; i < nodes->n; i++) {
            int n = ret_on[i] ? 0 : usable(nodes, room, g, i, avoid);
            if (n > most) {
                most = n;
                best = i;
            }
        }
        if (best < 0)
            return false;
        ret_on[best] = most < left ? most : left;
        left -= ret_on[best];
    }
    return true;
}

static bool place(const struct nodes *nodes, const struct resources *room, const struct gang *g,
                  int avoid, int *ret_on)
{
    int one = tightest(nodes, room, g, avoid);
    if (one < 0)
        return fill(nodes, room, g, avoid, ret_on);
    memset(ret_on, 0, (size_t)nodes->n * sizeof *ret_on);
    ret_on[one] = g->ranks;
    return true;
}

bool place_gang(const struct nodes *nodes, const struct resources *room, const struct gang *gang,
                int *ret_on)
{
    return (gang->avoid != PLACE_ANYWHERE && place(nodes, room, gang, gang->avoid, ret_on)) ||
           place(nodes, room, gang, PLACE_ANYWHERE, ret_on);
}

#define MIB (1024 * 1024)

/* On one node the sums say it all. */
static enum status check_sum(const struct resources *has, const struct gang *g, struct err *err)
{
    long long ranks = g->ranks;
    if (g->each.cores * ranks > has->cores)
        return err_set(
            err, ST_LIMIT,
            "the job needs %lld cores (%lld ranks x %lld threads) and this daemon has %lld; "
            "lower resources.ranks or resources.threads",
            (long long)g->each.cores * ranks, ranks, (long long)g->each.cores,
            (long long)has->cores);
    if (g->each.gpus * ranks > has->gpus)
        return err_set(err, ST_LIMIT,
                       "the job needs %lld GPUs (%lld ranks x %lld) and this daemon has %lld; "
                       "lower resources.gpus",
                       (long long)g->each.gpus * ranks, ranks, (long long)g->each.gpus,
                       (long long)has->gpus);
    if (g->each.memory_bytes * ranks > has->memory_bytes)
        return err_set(
            err, ST_LIMIT,
            "the job needs %lld MiB of memory (%lld ranks x %lld MiB) and this daemon has "
            "%lld; lower resources.memory_mib, train.micro_batch or resources.ranks",
            (long long)(g->each.memory_bytes / MIB) * ranks, ranks,
            (long long)(g->each.memory_bytes / MIB), (long long)(has->memory_bytes / MIB));
    return ST_OK;
}

enum status place_check_fits(const struct nodes *nodes, const struct gang *gang, struct err *err)
{
    struct resources sum = nodes_sum(nodes);
    int fit = 0;
    TRY(check_sum(&sum, gang, err));
    for (int i = 0; i < nodes->n; i++)
        fit += ranks_that_fit(&nodes->list[i].has, gang);
    if (fit >= gang->ranks)
        return ST_OK;
    return err_set(err, ST_LIMIT,
                   "only %d of the job's %d ranks have room on the %d nodes of this daemon: a rank "
                   "needs %lld cores, %lld GPUs and %lld MiB on one node; `espalier nodes` shows "
                   "what there is",
                   fit, gang->ranks, nodes->n, (long long)gang->each.cores,
                   (long long)gang->each.gpus, (long long)(gang->each.memory_bytes / MIB));
}

/* ---- which cores and GPUs --------------------------------------------------------------------- */

struct rooms *rooms_create(const struct nodes *nodes)
{
    struct rooms *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    size_t n = (size_t)nodes->n + 1; /* never nothing, so that NULL is a failure */
    r->nodes = nodes;
    r->free = calloc(n, sizeof *r->free);
    r->core = calloc(n, sizeof(bool *));
    r->gpu = calloc(n, sizeof(bool *));
    bool ok = r->free && r->core && r->gpu;
    for (int i = 0; ok && i < nodes->n; i++) {
        r->free[i] = nodes->list[i].has;
        r->core[i] = calloc((size_t)r->free[i].cores + 1, sizeof(bool));
        r->gpu[i] = calloc((size_t)r->free[i].gpus + 1, sizeof(bool));
        ok = r->core[i] && r->gpu[i];
    }
    if (ok)
        return r;
    rooms_destroy(r);
    return NULL;
}

void rooms_destroy(struct rooms *r)
{
    if (!r)
        return;
    for (int i = 0; r->core && r->gpu && i < r->nodes->n; i++) {
        free(r->core[i]);
        free(r->gpu[i]);
    }
    free(r->core);
    free(r->gpu);
    free(r->free);
    free(r);
}

static void take_numbers(bool *taken, int64_t has, const int *number, int n)
{
    for (int i = 0; i < n; i++)
        if (number[i] >= 0 && number[i] < has)
            taken[number[i]] = true;
}

void rooms_take(struct rooms *r, const struct placement *p, int64_t memory_bytes_a_rank)
{
    struct resources each = {p->threads, p->gpus, memory_bytes_a_rank};
    for (int rank = 0; rank < p->ranks; rank++) {
        int i = p->node[rank];
        if (i < 0 || i >= r->nodes->n)
            continue;
        const struct resources *has = &r->nodes->list[i].has;
        resources_take(&r->free[i], &each);
        take_numbers(r->core[i], has->cores, p->core + (size_t)rank * (size_t)p->threads,
                     p->threads);
        take_numbers(r->gpu[i], has->gpus, p->gpu + (size_t)rank * (size_t)p->gpus, p->gpus);
    }
}

/* The lowest free ones. */
static bool give_numbers(const bool *taken, int64_t has, int64_t *at, int *number, int n)
{
    for (int i = 0; i < n; i++) {
        while (*at < has && taken[*at])
            ++*at;
        if (*at == has)
            return false;
        number[i] = (int)(*at)++;
    }
    return true;
}

static bool give_node(const struct rooms *r, struct placement *p, int node, int first, int n)
{
    const struct resources *has = &r->nodes->list[node].has;
    int64_t core = 0, gpu = 0;
    bool ok = true;
    for (int rank = first; ok && rank < first + n; rank++) {
        p->node[rank] = node;
        ok = give_numbers(r->core[node], has->cores, &core,
                          p->core + (size_t)rank * (size_t)p->threads, p->threads) &&
             give_numbers(r->gpu[node], has->gpus, &gpu, p->gpu + (size_t)rank * (size_t)p->gpus,
                          p->gpus);
    }
    return ok;
}

struct placement *rooms_place(struct rooms *r, const struct gang *gang, const int *on)
{
    struct placement *p =
        placement_create(gang->ranks, (int)gang->each.cores, (int)gang->each.gpus);
    bool ok = p != NULL;
    int first = 0;
    for (int local = 1; local >= 0; local--)
        for (int i = 0; ok && i < r->nodes->n; i++)
            if (r->nodes->list[i].local == (local == 1)) {
                ok = give_node(r, p, i, first, on[i]);
                first += on[i];
            }
    if (!ok) {
        placement_destroy(p);
        return NULL;
    }
    rooms_take(r, p, gang->each.memory_bytes);
    return p;
}
