/* init.h - how a parameter's first values are drawn. Used by param.c alone. */
#ifndef ENGINE_INIT_H
#define ENGINE_INIT_H

#include "engine/core/param.h"

/* Whether the initialisation fits the shape (square grid, rows <= columns, a finite scale). */
enum status init_check(const struct param_spec *spec, struct err *err);

/* Fills `to` (host memory, the spec's elements). Draws are keyed by (seed, name, element). */
void init_fill(real *to, const struct param_spec *spec, uint64_t seed);

#endif
