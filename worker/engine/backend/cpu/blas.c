/* blas.c - see blas.h. */
#include "engine/backend/cpu/blas.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>

void blas_multiply(real *c, const real *a, const real *b, const struct blas_product *p)
{
    if (p->M == 0 || p->N == 0)
        return;
    enum CBLAS_TRANSPOSE ta = p->a_turned ? CblasTrans : CblasNoTrans;
    enum CBLAS_TRANSPOSE tb = p->b_turned ? CblasTrans : CblasNoTrans;
#ifdef REAL_IS_DOUBLE
    cblas_dgemm
#else
    cblas_sgemm
#endif
        (CblasRowMajor, ta, tb, (blasint)p->M, (blasint)p->N, (blasint)p->K, p->k, a,
         (blasint)p->lda, b, (blasint)p->ldb, p->keep, c, (blasint)p->ldc);
}

void blas_init(void)
{
    openblas_set_num_threads(1);
}

/* openblas_get_config() reads "OpenBLAS 0.3.21 NO_LAPACK DYNAMIC_ARCH ...": its second word is the version. */
const char *blas_describe(void)
{
    static char text[96];
    char version[32] = "?";
    sscanf(openblas_get_config(), "OpenBLAS %31s", version);
    snprintf(text, sizeof text, "OpenBLAS %s %s", version, openblas_get_corename());
    return text;
}
