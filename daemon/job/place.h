/* place.h - nodes, and which ranks of a job go to which of them: values and pure functions.
 *
 * A job starts as a gang: all of its ranks have room at the same time or none is placed. Cores and GPUs
 * are told apart by their number on the node, so that no two jobs ever use the same one. Ranks
 * that lie on one node have consecutive numbers, which is the order in which mpirun counts them too.
 */
#ifndef JOB_PLACE_H
#define JOB_PLACE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODES_MAX 1024
#define NODE_HOST_MAX 254 /* with the NUL */

/* Cores, memory and GPUs of a node, of a rank, or of a whole job. */
struct resources {
    int64_t cores, gpus, memory_bytes;
};

/* a -= b, not below 0. */
void resources_take(struct resources *a, const struct resources *b);

/* Memory of a node that is not counted; 1024 such nodes still have a sum. */
#define NODE_MEMORY_NOT_COUNTED ((int64_t)1 << 50)

struct node {
    char host[NODE_HOST_MAX]; /* as mpirun and the remote shell know it */
    struct resources has;
    bool local;   /* the daemon's own host */
    bool drained; /* nothing new starts here */
};

struct nodes {
    int n;
    struct node *list; /* owned */
};

struct resources nodes_sum(const struct nodes *nodes);
int nodes_find(const struct nodes *nodes, const char *host); /* -1 if none */

/* ---- how many ranks where --------------------------------------------------------------------- */

#define PLACE_ANYWHERE (-1)

/* A job as the placing sees it. */
struct gang {
    int ranks;
    struct resources each; /* of a rank; cores >= 1 */
    int avoid;             /* node to keep off if there is another way; PLACE_ANYWHERE */
};

/* As few nodes as possible; of those that hold all of it the one that is left fullest. room[i] is what may be
 * used of node i. Writes the number of ranks of each node into ret_on (room for nodes->n) and returns true, or
 * returns false if they do not all have room. */
bool place_gang(const struct nodes *nodes, const struct resources *room, const struct gang *gang,
                int *ret_on);

/* ST_LIMIT with the numbers if it could not run even on empty nodes. */
enum status place_check_fits(const struct nodes *nodes, const struct gang *gang, struct err *err);

/* ---- which cores and GPUs --------------------------------------------------------------------- */

struct placement {
    int ranks, threads, gpus; /* threads and gpus: of a rank */
    int *node;                /* [ranks]; -1: the node is no longer among ours */
    int *core;                /* [ranks][threads], numbers on the node, from 0 */
    int *gpu;                 /* [ranks][gpus] */
};

struct placement *placement_create(int ranks, int threads, int gpus); /* NULL: out of memory */
void placement_destroy(struct placement *p);                          /* NULL allowed */

/* [{"host": "a", "cores": [0, 1], "gpus": []}, ...], one object a rank; NULL when out of memory. free() it. */
char *placement_print(const struct placement *p, const struct nodes *nodes);
/* ST_CORRUPT if the text is no such list, or its ranks are not alike. */
enum status placement_parse(struct placement **ret_p, const char *text, const struct nodes *nodes,
                            struct err *err);

/* What is free: counts, and which cores and GPUs are taken. */
struct rooms {
    const struct nodes *nodes; /* borrowed */
    struct resources *free;    /* [nodes->n] */
    bool **core, **gpu;        /* [nodes->n][...]: true = taken */
};

struct rooms *rooms_create(const struct nodes *nodes); /* all free; NULL: out of memory */
void rooms_destroy(struct rooms *r);                   /* NULL allowed */

/* A job that runs. */
void rooms_take(struct rooms *r, const struct placement *p, int64_t memory_bytes_a_rank);
/* Takes the lowest free numbers for the ranks of ret_on's shape, the daemon's own node first: rank 0 is there
 * if any is. NULL: out of memory, or there is no room after all; nothing is taken then. */
struct placement *rooms_place(struct rooms *r, const struct gang *gang, const int *on);

#endif
