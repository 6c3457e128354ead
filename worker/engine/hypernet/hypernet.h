/* hypernet.h - the network that makes m and s, its sampling, read-out and budget term (method.md 4,
 * 5).
 *
 * Fixed orthogonal inputs, one row a site -> bidirectional GRU -> LayerNorm -> ReLU -> a bias-free
 * linear head a site for pruning and, where the site has a source, a second for sharing (its bit u
 * = own; s = 1 - u).
 */
#ifndef ENGINE_HYPERNET_H
#define ENGINE_HYPERNET_H

#include "engine/core/ctx.h"
#include "engine/core/param.h"
#include "structure/structure.h"

struct hypernet_config {
    int width, gru; /* method.hyper_width (rounded up to a multiple of 64 when there are more
                       sites), hyper_gru */
    double tau, bias;
    uint64_t seed;
};

struct hypernet;

/* Has a parameter table of its own (group PARAM_HYPER), allocated and initialised here. frame is
 * borrowed. */
enum status hypernet_create(struct hypernet **ret_hn, const struct frame *frame,
                            const struct hypernet_config *cfg, struct err *err);
void hypernet_destroy(struct hypernet *hn);
struct params *hypernet_params(struct hypernet *hn);

struct hypernet_sample {
    struct tensor *m_soft, *s_soft; /* [ngroups]; s is 0 where a site has no source */
    struct tensor *m_hard, *s_hard; /* straight-through */
};
/* One keyed draw; equal on all ranks because the key is the step. Options prune/share = false give
 * constants 1/0. */
struct hypernet_sample hypernet_draw(struct ctx *cx, struct hypernet *hn);

/* R = log-ratio of P(m_hard, s_hard) to p P_total, two-sided: log(max(P, pPt)/(pPt)) above,
 * log(pPt/P) below. Scalar. */
struct tensor *hypernet_budget(struct ctx *cx, struct hypernet *hn,
                               const struct hypernet_sample *sample, double target,
                               double *ret_params);

/* Noise-free scores o + b, ngroups each. */
enum status hypernet_scores(struct hypernet *hn, struct ctx *cx, double *score_m, double *score_own,
                            struct err *err);
/* 1 where P(hard = 1) >= 1/2, that is score > ln ln 2. */
void hypernet_read(const struct frame *frame, const double *score_m, const double *score_own,
                   struct structure *ret_st);

#endif
