/* attention.c - scaled dot-product attention, one row of one head at a time.
 *
 * s_ij = scale q_i k_j, p_i = softmax over the valid keys, a_ij = p_ij keep_ij / (1 - p_drop), y_i
 * = sum_j a_ij v_j. Backward: da_ij = dy_i v_j, dp_ij = da_ij keep_ij / (1 - p_drop), ds_ij = p_ij
 * (dp_ij - sum_j p_ij dp_ij), dq_i = scale sum_j ds_ij k_j, dk_j += scale ds_ij q_i, dv_j += a_ij
 * dy_i. Padded keys are never read. lse_i = log sum_j exp s_ij over the valid keys is kept: p_ij = exp(s_ij - lse_i).
 * The scratch holds one row of p.
 * Operands of the products are q, k, v, dy, a and ds: bf16.c rounds them.
 */
#include "engine/backend/draw.h"
#include "engine/backend/ref/ref.h"

#include <math.h>

static bool dropped(const struct dropout_draw *drop, int64_t b, int64_t h, int64_t i, int64_t j)
{
    uint32_t word[4];
    if (!(drop->p > 0))
        return false;
    rng_words(word, &drop->key, attention_block(drop, b, h, i, j));
    return word[j % 4] < dropout_threshold(drop);
}

static double dot(const real *a, const real *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += OPERAND(a[i]) * OPERAND(b[i]);
    return sum;
}

/* p[Tk] of one row; valid [Tk] or NULL; 0 for padded keys. Returns lse; a row without valid keys stays zero. */
static double softmax_row(real *p, const real *q, const real *k, const uint8_t *valid,
                          const struct attention_dims *d)
{
    int64_t C = d->H * d->E;
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < d->Tk; j++) {
        p[j] = 0;
        if (valid && !valid[j])
            continue;
        p[j] = (real)(d->scale * dot(q, k + j * C, d->E));
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < d->Tk; j++)
        if (!valid || valid[j])
            sum += exp(p[j] - most);
    for (int64_t j = 0; j < d->Tk; j++)
        if (!valid || valid[j])
            p[j] = (real)(exp(p[j] - most) / sum);
    return sum > 0 ? most + log(sum) : 0;
}

void REF(attention_fwd)(real *y, real *lse, real *scratch, const real *q, const real *k,
                        const real *v, const uint8_t *mask, const struct attention_dims *d,
                        const struct dropout_draw *drop)
{
    int64_t C = d->H * d->E;
    double keep = 1 / (1 - drop->p);
    for (int64_t r = 0; r < d->B * d->H * d->Tq; r++) {
        int64_t i = r % d->Tq, h = r / d->Tq % d->H, b = r / d->Tq / d->H;
        const uint8_t *valid = mask ? mask + b * d->Tk : NULL;
        const real *vh = v + b * d->Tk * C + h * d->E;
        real *p = scratch, *out = y + (b * d->Tq + i) * C + h * d->E;
        lse[r] = (real)softmax_row(p, q + (b * d->Tq + i) * C + h * d->E,
                                   k + b * d->Tk * C + h * d->E, valid, d);
        for (int64_t j = 0; j < d->Tk; j++)
            if (dropped(drop, b, h, i, j))
                p[j] = 0;
        for (int64_t e = 0; e < d->E; e++) {
            double sum = 0;
            for (int64_t j = 0; j < d->Tk; j++)
                if (!valid || valid[j])
                    sum += OPERAND(p[j] * keep) * OPERAND(vh[j * C + e]);
            out[e] = (real)sum;
        }
    }
}

/* One row of one head: what of q, k, v belongs to it, its lse, which of its keys are valid. */
struct row {
    int64_t b, h, i, q, k; /* q, k: first elements */
    double lse;
    const uint8_t *valid; /* [Tk] or NULL */
};

static void row_bwd(real *dq, real *dk, real *dv, const struct row *r, const real *dy,
                    const real *q, const real *k, const real *v, const struct attention_dims *d,
                    const struct dropout_draw *drop)
{
    int64_t C = d->H * d->E;
    double keep = 1 / (1 - drop->p), along = 0; /* sum_j p_ij dp_ij = sum_j a_ij da_ij = y_i dy_i */
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < d->Tk; j++) {
            if (r->valid && !r->valid[j])
                continue;
            const real *kj = k + r->k + j * C, *vj = v + r->k + j * C;
            double p = exp(d->scale * dot(q + r->q, kj, d->E) - r->lse);
            double share = dropped(drop, r->b, r->h, r->i, j) ? 0 : keep;
            double dp = share * dot(dy + r->q, vj, d->E), ds = d->scale * p * (dp - along);
            if (pass == 0)
                along += p * dp;
            for (int64_t e = 0; pass == 1 && e < d->E; e++) {
                if (dq)
                    dq[r->q + e] += (real)(OPERAND(ds) * OPERAND(kj[e]));
                if (dk)
                    dk[r->k + j * C + e] += (real)(OPERAND(ds) * OPERAND(q[r->q + e]));
                if (dv)
                    dv[r->k + j * C + e] += (real)(OPERAND(p * share) * OPERAND(dy[r->q + e]));
            }
        }
}

static void clear(real *x, int64_t n)
{
    for (int64_t i = 0; x && i < n; i++)
        x[i] = 0;
}

void REF(attention_bwd)(real *dq, real *dk, real *dv, real *scratch, const real *dy,
                        const real *lse, const real *q, const real *k, const real *v,
                        const uint8_t *mask, const struct attention_dims *d,
                        const struct dropout_draw *drop, unsigned fresh)
{
    (void)scratch;
    int64_t C = d->H * d->E;
    clear(fresh & 1 ? dq : NULL, d->B * d->Tq * C);
    clear(fresh & 2 ? dk : NULL, d->B * d->Tk * C);
    clear(fresh & 4 ? dv : NULL, d->B * d->Tk * C);
    for (int64_t n = 0; n < d->B * d->H * d->Tq; n++) {
        struct row r = {.i = n % d->Tq, .h = n / d->Tq % d->H, .b = n / d->Tq / d->H};
        r.q = (r.b * d->Tq + r.i) * C + r.h * d->E;
        r.k = r.b * d->Tk * C + r.h * d->E;
        r.lse = lse[n];
        r.valid = mask ? mask + r.b * d->Tk : NULL;
        row_bwd(dq, dk, dv, &r, dy, q, k, v, d, drop);
    }
}
