/* draw.h - what the two drawings of a structure have in common; private to proto/structure. */
#ifndef STRUCTURE_DRAW_H
#define STRUCTURE_DRAW_H

#include "structure/structure.h"

/* How a group looks to its own site, in the order of the bars and the legend. */
enum look {
    LOOK_OWN,    /* kept, its own weights */
    LOOK_VISION, /* kept, weights of the vision backbone */
    LOOK_BASE,   /* kept, weights of the block's base */
    LOOK_LENT,   /* pruned here, but stored for a user */
    LOOK_PRUNED,
    LOOKS
};

extern const char *const look_name[LOOKS];

/* Looks of all groups (ngroups). The caller frees; NULL when out of memory. */
uint8_t *draw_looks(const struct structure *st);

struct tally {
    int count[LOOKS];
    int kept; /* the first three */
};
struct tally draw_tally(const uint8_t *look, const struct site *t);

/* Splits `width` cells among the looks of a site by proportion; a look that occurs gets at least
 * one cell where there is room for all of them. */
void draw_split(const struct tally *tally, int width, int ret_cells[LOOKS]);

/* "1,303,948" */
#define DRAW_NUMBER_MAX 32
const char *draw_number(char to[DRAW_NUMBER_MAX], int64_t n);

#endif
