/* embed.c - y[b,t] = table[ids[b,t]]; backward adds every row back to its id's. */
#include "engine/op/support.h"

struct embed_node {
    struct node node;
    struct tensor *y, *table;
    const int32_t *ids;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct embed_node *n = (struct embed_node *)node;
    ctx_backend(cx)->embed_bwd(n->table->grad, n->y->grad, n->ids, tensor_rows(n->y),
                               tensor_last(n->y));
}

static bool check(struct ctx *cx, const struct tensor *table, const int32_t *ids, int64_t n)
{
    if (table->dims != 2)
        ctx_fail(cx, ST_INTERNAL, "embed: %s is not a matrix", op_text("table", table).s);
    for (int64_t i = 0; i < n && ctx_ok(cx); i++)
        if (ids[i] < 0 || ids[i] >= table->dim[0])
            ctx_fail(cx, ST_INVALID, "embed: id %d at %lld is outside %s", (int)ids[i],
                     (long long)i, op_text("table", table).s);
    return ctx_ok(cx);
}

struct tensor *op_embed(struct ctx *cx, struct tensor *table, const int32_t *ids, int64_t B,
                        int64_t T)
{
    if (!OP_READY(cx, "embed", table) || !check(cx, table, ids, B * T))
        return NULL;
    struct tensor *y = ctx_tensor(cx, op_wants(table), 3, (int64_t[]){B, T, table->dim[1]});
    const int32_t *own = ctx_upload(cx, ids, (size_t)(B * T) * sizeof *ids);
    struct embed_node *n = OP_RECORD(cx, embed_node, backward, y, table);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->table = table, n->ids = own;
    ctx_backend(cx)->embed_fwd(y->data, table->data, own, B * T, table->dim[1]);
    return y;
}
