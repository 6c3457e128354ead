/* op.h - operators on the tape. Shapes in docs/glossary.md's letters: B batch, T tokens, C
 * channels, H heads, R rows (all leading dimensions), N groups.
 *
 * Each op checks shapes, makes its output in the step arena, records its backward, calls one
 * kernel. Returns NULL after a failure (sticky, see engine/core/ctx.h). A gradient flows into every
 * input tensor that has one. One file an operator: op/<name>.c, its maths in the file header.
 */
#ifndef ENGINE_OP_H
#define ENGINE_OP_H

#include "engine/backend/kernel.h" /* enum act */
#include "engine/core/ctx.h"
#include "engine/core/tensor.h"

/* y[R,O] = act(x[R,I] w[O,I]^T + b[O]); b may be NULL. Keeps x's leading dimensions. */
struct tensor *op_linear(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                         enum act act);

/* r + x w^T + b, r of the output's shape: the end of a residual branch without dropout. */
struct tensor *op_linear_add(struct ctx *cx, struct tensor *r, struct tensor *x, struct tensor *w,
                             struct tensor *b);

/* Normalises the last dimension; w, b [C]. */
struct tensor *op_layernorm(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                            double eps);

struct tensor *op_add(struct ctx *cx, struct tensor *a, struct tensor *b); /* equal shapes */
struct tensor *op_add_tail(struct ctx *cx, struct tensor *x,
                           struct tensor *p); /* x[B,...] + p[...] for every b */
struct tensor *op_scale(struct ctx *cx, struct tensor *x, double k);
struct tensor *op_mul(struct ctx *cx, struct tensor *a,
                      struct tensor *b); /* elementwise, equal shapes */
struct tensor *op_act(struct ctx *cx, struct tensor *x, enum act act);
struct tensor *op_sigmoid(struct ctx *cx, struct tensor *x);
struct tensor *op_tanh(struct ctx *cx, struct tensor *x);

/* Zero with probability p, else times 1/(1-p); identity unless training. Keyed by the global sample
 * index of dimension 0 (B) and the element within the sample. */
struct tensor *op_dropout(struct ctx *cx, struct tensor *x, double p);

/* Scaled dot-product attention over heads. q [B,Tq,C], k, v [B,Tk,C]; C = heads * e, heads are
 * contiguous slices; scale 1/sqrt(e) with e = head_size (so a pruned layer keeps the dense one's).
 * key_mask [B,Tk] (1 = valid, 0 = padded) or NULL; host memory that outlives the step. dropout on
 * the probabilities when training. Returns [B,Tq,C]. A row whose keys are all padded gives 0. */
struct tensor *op_attention(struct ctx *cx, struct tensor *q, struct tensor *k, struct tensor *v,
                            int heads, const uint8_t *key_mask, double dropout);

/* rows of table [V,C] -> [B,T,C]; ids host memory [B*T], checked against V. */
struct tensor *op_embed(struct ctx *cx, struct tensor *table, const int32_t *ids, int64_t B,
                        int64_t T);

struct tensor *op_concat_time(struct ctx *cx, struct tensor *a,
                              struct tensor *b); /* [B,T1,C],[B,T2,C] */
struct tensor *op_slice_time(struct ctx *cx, struct tensor *x, int64_t from, int64_t count);
struct tensor *op_expand(struct ctx *cx, struct tensor *p, int64_t B);     /* [T,C] -> [B,T,C] */
struct tensor *op_stack(struct ctx *cx, struct tensor *const *row, int n); /* n x [C] -> [n,C] */
struct tensor *op_concat_last(struct ctx *cx, struct tensor *a,
                              struct tensor *b); /* [R,C1],[R,C2] -> [R,C1+C2] */
struct tensor *op_slice_last(struct ctx *cx, struct tensor *x, int64_t from, int64_t count);

/* x / max(||x||_2, eps) over the last dimension. */
struct tensor *op_l2norm(struct ctx *cx, struct tensor *x, double eps);

/* [B,H,W,C] -> [B,ho,wo,k*k*C] in (ky,kx,c) order, zero padding; ho = (H + 2 pad - k)/stride + 1.
 */
struct tensor *op_im2col(struct ctx *cx, struct tensor *x, int k, int stride, int pad);

/* ---- images, channels last: x [B,H,W,C] ----------------------------------------------------------------------------------- */

/* k x k taps, `dilation` pixels apart, zero padding; ho = (H + 2 pad - dilation (k - 1) - 1)/stride + 1. */
struct op_window {
    int k, stride, pad, dilation;
};
/* w [O,k*k*C] in (ky,kx,c) order, b [O] or NULL -> [B,ho,wo,O]. Keeps no patches, unlike op_im2col with op_linear. */
struct tensor *op_conv(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                       struct op_window window);
/* Largest of each window, channel by channel; k at most 15, pad at most k/2, padding never counts. */
struct tensor *op_max_pool(struct ctx *cx, struct tensor *x, struct op_window window);
/* -> [B,ho,wo,C]; nearest: pixel i of ho is i H/ho rounded down; bilinear: corners not aligned. */
struct tensor *op_upsample(struct ctx *cx, struct tensor *x, int64_t ho, int64_t wo, bool bilinear);
/* Batch norm with fixed statistics: act((x - mean) / sqrt(var + eps) w + b) over the last dimension of any x; w, b, mean, var
 * [C] get no gradient. act: none or ReLU. */
struct tensor *op_frozen_norm(struct ctx *cx, struct tensor *x, const struct tensor *w,
                              const struct tensor *b, const struct tensor *mean,
                              const struct tensor *var, double eps, enum act act);
/* Normalises over all pixels and the channels of one of `groups` groups (Wu & He 2018); w, b [C]. */
struct tensor *op_group_norm(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                             int groups, double eps);

/* k * a[B,M,C] b[B,N,C]^T -> [B,M,N]. */
struct tensor *op_matmul_nt(struct ctx *cx, struct tensor *a, struct tensor *b, double k);

/* ---- scalars (dims 0, one element) ----------------------------------------------------------- */

struct tensor *op_sum(struct ctx *cx, struct tensor *x);
/* sum of k_i * x_i over n scalars. */
struct tensor *op_weighted_sum(struct ctx *cx, struct tensor *const *x, const double *k, int n);

/* Soft-target cross entropy: norm * sum_r w_r * (-sum_t y_rt log_softmax(x_r)_t). x [R,S]; y [R,S],
 * w [R] constants in arena or host memory that outlives the step. y's row need not sum to 1 (binary
 * maps of k tokens). */
struct tensor *op_soft_ce(struct ctx *cx, struct tensor *x, const real *y, const real *w,
                          double norm);

/* norm * sum over the n listed rows of |x[row_i] - y_i|_1; x [R,4] (cx cy w h), y [n,4]. */
struct tensor *op_l1_rows(struct ctx *cx, struct tensor *x, const int32_t *row, const real *y,
                          int n, double norm);
/* norm * sum over the n rows of (1 - GIoU(x[row_i], y_i)), boxes cx cy w h. (Rezatofighi et al.
 * 2019) */
struct tensor *op_giou_rows(struct ctx *cx, struct tensor *x, const int32_t *row, const real *y,
                            int n, double norm);

/* Contrastive alignment over z [B,Q,L], positives pos [B,Q,L] (0/1): norm/2 * ( sum over rows with
 * a positive of
 * -(sum_pos z)/(npos + 1e-6) + logsumexp_l z  +  the same over columns ). docs/spec/model-mdetr.md
 * 5 */
struct tensor *op_align_loss(struct ctx *cx, struct tensor *z, const uint8_t *pos, double norm);

/* ---- groups of weights: where the structure meets the tape ----------------------------------- */

/* A matrix seen as N groups: `axis` 0: rows g*width..; 1: columns g*width... */
struct group_layout {
    int axis;  /* 0 rows (Wq, Wk, Wv, W1), 1 columns (Wo, W2) */
    int width; /* rows or columns a group: e or 1 */
};

/* own and src of equal shape, s [N] : group g = s_g * src_g + (1 - s_g) * own_g. ds_g = <dy_g,
 * src_g - own_g>. */
struct tensor *op_mix(struct ctx *cx, struct tensor *own, struct tensor *src, struct tensor *s,
                      struct group_layout g);
/* group g = m_g * w_g. dm_g = <dy_g, w_g>. */
struct tensor *op_mask(struct ctx *cx, struct tensor *w, struct tensor *m, struct group_layout g);

/* Builds a matrix of n groups, group i copied from group from[i].group of from[i].tensor (1-D
 * biases: axis 0, dims 1). Backward adds into the owner, so the gradients of all users of a stored
 * row add up. */
struct group_ref {
    struct tensor *tensor;
    int group;
};
struct tensor *op_assemble(struct ctx *cx, const struct group_ref *from, int n,
                           struct group_layout g);

/* norm * sum over listed groups of sqrt(n_g) * sqrt(||a_g - b_g||^2 + 1e-8); b NULL: the norm of a
 * itself. A "group" is several slices of several matrices: slices[i] lists them. Regulariser
 * R_align (method.md 5), option `gradient`. */
struct group_slice {
    struct tensor *a, *b; /* b NULL: pull to zero; both of equal shape */
    struct group_layout layout;
    int group;
};
struct tensor *op_group_norms(struct ctx *cx, const struct group_slice *slices, const int *first,
                              int ngroups,
                              double norm); /* group j = slices[first[j] .. first[j+1]) */

/* ---- hypernetwork ---------------------------------------------------------------------------- */

/* One GRU step (Cho et al. 2014; PyTorch's gate order r,z,n): x [I], h [D]; w_ih [3D,I], w_hh
 * [3D,D], b_ih, b_hh [3D]. */
struct tensor *op_gru_cell(struct ctx *cx, struct tensor *x, struct tensor *h, struct tensor *w_ih,
                           struct tensor *w_hh, struct tensor *b_ih, struct tensor *b_hh);

/* y = sigmoid((o + g + b)/tau), g Gumbel(0,1) keyed by step (equal on all ranks). o [N]. */
struct tensor *op_gumbel_sigmoid(struct ctx *cx, struct tensor *o, double b, double tau);
/* 1 where y >= 1/2 else 0; gradient straight through. */
struct tensor *op_straight_through(struct ctx *cx, struct tensor *y);
struct tensor *op_one_minus(struct ctx *cx, struct tensor *x);

#endif
