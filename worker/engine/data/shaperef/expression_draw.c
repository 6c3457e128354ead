/* expression_draw.c - draws expressions and phrases at random; the solver decides what is kept. */
#include "engine/data/shaperef/expression.h"

#define PROPOSALS 60 /* before a family is given up in a scene */

static struct phrase nothing_but_shape(const struct thing *t)
{
    return (struct phrase){{-1, -1, -1, t->value[ATTR_SHAPE]}};
}

static bool fits_another(const struct scene *s, const struct phrase *p, int i)
{
    for (int k = 0; k < s->n; k++)
        if (k != i && phrase_fits(p, &s->thing[k]))
            return true;
    return false;
}

/* Says attributes of object i, in random order, until nothing else fits or all are said. */
static void single_out(const struct scene *s, int i, struct rng *rng, struct phrase *p)
{
    int order[] = {ATTR_SIZE, ATTR_COLOUR, ATTR_TEXTURE};
    for (int k = 2; k > 0; k--) {
        int j = (int)rng_next_below(rng, (uint32_t)k + 1), swap = order[k];
        order[k] = order[j];
        order[j] = swap;
    }
    for (int k = 0; k < 3 && fits_another(s, p, i); k++)
        p->value[order[k]] = s->thing[i].value[order[k]];
}

static void say_at_random(const struct thing *t, double part, struct rng *rng, struct phrase *p)
{
    for (int k = 0; k < ATTR_SHAPE; k++)
        if (rng_next_uniform(rng) < part)
            p->value[k] = t->value[k];
}

void phrase_draw(const struct scene *s, int i, struct rng *rng, struct phrase *ret_phrase)
{
    *ret_phrase = nothing_but_shape(&s->thing[i]);
    say_at_random(&s->thing[i], 0.5, rng, ret_phrase);
    single_out(s, i, rng, ret_phrase);
}

/* A phrase that names object i alone: short, now and then with a word more. */
static struct phrase anchor_for(const struct scene *s, int i, struct rng *rng)
{
    struct phrase p = nothing_but_shape(&s->thing[i]);
    say_at_random(&s->thing[i], 0.1, rng, &p);
    single_out(s, i, rng, &p);
    return p;
}

static int other_than(const struct scene *s, struct rng *rng, int a, int b)
{
    int i = (int)rng_next_below(rng, (uint32_t)s->n);
    while (i == a || i == b)
        i = (i + 1) % s->n;
    return i;
}

/* A proposal of the family about object t; most are wrong and are refused by the solver. */
static struct expression propose(const struct scene *s, enum shaperef_family family, int t,
                                 struct rng *rng)
{
    struct expression e = {.family = family, .head = nothing_but_shape(&s->thing[t])};
    int middle = other_than(s, rng, t, t), third = s->n > 2 ? other_than(s, rng, t, middle) : t;
    switch (family) {
    case FAMILY_ATTR:
        say_at_random(&s->thing[t], 0.1, rng, &e.head);
        single_out(s, t, rng, &e.head);
        break;
    case FAMILY_ORDINAL:
        say_at_random(&s->thing[t], 0.3, rng, &e.head);
        e.ordinal = (int)rng_next_below(rng, ORDINALS);
        e.direction = (enum direction)rng_next_below(rng, DIRECTIONS);
        break;
    case FAMILY_REL:
        say_at_random(&s->thing[t], 0.35, rng, &e.head);
        e.relation[0] = (enum relation)rng_next_below(rng, RELATIONS);
        e.anchor[0] = anchor_for(s, middle, rng);
        break;
    case FAMILY_REL2:
        say_at_random(&s->thing[t], 0.3, rng, &e.head);
        e.relation[0] = (enum relation)rng_next_below(rng, RELATIONS);
        e.relation[1] = (enum relation)rng_next_below(rng, RELATIONS);
        e.anchor[0] = nothing_but_shape(&s->thing[middle]);
        say_at_random(&s->thing[middle], 0.1, rng, &e.anchor[0]);
        e.anchor[1] = anchor_for(s, third, rng);
        break;
    case FAMILY_CMP:
        e.bigger = rng_next_below(rng, 2);
        e.anchor[0] = anchor_for(s, middle, rng);
        break;
    case FAMILY_NEG:
        e.not_attribute = (enum attribute)rng_next_below(rng, ATTR_SHAPE);
        e.not_value = s->thing[middle].value[e.not_attribute];
        break;
    case FAMILY_COUNT:
        break;
    }
    return e;
}

static bool fits_two(const struct scene *s, const struct phrase *p)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += phrase_fits(p, &s->thing[i]);
    return n >= 2;
}

static bool says_size(const struct phrase *p)
{
    return p->value[ATTR_SIZE] >= 0;
}

/* Beyond truth: the rest of the expression must be needed, and a comparison must not give its
 * answer away. */
static bool asks_something(const struct scene *s, const struct expression *e, int target)
{
    switch (e->family) {
    case FAMILY_ATTR:
    case FAMILY_NEG:
        return true;
    case FAMILY_CMP:
        return !says_size(&e->anchor[0]);
    case FAMILY_REL2: /* three objects, and the middle noun phrase alone must not name one */
        return !phrase_fits(&e->anchor[1], &s->thing[target]) && fits_two(s, &e->anchor[0]) &&
               fits_another(s, &e->head, target);
    case FAMILY_ORDINAL:
    case FAMILY_REL:
    case FAMILY_COUNT:
        break;
    }
    return fits_another(s, &e->head, target);
}

/* In the comp split only objects of held-out pairs are asked for. */
static bool may_ask_for(const struct scene *s, int i)
{
    const int *v = s->thing[i].value;
    return s->split != SHAPEREF_COMP || scene_pair_held_out(s->seed, v[ATTR_COLOUR], v[ATTR_SHAPE]);
}

bool expression_draw(const struct scene *s, enum shaperef_family family, struct rng *rng,
                     struct expression *ret_expression, int *ret_target)
{
    for (int k = 0; k < PROPOSALS; k++) {
        int about = (int)rng_next_below(rng, (uint32_t)s->n);
        struct expression e = propose(s, family, about, rng);
        int target = expression_solve(s, &e);
        if (target < 0 || !may_ask_for(s, target) || !asks_something(s, &e, target))
            continue;
        *ret_expression = e;
        *ret_target = target;
        return true;
    }
    return false;
}
