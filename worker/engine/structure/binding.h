/* binding.h - which weights a layer of a backbone computes with.
 *
 * The one place where the structure enters the model: nn layers ask for their effective weights
 * here; models know nothing of m and s. A binding belongs to one model and has one mode at a time:
 *
 *   own      the layer's own weights (dense training; weight steps of a search before the freeze)
 *   frozen   own weights, except that a group which is pruned for its layer but needed by a user runs with
 *            m = 0 (weight steps after the freeze: the pull must not draw it to zero, yet its layer loses it)
 *   soft     mixed by s and masked by m, both tensors on the tape (hypernetwork steps)
 *   bits     the same with a structure's bits as constants (evaluating a structure before hardening)
 *   compact  the model was created hardened: parameters are the stored groups only; effective weights are
 *            assembled from the owners' rows, so gradients of all users of a row add up in it
 *
 * m acts on the group's output slice only (columns of Wo, W2), biases are unmasked (method.md 2).
 */
#ifndef ENGINE_BINDING_H
#define ENGINE_BINDING_H

#include "engine/core/ctx.h"
#include "engine/core/param.h"
#include "structure/structure.h"

struct msa_weights {
    struct tensor *wq, *wk, *wv, *wo; /* [n*e,C] x3, [C,n*e] */
    struct tensor *bq, *bk, *bv, *bo; /* [n*e] x3, [C] */
    int heads;                        /* n: heads that compute */
};
struct ffn_weights {
    struct tensor *w1, *b1, *w2, *b2; /* [n,C], [n], [C,n], [C] */
};

struct binding;

/* hard: NULL for a dense model; else the structure of a compact one (copied). frame is borrowed. */
enum status binding_create(struct binding **ret_b, const struct frame *frame,
                           const struct structure *hard, struct err *err);
void binding_destroy(struct binding *b);
const struct frame *binding_frame(const struct binding *b);
/* NULL for a dense model. Borrowed. */
const struct structure *binding_hard(const struct binding *b);

/* Adds a site's parameters to the table ("vision.3.msa.wq", ...): all groups of a dense model, the
 * stored ones of a compact one (matrices: groups it stores; biases: groups it keeps; a tensor of 0
 * groups is not added). Initialisation N(0,.02) truncated, biases 0. Called by nn while the model
 * is created.           */
void binding_add_site(struct binding *b, int site, struct params *p);

void binding_use_own(struct binding *b);
void binding_use_soft(struct binding *b, struct tensor *m,
                      struct tensor *s); /* [ngroups] each, on the tape */
void binding_use_bits(struct binding *b,
                      const struct structure *st); /* borrowed until the next use_ */
void binding_use_frozen(struct binding *b,
                        const struct structure *st); /* what it needs is copied */

/* Effective weights for this forward pass. Mixed weights of a site are made once a step and shared
 * by its users. Tensors are NULL after a failure (sticky in cx). A part with no groups left has
 * heads = 0 / w1 NULL. */
struct msa_weights binding_msa(struct binding *b, struct ctx *cx, int site);
struct ffn_weights binding_ffn(struct binding *b, struct ctx *cx, int site);

/* ---- hardening ------------------------------------------------------------------------------- */

/* Copies values (parameters, or an EMA block of the same layout) of a dense table into a compact
 * one. */
enum status harden_values(struct params *compact, real *to, struct params *dense, const real *from,
                          const struct structure *st, struct err *err);
/* The way back: a compact block into a dense one, for the expanded export: a shared group is copied
 * to every layer that computes with it, a pruned one is zero. Rows that are stored for others only
 * are thus zero in their own layer: the result computes the same, but hardening it again does not
 * find them. */
enum status expand_values(struct params *dense, real *to, struct params *compact, const real *from,
                          const struct structure *st, struct err *err);

/* ---- the pull R_align (method.md 5) ---------------------------------------------------------- */

struct align_report {
    double r_align;   /* the regulariser, norms weighted by sqrt(n_g), mean over sites */
    double zero_norm; /* median norm of groups pulled to zero; 0 when none */
    double pair_norm; /* median distance of pairs pulled together */
    int zero_groups, pairs;
};
/* The medians are NaN when there is no memory to sort by. */
void align_measure(struct params *dense, const struct structure *st, struct align_report *ret);
/* Proximal step after the optimiser's: group soft-threshold t = lr * gamma * sqrt(n_g) / S. lr per
 * parameter group (index enum param_group), each side of a pair by its own. both: the two sides
 * move half of min(t, distance) each, else the user alone moves all of it. Pairs are taken site by
 * site in the frame's order. */
void align_pull(struct params *dense, const struct structure *st, const double *lr, double gamma,
                bool both);
/* The option `gradient`: R_align times gamma on the tape. NULL when nothing aligns. */
struct tensor *pull_loss(struct ctx *cx, struct params *dense, const struct structure *st,
                         double gamma, bool both);

#endif
