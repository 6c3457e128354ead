/* hypernet_net.h - the network behind hypernet.h; private to engine/hypernet. */
#ifndef ENGINE_HYPERNET_NET_H
#define ENGINE_HYPERNET_NET_H

#include "engine/hypernet/hypernet.h"

struct gru {
    struct tensor *w_ih, *w_hh, *b_ih, *b_hh;
};

/* Of a site, [N,2 gru] each. */
struct head {
    struct tensor *prune; /* NULL where the frame's options exclude pruning */
    struct tensor *own;   /* NULL where the site has no source */
};

struct hypernet {
    const struct frame *frame;  /* borrowed */
    struct hypernet_config cfg; /* width as rounded up */
    struct params *params;      /* owned */
    real *input; /* owned, [nsites,width]: orthonormal rows, a function of the seed */
    struct gru forward, backward;
    struct tensor *norm_w, *norm_b;
    struct head *head; /* owned, nsites */
    int shared;        /* groups of sites that have a source */
};

/* Logits on the tape: o_m [ngroups], o_own [shared], sites in the frame's order; NULL where there
 * are none. */
struct hypernet_logits {
    struct tensor *m, *own;
};
struct hypernet_logits hypernet_forward(struct ctx *cx, struct hypernet *hn);

/* x [shared] -> [ngroups], 0 where a site has no source. */
struct tensor *hypernet_spread(struct ctx *cx, const struct hypernet *hn, struct tensor *x);

#endif
