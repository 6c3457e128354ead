/* expression.h - what an expression means, and how it is worded. Private to shaperef and its tests.
 *
 * Meaning has three values (docs/spec/data.md 4): an expression is used only when exactly one
 * object fits and none is unclear. expression_solve() is the judge of every expression that is
 * written.
 */
#ifndef ENGINE_DATA_SHAPEREF_EXPRESSION_H
#define ENGINE_DATA_SHAPEREF_EXPRESSION_H

#include "engine/data/dataset.h"
#include "engine/data/shaperef/scene.h"

#define PHRASE_MAX 512 /* bytes of an expression or caption, ASCII */

/* A noun phrase; value -1 = not said. The shape is always said. */
struct phrase {
    int value[ATTRIBUTES];
};

enum direction { FROM_LEFT, FROM_RIGHT, FROM_TOP, FROM_BOTTOM, DIRECTIONS };
enum relation { LEFT_OF, RIGHT_OF, ABOVE, BELOW, RELATIONS };
#define ORDINALS 4

struct expression {
    enum shaperef_family family;
    struct phrase head;
    int ordinal; /* ORDINAL: 0 = first */
    enum direction direction;
    enum relation relation[2];    /* REL: [0]; REL2: head [0] middle [1] anchor */
    struct phrase anchor[2];      /* REL, CMP: [0]; REL2: [0] middle, [1] anchor */
    bool bigger;                  /* CMP */
    enum attribute not_attribute; /* NEG */
    int not_value;
};

enum verdict { FITS_NOT, FITS, FITS_UNCLEAR };

bool phrase_fits(const struct phrase *p, const struct thing *t);
enum verdict expression_fits(const struct scene *s, const struct expression *e, int i);
/* The one object that is meant; -1 when the expression must not be used. */
int expression_solve(const struct scene *s, const struct expression *e);

/* What a blind guesser hits with an expression whose answer is `target`. */
struct blind {
    double random, head_noun, attributes;
};
struct blind expression_blind(const struct scene *s, const struct expression *e, int target);

/* "the small triangle ..." ; *ret_head: the head noun phrase without "the". Bytes written, <
 * PHRASE_MAX. */
int expression_text(const struct expression *e, char out[PHRASE_MAX], struct span *ret_head);
/* "small red star" at out+len; returns the new length. */
int phrase_text(const struct phrase *p, char out[PHRASE_MAX], int len);

extern const char *const ordinal_word[ORDINALS];
extern const char *const direction_word[DIRECTIONS];
extern const char *const relation_word[RELATIONS];

/* Draws an expression of the family that expression_solve() accepts; false when none was found. rng
 * moves on. */
bool expression_draw(const struct scene *s, enum shaperef_family family, struct rng *rng,
                     struct expression *ret_expression, int *ret_target);
/* A phrase for object i that fits no other where that is possible, with random omissions. */
void phrase_draw(const struct scene *s, int i, struct rng *rng, struct phrase *ret_phrase);

#endif
