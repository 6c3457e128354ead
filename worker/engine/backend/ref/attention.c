/* attention.c - scaled dot-product attention, one row of one head at a time.
 *
 * s_ij = scale q_i k_j, p_i = softmax over the valid keys, a_ij = p_ij keep_ij / (1 - p_drop), y_i
 * = sum_j a_ij v_j. Backward: da_ij = dy_i v_j, dp_ij = da_ij keep_ij / (1 - p_drop), ds_ij = p_ij
 * (dp_ij - sum_j p_ij dp_ij), dq_i = scale sum_j ds_ij k_j, dk_j += scale ds_ij q_i, dv_j += a_ij
 * dy_i. Padded keys are never read. p[B,H,Tq,Tk]: p_ij, with the sign bit set where it was dropped;
 * 0 for padded keys.
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
        sum += (double)a[i] * b[i];
    return sum;
}

/* p[Tk] of one row; valid [Tk] or NULL. A row without valid keys stays zero. */
static void softmax_row(real *p, const real *q, const real *k, const uint8_t *valid,
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
}

void ref_attention_fwd(real *y, real *p, real *scratch, const real *q, const real *k, const real *v,
                       const uint8_t *mask, const struct attention_dims *d,
                       const struct dropout_draw *drop)
{
    (void)scratch;
    int64_t C = d->H * d->E;
    double keep = 1 / (1 - drop->p);
    for (int64_t r = 0; r < d->B * d->H * d->Tq; r++) {
        int64_t i = r % d->Tq, h = r / d->Tq % d->H, b = r / d->Tq / d->H;
        const uint8_t *valid = mask ? mask + b * d->Tk : NULL;
        const real *vh = v + b * d->Tk * C + h * d->E;
        real *row = p + r * d->Tk, *out = y + (b * d->Tq + i) * C + h * d->E;
        softmax_row(row, q + (b * d->Tq + i) * C + h * d->E, k + b * d->Tk * C + h * d->E, valid,
                    d);
        for (int64_t j = 0; j < d->Tk; j++)
            if (dropped(drop, b, h, i, j))
                row[j] = -row[j];
        for (int64_t e = 0; e < d->E; e++) {
            double sum = 0;
            for (int64_t j = 0; j < d->Tk; j++)
                if ((!valid || valid[j]) && !signbit(row[j]))
                    sum += row[j] * keep * vh[j * C + e];
            out[e] = (real)sum;
        }
    }
}

void ref_attention_bwd(real *dq, real *dk, real *dv, real *scratch, const real *dy, const real *p,
                       const real *q, const real *k, const real *v, const uint8_t *mask,
                       const struct attention_dims *d, const struct dropout_draw *drop)
{
    (void)scratch;
    int64_t C = d->H * d->E;
    double keep = 1 / (1 - drop->p);
    for (int64_t r = 0; r < d->B * d->H * d->Tq; r++) {
        int64_t i = r % d->Tq, h = r / d->Tq % d->H, b = r / d->Tq / d->H;
        int64_t qi = (b * d->Tq + i) * C + h * d->E, k0 = b * d->Tk * C + h * d->E;
        const uint8_t *valid = mask ? mask + b * d->Tk : NULL;
        const real *row = p + r * d->Tk;
        double along = 0; /* sum_j p_ij dp_ij = sum_j a_ij da_ij */
        for (int64_t j = 0; j < d->Tk; j++)
            if ((!valid || valid[j]) && !signbit(row[j]))
                along += row[j] * keep * dot(dy + qi, v + k0 + j * C, d->E);
        for (int64_t j = 0; j < d->Tk; j++) {
            if (valid && !valid[j])
                continue;
            bool kept = !signbit(row[j]);
            double dp = kept ? keep * dot(dy + qi, v + k0 + j * C, d->E) : 0;
            double ds = d->scale * fabs(row[j]) * (dp - along);
            for (int64_t e = 0; e < d->E; e++) {
                int64_t ke = k0 + j * C + e;
                if (dq)
                    dq[qi + e] += (real)(ds * k[ke]);
                if (dk)
                    dk[ke] += (real)(ds * q[qi + e]);
                if (dv && kept)
                    dv[ke] += (real)(row[j] * keep * dy[qi + e]);
            }
        }
    }
}
