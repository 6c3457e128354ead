/* real.h - the engine's number: float in the product, double in engine_f64, in which the tests
 * check gradients by central differences. */
#ifndef ENGINE_REAL_H
#define ENGINE_REAL_H

#ifdef REAL_IS_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#endif
