/* queue.c - see queue.h. */
#include "job/queue.h"

#include <stdlib.h>

static int by_rank(const void *a, const void *b)
{
    const struct queue_job *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void keep(const struct nodes *nodes, struct resources *room, const struct gang *g,
                 const int *on)
{
    for (int i = 0; i < nodes->n; i++) {
        struct resources part = {g->each.cores * on[i], g->each.gpus * on[i],
                                 g->each.memory_bytes * on[i]};
        resources_take(&room[i], &part);
    }
}

static bool any_core(const struct nodes *nodes, const struct resources *room)
{
    for (int i = 0; i < nodes->n; i++)
        if (room[i].cores > 0 && !nodes->list[i].drained)
            return true;
    return false;
}

void queue_pick(struct queue_job *waiting, size_t n, const struct nodes *nodes,
                struct resources *room, queue_start_f start, void *user)
{
    struct resources empty[NODES_MAX];
    int on[NODES_MAX];
    for (int i = 0; i < nodes->n; i++)
        empty[i] = nodes->list[i].has;
    if (n > 0 && any_core(nodes, room))
        qsort(waiting, n, sizeof *waiting, by_rank);
    /* Every rank needs a core, so a full machine ends the look at a long queue. */
    for (size_t i = 0; i < n && any_core(nodes, room); i++) {
        const struct gang *g = &waiting[i].gang;
        bool starts = place_gang(nodes, room, g, on);
        if (starts && !start(&waiting[i], on, user))
            return;
        if (starts || place_gang(nodes, empty, g, on))
            keep(nodes, room, g, on);
    }
}
