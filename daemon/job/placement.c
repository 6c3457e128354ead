/* placement.c - a placement as a value and as JSON. See place.h. */
#include "base/json.h"
#include "job/place.h"

#include <stdlib.h>
#include <string.h>

#define RANKS_MAX 65536

/* One more than none, so that NULL always means that there was no memory. */
static int *numbers(int rows, int columns)
{
    return calloc((size_t)rows * (size_t)columns + 1, sizeof(int));
}

struct placement *placement_create(int ranks, int threads, int gpus)
{
    struct placement *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct placement){
        ranks, threads, gpus, numbers(ranks, 1), numbers(ranks, threads), numbers(ranks, gpus)};
    if (p->node && p->core && p->gpu)
        return p;
    placement_destroy(p);
    return NULL;
}

void placement_destroy(struct placement *p)
{
    if (!p)
        return;
    free(p->node);
    free(p->core);
    free(p->gpu);
    free(p);
}

static struct json_object *print_list(const int *number, int n)
{
    struct json_object *list = json_object_new_array();
    for (int i = 0; i < n; i++)
        json_object_array_add(list, json_object_new_int(number[i]));
    return list;
}

char *placement_print(const struct placement *p, const struct nodes *nodes)
{
    struct json_object *list = json_object_new_array();
    for (int i = 0; i < p->ranks; i++) {
        struct json_object *o = json_object_new_object();
        const char *host =
            p->node[i] >= 0 && p->node[i] < nodes->n ? nodes->list[p->node[i]].host : "";
        json_object_object_add(o, "host", json_object_new_string(host));
        json_object_object_add(o, "cores",
                               print_list(p->core + (size_t)i * (size_t)p->threads, p->threads));
        json_object_object_add(o, "gpus",
                               print_list(p->gpu + (size_t)i * (size_t)p->gpus, p->gpus));
        json_object_array_add(list, o);
    }
    const char *text = json_object_to_json_string_ext(list, JSON_C_TO_STRING_NOSLASHESCAPE);
    char *out = text ? strdup(text) : NULL;
    json_object_put(list);
    return out;
}

static int list_length(struct json_object *rank, const char *key)
{
    struct json_object *list = json_find(rank, key);
    return json_object_is_type(list, json_type_array) ? (int)json_object_array_length(list) : -1;
}

static void read_list(struct json_object *rank, const char *key, int *number, int n)
{
    struct json_object *list = json_find(rank, key);
    for (int i = 0; i < n; i++)
        number[i] = json_object_get_int(json_object_array_get_idx(list, (size_t)i));
}

static bool read_rank(struct placement *p, int i, struct json_object *rank,
                      const struct nodes *nodes)
{
    if (list_length(rank, "cores") != p->threads || list_length(rank, "gpus") != p->gpus)
        return false;
    p->node[i] = nodes_find(nodes, json_get_str(rank, "host", ""));
    read_list(rank, "cores", p->core + (size_t)i * (size_t)p->threads, p->threads);
    read_list(rank, "gpus", p->gpu + (size_t)i * (size_t)p->gpus, p->gpus);
    return true;
}

static enum status read_ranks(struct placement **ret_p, struct json_object *list,
                              const struct nodes *nodes, struct err *err)
{
    size_t ranks = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    struct json_object *first = ranks ? json_object_array_get_idx(list, 0) : NULL;
    int threads = list_length(first, "cores"), gpus = list_length(first, "gpus");
    if (ranks == 0 || ranks > RANKS_MAX || threads < 0 || gpus < 0)
        return err_set(err, ST_CORRUPT, "a placement is no list of ranks with cores and gpus");
    struct placement *p = placement_create((int)ranks, threads, gpus);
    if (!p)
        return err_set(err, ST_NOMEM, "out of memory for a placement");
    for (int i = 0; i < (int)ranks; i++)
        if (!read_rank(p, i, json_object_array_get_idx(list, (size_t)i), nodes)) {
            placement_destroy(p);
            return err_set(err, ST_CORRUPT, "rank %d of a placement is not like rank 0", i);
        }
    *ret_p = p;
    return ST_OK;
}

enum status placement_parse(struct placement **ret_p, const char *text, const struct nodes *nodes,
                            struct err *err)
{
    struct json_object *list = NULL;
    TRY(json_parse(&list, text, strlen(text), "a placement", err));
    enum status st = read_ranks(ret_p, list, nodes, err);
    json_object_put(list);
    return st;
}
