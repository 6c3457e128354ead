/* optim.h - AdamW, learning-rate schedules, global clipping and the EMA, over a parameter table's
 * blocks.
 *
 * Moments and EMA are single blocks in the layout of the table (offset, size of every struct
 * param), so a checkpoint names their slices as it names the parameters. Calls of a step, in this
 * order: norm = grad_norm(p);  adamw_step(opt, p, &cfg, clip_scale(norm, clip));  ema_update(...)
 */
#ifndef ENGINE_OPTIM_H
#define ENGINE_OPTIM_H

#include "engine/core/param.h"

struct backend;

struct adamw_config {
    double lr[PARAM_GROUPS];  /* 0 = the group stands still */
    double beta1, beta2, eps; /* .9 .999 1e-8 */
    double weight_decay; /* decoupled (Loshchilov & Hutter 2019), only where the table says decay */
};
extern const struct adamw_config adamw_defaults; /* lr 0, weight_decay 0 */

struct adamw;

/* Moments start at 0, t at 0. p is borrowed and must be allocated. */
enum status adamw_create(struct adamw **ret_opt, const struct backend *be, struct params *p,
                         struct err *err);
/* The same for elements [begin, end) of the block alone: no moments of others are held, and a step leaves others as they are.
 * Element by element it does what the whole would do. */
enum status adamw_create_part(struct adamw **ret_opt, const struct backend *be, int64_t begin,
                              int64_t end, struct err *err);
void adamw_destroy(struct adamw *opt);
/* w -= lr (m^/(sqrt(v^) + eps) + decay w), with g = scale * grad. */
void adamw_step(struct adamw *opt, struct params *p, const struct adamw_config *cfg, double scale);
/* For checkpoints: blocks of params_size() elements, or of the part's, and the number of steps taken. */
real *adamw_m(struct adamw *opt);
real *adamw_v(struct adamw *opt);
int64_t adamw_steps(const struct adamw *opt);
void adamw_set_steps(struct adamw *opt, int64_t t);

/* L2 norm of the whole gradient block, summed in double in the table's order; NaN or Inf when it
 * holds one. */
double grad_norm(const struct backend *be, struct params *p);
/* Factor that brings a gradient of this norm to at most clip; 1 when clip is 0. */
double clip_scale(double norm, double clip);

/* Learning-rate factor at `step` of `steps`: linear warm-up over `warmup` steps, then constant,
 * divided by 10 from drop_at * steps on, or cosine to 0. kind: 0 constant, 1 drop, 2 cosine (enum
 * lr_schedule of the job file). */
double schedule_factor(int kind, int64_t step, int64_t steps, int64_t warmup, double drop_at);

/* ema = d ema + (1 - d) w with d = min(limit, (1 + t)/(10 + t)). */
double ema_decay(double limit, int64_t t);
void ema_update(const struct backend *be, real *ema, const real *w, int64_t n, double decay);

#endif
