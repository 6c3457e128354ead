/* ref.h - the backend `ref`: plain loops, sums in double, no BLAS, no threads. The definition of
 * right, by which every other backend is judged; it is kept simple on purpose and never tuned. */
#ifndef ENGINE_REF_H
#define ENGINE_REF_H

#include "engine/backend/backend.h"

#define KERNEL(name, args) void ref_##name args;
#include "engine/backend/kernel.def"
#undef KERNEL

/* Of a product's operands: as they are; bf16.c makes the same products with rounded ones. */
#ifndef REF
#define REF(name) ref_##name
#define OPERAND(x) ((double)(x))
#endif
#define KERNEL(name, args)
#define ROUNDED(name, args) void ref_bf16_##name args;
#include "engine/backend/kernel.def"
#undef KERNEL

/* Activation and its slope at u, in double. */
double ref_act(enum act act, double u, double *ret_slope);
/* The slope of element i from what forward left. */
real ref_slope(enum act act, const real *y, const real *before, int64_t i);

#endif
