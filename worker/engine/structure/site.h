/* site.h - the tensors of a site and how each falls into groups: the one list that the binding,
 * hardening and the pull read. Private to engine/structure.
 *
 * Every grouped tensor is seen as [outer][group][inner]: rows of Wq, W1 ... have outer 1; columns
 * of Wo, W2 have outer C, inner the columns of a group; biases have outer 1.
 */
#ifndef ENGINE_STRUCTURE_SITE_H
#define ENGINE_STRUCTURE_SITE_H

#include "engine/core/param.h"
#include "engine/op/op.h"
#include "structure/structure.h"

enum slot_kind {
    SLOT_ROWS,    /* matrix, a group is `width` rows: shared, pruned */
    SLOT_COLUMNS, /* matrix, a group is `width` columns: shared, pruned; where m acts */
    SLOT_BIAS,    /* of the groups: pruned, never shared */
    SLOT_WHOLE,   /* output bias: always stays */
};

struct slot {
    const char *suffix;
    enum slot_kind kind;
};

enum { MSA_WQ, MSA_WK, MSA_WV, MSA_WO, MSA_BQ, MSA_BK, MSA_BV, MSA_BO };
enum { FFN_W1, FFN_W2, FFN_B1, FFN_B2 };
#define SLOTS_MAX 8

/* Borrowed, static. */
const struct slot *site_slots(enum part part, int *ret_n);

static inline bool slot_is_matrix(const struct slot *s)
{
    return s->kind == SLOT_ROWS || s->kind == SLOT_COLUMNS;
}

/* Rows or columns of a group: its channels in an MSA, 1 in an FFN. */
static inline int site_width(const struct site *t)
{
    return (int)(t->part == PART_MSA ? t->bias / 3 : t->bias);
}

struct slot_view {
    int64_t outer, inner;
};
struct slot_view slot_view_of(const struct frame *f, const struct site *t, const struct slot *s);
struct group_layout slot_layout(const struct site *t, const struct slot *s);
/* Dimensions of the tensor when it holds n groups; returns how many. */
int slot_dims(const struct frame *f, const struct site *t, const struct slot *s, int64_t n,
              int64_t dim[2]);

#define SLOT_NAME_MAX (SITE_NAME_MAX + 8)
/* "vision.3.msa.wq" */
const char *slot_name(char to[SLOT_NAME_MAX], const struct site *t, const struct slot *s);
/* Site and slot that a parameter's name means; NULL when it belongs to none. */
const struct slot *slot_find(const struct frame *f, const char *name, int *ret_site);

static inline enum param_group site_param_group(const struct site *t)
{
    return t->side == SIDE_VISION ? PARAM_VISION : PARAM_TEXT;
}

/* rank[g] = how many groups before g of the same site have bit 1, or -1 where g has not. */
void site_ranks(const struct frame *f, const uint8_t *bit, int *rank);
int site_bits(const struct site *t, const uint8_t *bit); /* groups of the site with bit 1 */

#endif
