/* cpu.h - the backend `cpu`: CBLAS, SIMD, a pool of threads.
 *
 * The kernels (the .inc files) are compiled once for every instruction set: base.c, avx2.c, avx512.c include
 * kernels.inc under different compiler flags, and each leaves one table. cpu_best() picks what the machine has.
 * Results differ in the last bits between the tables, so a job records which one ran (backend_describe()).
 */
#ifndef ENGINE_CPU_H
#define ENGINE_CPU_H

#include "engine/backend/backend.h"

extern const struct backend cpu_base;
#if defined(__x86_64__)
extern const struct backend cpu_avx2, cpu_avx512;
#endif
#if defined(__x86_64__) && !defined(REAL_IS_DOUBLE)
#define CPU_HAS_BF16
extern const struct backend cpu_bf16;
#endif

/* Whether this machine has the instructions of one of the tables above. */
bool cpu_can_run(const struct backend *be);
/* "base", "avx2", "avx512": of the table that backend "cpu" stands for here. */
const char *cpu_best_name(void);
/* The best table under the name "cpu". Borrowed, static. */
const struct backend *cpu_best(void);
/* The table whose products round their operands to bfloat16; NULL where the machine has no instructions for it. Borrowed, static. */
const struct backend *cpu_rounding(void);

/* Rows (b,oy) of a convolution's output whose patches are in memory at a time: a megabyte stays in the cache, and with fewer
 * windows than these packing the weights anew would cost too much. 0 where the image is its own patches. */
#define CONV_PATCHES ((int64_t)1 << 18) /* reals */
#define CONV_WINDOWS 384
static inline int64_t conv_rows(const struct im2col_dims *d)
{
    int64_t rows = CONV_PATCHES / (d->wo * d->k * d->k * d->C), all = d->B * d->ho;
    int64_t least = (CONV_WINDOWS + d->wo - 1) / d->wo;
    rows = rows < least ? least : rows;
    if (d->k == 1 && d->stride == 1 && d->pad == 0)
        return 0;
    return rows < all ? rows : all;
}

/* The wants of the vector units, for scratch: every table's rows are padded to this many bytes. */
#define CPU_ROW_BYTES 64
/* Queries whose scores attention holds at once: with some hundred keys they fit the second cache. */
#define ATTENTION_ROWS 48

#endif
