/* align.h - which groups the pull touches; private to engine/structure.
 *
 *     zero   needed by nobody: ||W_g|| is drawn to 0
 *     pair   a text group with m = 1, s = 1: ||W_g - W_owner,g|| is drawn to 0; its owner is where
 *            the chain of sharing bits ends, so that a pair is what hardening will make one row of
 *     none   everything else; among it what is pruned for its layer but needed by a user
 *
 * Biases take no part.
 */
#ifndef ENGINE_STRUCTURE_ALIGN_H
#define ENGINE_STRUCTURE_ALIGN_H

#include "engine/structure/site.h"

#define ALIGN_EPS 1e-8 /* inside the root of R_align, as in op_group_norms() */

enum { ALIGN_NONE = -2, ALIGN_ZERO = -1 }; /* else: the owner's site */

/* g counts from 0 within the site. */
int align_kind(const struct structure *st, int site, int g);

#endif
