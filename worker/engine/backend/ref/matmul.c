/* matmul.c - batches of products of matrices. */
#include "engine/backend/ref/ref.h"

void ref_matmul_nt_fwd(real *y, const real *a, const real *b, int64_t B, int64_t M, int64_t N,
                       int64_t C, double k)
{
    for (int64_t i = 0; i < B; i++, y += M * N, a += M * C, b += N * C)
        for (int64_t m = 0; m < M; m++)
            for (int64_t n = 0; n < N; n++) {
                double sum = 0;
                for (int64_t c = 0; c < C; c++)
                    sum += (double)a[m * C + c] * b[n * C + c];
                y[m * N + n] = (real)(k * sum);
            }
}

/* da_mc = k sum_n dy_mn b_nc, db_nc = k sum_m dy_mn a_mc */
void ref_matmul_nt_bwd(real *da, real *db, const real *dy, const real *a, const real *b, int64_t B,
                       int64_t M, int64_t N, int64_t C, double k)
{
    for (int64_t i = 0; i < B; i++) {
        const real *g = dy + i * M * N, *ai = a + i * M * C, *bi = b + i * N * C;
        for (int64_t j = 0; da && j < M * C; j++) {
            double sum = 0;
            for (int64_t n = 0; n < N; n++)
                sum += (double)g[j / C * N + n] * bi[n * C + j % C];
            da[i * M * C + j] += (real)(k * sum);
        }
        for (int64_t j = 0; db && j < N * C; j++) {
            double sum = 0;
            for (int64_t m = 0; m < M; m++)
                sum += (double)g[m * N + j / C] * ai[m * C + j % C];
            db[i * N * C + j] += (real)(k * sum);
        }
    }
}
