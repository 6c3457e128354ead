/* act.c - ReLU, GELU, sigmoid, tanh. GELU is differentiated from its argument, the others from their output: y > 0,
 * y (1 - y), 1 - y^2. */
#include "engine/op/support.h"

struct act_node {
    struct node node;
    struct tensor *y, *x;
    enum act act;
};

static void act_backward(struct ctx *cx, struct node *node)
{
    struct act_node *n = (struct act_node *)node;
    ctx_backend(cx)->act_bwd(n->x->grad, n->y->grad, n->y->data, n->x->data, tensor_size(n->x),
                             n->act);
}

static void act_remake(struct ctx *cx, struct node *node)
{
    struct act_node *n = (struct act_node *)node;
    ctx_backend(cx)->act_fwd(n->y->data, n->x->data, tensor_size(n->x), n->act);
}

static void sigmoid_backward(struct ctx *cx, struct node *node)
{
    struct act_node *n = (struct act_node *)node;
    ctx_backend(cx)->sigmoid_bwd(n->x->grad, n->y->grad, n->y->data, 1, tensor_size(n->x));
}

static void tanh_backward(struct ctx *cx, struct node *node)
{
    struct act_node *n = (struct act_node *)node;
    ctx_backend(cx)->tanh_bwd(n->x->grad, n->y->grad, n->y->data, tensor_size(n->x));
}

/* The output and, while recording, its node. ret_node is NULL where nothing is recorded. */
static struct tensor *record(struct ctx *cx, const char *op, struct tensor *x,
                             void (*backward)(struct ctx *, struct node *),
                             struct act_node **ret_node)
{
    *ret_node = NULL;
    if (!OP_READY(cx, op, x))
        return NULL;
    struct tensor *y = op_like(cx, x, op_wants(x));
    struct act_node *n = OP_RECORD(cx, act_node, backward, y, x);
    if (n)
        n->y = y, n->x = x;
    *ret_node = n;
    return ctx_ok(cx) ? y : NULL;
}

struct tensor *op_act(struct ctx *cx, struct tensor *x, enum act act)
{
    struct act_node *n;
    struct tensor *y = record(cx, "act", x, act_backward, &n);
    if (n) {
        n->act = act;
        n->node.reads = NODE_READS(0) | (act == ACT_RELU ? NODE_READS_OUT : 0);
        n->node.remake = act_remake;
    }
    if (y)
        ctx_backend(cx)->act_fwd(y->data, x->data, tensor_size(x), act);
    return y;
}

struct tensor *op_sigmoid(struct ctx *cx, struct tensor *x)
{
    struct act_node *n;
    struct tensor *y = record(cx, "sigmoid", x, sigmoid_backward, &n);
    if (y)
        ctx_backend(cx)->sigmoid_fwd(y->data, x->data, tensor_size(x));
    return y;
}

struct tensor *op_tanh(struct ctx *cx, struct tensor *x)
{
    struct act_node *n;
    struct tensor *y = record(cx, "tanh", x, tanh_backward, &n);
    if (y)
        ctx_backend(cx)->tanh_fwd(y->data, x->data, tensor_size(x));
    return y;
}
