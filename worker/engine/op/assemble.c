/* assemble.c - a matrix made of groups of other matrices: how a hardened layer gets its weights.
 * Runs of neighbouring groups of one owner are moved as one rectangle. Backward adds into the
 * owners, so the gradients of all users of a stored row add up in it. */
#include "engine/op/support.h"

static bool check(struct ctx *cx, const struct group_ref *from, int n, struct group_layout g)
{
    struct group_dims d, first;
    int64_t groups;
    for (int i = 0; i < n; i++) {
        if (!OP_READY(cx, "assemble", from[i].tensor) ||
            !op_groups(cx, "assemble", from[i].tensor, g, &d, &groups))
            return false;
        if (i == 0)
            first = d;
        if (from[i].group < 0 || from[i].group >= groups)
            ctx_fail(cx, ST_INTERNAL, "assemble: no group %d in %s", from[i].group,
                     op_text("the owner", from[i].tensor).s);
        else if (g.axis == 0 ? d.cols != first.cols : d.rows != first.rows)
            ctx_fail(cx, ST_INTERNAL, "assemble: groups of %s and %s differ",
                     op_text("one owner", from[0].tensor).s, op_text("another", from[i].tensor).s);
    }
    if (n < 1)
        ctx_fail(cx, ST_INTERNAL, "assemble: no groups");
    return ctx_ok(cx);
}

/* Length of the run that starts at group i: one owner, ascending groups. */
static int run_length(const struct group_ref *from, int n, int i)
{
    int run = 1;
    while (i + run < n && from[i + run].tensor == from[i].tensor &&
           from[i + run].group == from[i].group + run)
        run++;
    return run;
}

static struct op_piece run_piece(const struct group_ref *from, int i, int run, int n,
                                 struct group_layout g)
{
    struct tensor *x = from[i].tensor;
    int64_t rows = x->dim[0], cols = x->dims == 2 ? x->dim[1] : 1, width = g.width;
    struct op_piece p = {.x = x, .rows = rows, .cols = run * width, .x_stride = cols};
    if (g.axis == 0) {
        p.x_at = from[i].group * width * cols;
        p.y_at = i * width * cols;
        p.rows = 1;
        p.cols = run * width * cols;
    } else {
        p.x_at = from[i].group * width;
        p.y_at = i * width;
        p.y_stride = n * width;
    }
    return p;
}

struct tensor *op_assemble(struct ctx *cx, const struct group_ref *from, int n,
                           struct group_layout g)
{
    if (!ctx_ok(cx) || !check(cx, from, n, g))
        return NULL;
    bool wants = false;
    for (int i = 0; i < n; i++)
        wants = wants || op_wants(from[i].tensor);
    struct op_piece *piece = ctx_host(cx, (size_t)n * sizeof *piece);
    if (!piece)
        return NULL;
    int pieces = 0;
    for (int i = 0, run; i < n; i += run) {
        run = run_length(from, n, i);
        piece[pieces++] = run_piece(from, i, run, n, g);
    }
    const struct tensor *x = from[0].tensor;
    int64_t dim[2] = {x->dim[0], x->dim[1]};
    dim[g.axis] = (int64_t)n * g.width;
    return op_move(cx, ctx_tensor(cx, wants, x->dims, dim), piece, pieces);
}
