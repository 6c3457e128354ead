/* blas.h - the one door to CBLAS: products of row-major matrices in the engine's number type. */
#ifndef ENGINE_BLAS_H
#define ENGINE_BLAS_H

#include "engine/core/real.h"

#include <stdint.h>

/* c[M,N] = k a b + keep c; a is [M,K], or [K,M] when a_turned; b is [K,N], or [N,K] when b_turned; ld*: row strides. */
struct blas_product {
    int64_t M, N, K, lda, ldb, ldc;
    int a_turned, b_turned;
    real k, keep;
};
void blas_multiply(real *c, const real *a, const real *b, const struct blas_product *p);

/* BLAS's own threads are set to one, see pool.h. */
void blas_init(void);
/* "OpenBLAS 0.3.21 SkylakeX". Borrowed, static buffer. */
const char *blas_describe(void);

#endif
