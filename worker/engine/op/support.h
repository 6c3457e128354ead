/* support.h - what the op_ files share: entry checks and the words of their messages. Not for
 * models. */
#ifndef ENGINE_OP_SUPPORT_H
#define ENGINE_OP_SUPPORT_H

#include "engine/backend/backend.h"
#include "engine/op/op.h"

/* First line of every op: false after a failure. A missing input without one is a mistake of the
 * caller and fails. */
bool op_ready(struct ctx *cx, const char *op, int n, struct tensor *const *in);
#define OP_READY(cx, op, ...)                                                                      \
    op_ready(cx, op, (int)(sizeof((struct tensor *[]){__VA_ARGS__}) / sizeof(struct tensor *)),    \
             (struct tensor *[]){__VA_ARGS__})

/* A node of type `type` that makes `out` from the tensors listed; NULL when nothing is recorded. */
#define OP_RECORD(cx, type, backward, out, ...)                                                    \
    ((struct type *)op_record(                                                                     \
        cx, sizeof(struct type), backward, out,                                                    \
        (int)(sizeof((struct tensor *[]){__VA_ARGS__}) / sizeof(struct tensor *)),                 \
        (struct tensor *[]){__VA_ARGS__}))
static inline void *op_record(struct ctx *cx, size_t bytes,
                              void (*backward)(struct ctx *, struct node *), struct tensor *out,
                              int n, struct tensor *const *in)
{
    return out ? ctx_record(cx, bytes, backward, out, n, in)
               : NULL; /* NULL: an output that failed */
}

bool op_same_shape(const struct tensor *a, const struct tensor *b);
static inline bool op_wants(const struct tensor *t)
{
    return t && t->grad;
}

/* "w 'text.3.norm1.w' [7]", "x [2,3,5]"; returned by value, so several fit into one message. */
struct op_text {
    char s[160];
};
struct op_text op_text(const char *role, const struct tensor *t);
/* The same without the shape. */
struct op_text op_role(const char *role, const struct tensor *t);

/* Output of x's leading dimensions with another last one. */
struct tensor *op_like_rows(struct ctx *cx, const struct tensor *x, int64_t last, bool with_grad);
struct tensor *op_like(struct ctx *cx, const struct tensor *x, bool with_grad);
struct tensor *op_scalar(struct ctx *cx, bool with_grad);

/* Memory p, of ctx_alloc(), belongs to the node; without one it is given back, so the op's kernel has run. */
void op_own(struct ctx *cx, struct node *node, void *p, size_t bytes);

static inline real *op_reals(struct ctx *cx, int64_t n)
{
    return ctx_alloc(cx, (size_t)n * sizeof(real));
}

/* The weight matrix w as groups; false after a failure that says why not. */
bool op_groups(struct ctx *cx, const char *op, const struct tensor *w, struct group_layout g,
               struct group_dims *ret_dims, int64_t *ret_groups);

/* y is made of rectangles of other tensors: rows x cols elements, from x at x_at, row by row
 * x_stride apart, to y at y_at, y_stride apart. x_stride 0 repeats one row. Copies, and records the
 * way back. Returns y. */
struct op_piece {
    struct tensor *x;
    int64_t x_at, x_stride, y_at, y_stride, rows, cols;
};
struct tensor *op_move(struct ctx *cx, struct tensor *y, const struct op_piece *piece, int n);

#endif
