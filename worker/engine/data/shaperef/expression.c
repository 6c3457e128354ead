/* expression.c - the symbolic solver and the wording. See expression.h. */
#include "engine/data/shaperef/expression.h"

#include <stdio.h>
#include <string.h>

const char *const shaperef_family_name[FAMILY_COUNT] = {"attr", "ordinal", "rel",
                                                        "rel2", "cmp",     "neg"};
const char *const ordinal_word[ORDINALS] = {"first", "second", "third", "fourth"};
const char *const direction_word[DIRECTIONS] = {"left", "right", "top", "bottom"};
const char *const relation_word[RELATIONS] = {"left of", "right of", "above", "below"};

/* ---- meaning --------------------------------------------------------------------------------- */

static double margin(const struct scene *s)
{
    return s->size / 16.0;
}

bool phrase_fits(const struct phrase *p, const struct thing *t)
{
    for (int k = 0; k < ATTRIBUTES; k++)
        if (p->value[k] >= 0 && p->value[k] != t->value[k])
            return false;
    return true;
}

/* The only object that fits; -1 when there is none or a second. */
static int the(const struct scene *s, const struct phrase *p)
{
    int found = -1;
    for (int i = 0; i < s->n; i++)
        if (phrase_fits(p, &s->thing[i])) {
            if (found >= 0)
                return -1;
            found = i;
        }
    return found;
}

/* How far a lies in the relation's direction from b. */
static double along(enum relation r, const struct thing *a, const struct thing *b)
{
    double dx = thing_centre_x(b) - thing_centre_x(a), dy = thing_centre_y(b) - thing_centre_y(a);
    switch (r) {
    case LEFT_OF:
        return dx;
    case RIGHT_OF:
        return -dx;
    case ABOVE:
        return dy;
    case BELOW:
    case RELATIONS:
        break;
    }
    return -dy;
}

static enum verdict related(const struct scene *s, enum relation r, int a, int b)
{
    if (a == b)
        return FITS_NOT;
    double d = along(r, &s->thing[a], &s->thing[b]);
    return d >= margin(s) ? FITS : d <= 0 ? FITS_NOT : FITS_UNCLEAR;
}

/* Position on the axis that the direction counts along. */
static double place(enum direction d, const struct thing *t)
{
    double x = thing_centre_x(t), y = thing_centre_y(t);
    return d == FROM_LEFT ? x : d == FROM_RIGHT ? -x : d == FROM_TOP ? y : -y;
}

static enum verdict fits_ordinal(const struct scene *s, const struct expression *e, int i)
{
    if (!phrase_fits(&e->head, &s->thing[i]))
        return FITS_NOT;
    int before = 0, others = 0;
    for (int k = 0; k < s->n; k++) {
        if (k == i || !phrase_fits(&e->head, &s->thing[k]))
            continue;
        double d = place(e->direction, &s->thing[i]) - place(e->direction, &s->thing[k]);
        if (d < margin(s) && d > -margin(s))
            return FITS_UNCLEAR;
        before += d > 0;
        others++;
    }
    return others ? before == e->ordinal ? FITS : FITS_NOT : FITS_UNCLEAR;
}

/* head REL the phrase, where `b` is the only object that fits the phrase. */
static enum verdict fits_relation(const struct scene *s, const struct phrase *head, enum relation r,
                                  int i, int b)
{
    if (!phrase_fits(head, &s->thing[i]))
        return FITS_NOT;
    return b < 0 ? FITS_UNCLEAR : related(s, r, i, b);
}

static enum verdict fits_two_relations(const struct scene *s, const struct expression *e, int i)
{
    int anchor = the(s, &e->anchor[1]), middle = -1;
    for (int k = 0; k < s->n; k++) {
        enum verdict v = fits_relation(s, &e->anchor[0], e->relation[1], k, anchor);
        if (v == FITS_UNCLEAR || (v == FITS && middle >= 0))
            return FITS_UNCLEAR;
        middle = v == FITS ? k : middle;
    }
    return fits_relation(s, &e->head, e->relation[0], i, middle);
}

static enum verdict fits_comparison(const struct scene *s, const struct expression *e, int i)
{
    int b = the(s, &e->anchor[0]);
    if (b < 0)
        return FITS_UNCLEAR;
    int mine = s->thing[i].value[ATTR_SIZE], its = s->thing[b].value[ATTR_SIZE];
    return phrase_fits(&e->head, &s->thing[i]) && (e->bigger ? mine > its : mine < its) ? FITS
                                                                                        : FITS_NOT;
}

enum verdict expression_fits(const struct scene *s, const struct expression *e, int i)
{
    switch (e->family) {
    case FAMILY_ATTR:
        return phrase_fits(&e->head, &s->thing[i]) ? FITS : FITS_NOT;
    case FAMILY_ORDINAL:
        return fits_ordinal(s, e, i);
    case FAMILY_REL:
        return fits_relation(s, &e->head, e->relation[0], i, the(s, &e->anchor[0]));
    case FAMILY_REL2:
        return fits_two_relations(s, e, i);
    case FAMILY_CMP:
        return fits_comparison(s, e, i);
    case FAMILY_NEG:
        return phrase_fits(&e->head, &s->thing[i]) &&
                       s->thing[i].value[e->not_attribute] != e->not_value
                   ? FITS
                   : FITS_NOT;
    case FAMILY_COUNT:
        break;
    }
    return FITS_UNCLEAR;
}

static int count_fitting(const struct scene *s, const struct phrase *p)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += phrase_fits(p, &s->thing[i]);
    return n;
}

static struct phrase bare(int shape)
{
    return (struct phrase){{-1, -1, -1, shape}};
}

int expression_solve(const struct scene *s, const struct expression *e)
{
    int target = -1;
    for (int i = 0; i < s->n; i++) {
        enum verdict v = expression_fits(s, e, i);
        if (v == FITS_UNCLEAR || (v == FITS && target >= 0))
            return -1;
        target = v == FITS ? i : target;
    }
    if (target < 0)
        return -1;
    struct phrase shape = bare(s->thing[target].value[ATTR_SHAPE]);
    return count_fitting(s, &shape) >= 2 ? target : -1;
}

struct blind expression_blind(const struct scene *s, const struct expression *e, int target)
{
    struct phrase shape = bare(s->thing[target].value[ATTR_SHAPE]);
    return (struct blind){.random = 1.0 / s->n,
                          .head_noun = 1.0 / count_fitting(s, &shape),
                          .attributes = 1.0 / count_fitting(s, &e->head)};
}

/* ---- wording --------------------------------------------------------------------------------- */

static int put(char out[PHRASE_MAX], int len, const char *word)
{
    return len + snprintf(out + len, (size_t)(PHRASE_MAX - len), "%s%s", len ? " " : "", word);
}

int phrase_text(const struct phrase *p, char out[PHRASE_MAX], int len)
{
    for (int k = 0; k < ATTRIBUTES; k++)
        if (p->value[k] >= 0)
            len = put(out, len, attribute_word[k][p->value[k]]);
    return len;
}

static int the_phrase_text(const struct phrase *p, char out[PHRASE_MAX], int len)
{
    return phrase_text(p, out, put(out, len, "the"));
}

int expression_text(const struct expression *e, char out[PHRASE_MAX], struct span *ret_head)
{
    int len = put(out, 0, "the");
    if (e->family == FAMILY_ORDINAL)
        len = put(out, len, ordinal_word[e->ordinal]);
    ret_head->begin = len + 1;
    len = phrase_text(&e->head, out, len);
    ret_head->end = len;
    switch (e->family) {
    case FAMILY_ATTR:
    case FAMILY_COUNT:
        return len;
    case FAMILY_ORDINAL:
        len = put(out, len, "from the");
        return put(out, len, direction_word[e->direction]);
    case FAMILY_REL:
        len = put(out, len, relation_word[e->relation[0]]);
        return the_phrase_text(&e->anchor[0], out, len);
    case FAMILY_REL2:
        len = put(out, len, relation_word[e->relation[0]]);
        len = the_phrase_text(&e->anchor[0], out, len);
        len = put(out, len, "that is");
        len = put(out, len, relation_word[e->relation[1]]);
        return the_phrase_text(&e->anchor[1], out, len);
    case FAMILY_CMP:
        len = put(out, len, e->bigger ? "bigger than" : "smaller than");
        return the_phrase_text(&e->anchor[0], out, len);
    case FAMILY_NEG:
        len = put(out, len, "that is not");
        return put(out, len, attribute_word[e->not_attribute][e->not_value]);
    }
    return len;
}
