/* ref.h - the backend `ref`: plain loops, sums in double, no BLAS, no threads. The definition of
 * right, by which every other backend is judged; it is kept simple on purpose and never tuned. */
#ifndef ENGINE_REF_H
#define ENGINE_REF_H

#include "engine/backend/backend.h"

#define KERNEL(name, args) void ref_##name args;
#include "engine/backend/kernel.def"
#undef KERNEL

/* Activation and its slope at u, in double. */
double ref_act(enum act act, double u, double *ret_slope);
/* The slope of element i from what forward left. */
real ref_slope(enum act act, const real *y, const real *before, int64_t i);

#endif
