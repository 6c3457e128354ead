/* reading.c - see reading.h. */
#include "reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WORDS 64

struct reading {
    const struct scene *s;
    char text[PHRASE_MAX];
    char *word[WORDS + 1]; /* NULL-terminated */
    int n, at;
    double least; /* how far "left of" must be: 0+ or the margin */
};

static bool next_is(const struct reading *r, const char *word)
{
    return r->at < r->n && !strcmp(r->word[r->at], word);
}

static bool accept(struct reading *r, const char *word)
{
    bool yes = next_is(r, word);
    r->at += yes;
    return yes;
}

int reading_attribute(const char *word, int *ret_value)
{
    for (int k = 0; k < ATTRIBUTES; k++)
        for (int v = 0; v < attribute_values[k]; v++)
            if (!strcmp(attribute_word[k][v], word)) {
                *ret_value = v;
                return k;
            }
    return -1;
}

static double middle(const struct thing *t, bool vertical)
{
    return vertical ? (t->y0 + t->y1) / 2.0 : (t->x0 + t->x1) / 2.0;
}

static unsigned noun_phrase(struct reading *r); /* a set of objects, bit i = object i */

int reading_only(unsigned set)
{
    for (int i = 0; i < 32; i++)
        if (set == 1u << i)
            return i;
    return -1;
}

static unsigned keep_nth(const struct reading *r, unsigned set, int nth, const char *side)
{
    bool vertical = !strcmp(side, "top") || !strcmp(side, "bottom");
    double sign = !strcmp(side, "right") || !strcmp(side, "bottom") ? -1 : 1;
    for (int i = 0; i < r->s->n; i++) {
        int before = 0;
        for (int k = 0; k < r->s->n; k++)
            before += (set >> k & 1) && sign * middle(&r->s->thing[k], vertical) <
                                            sign * middle(&r->s->thing[i], vertical);
        if ((set >> i & 1) && before == nth)
            return 1u << i;
    }
    return 0;
}

static unsigned keep_related(const struct reading *r, unsigned set, bool vertical, double sign,
                             int anchor)
{
    unsigned kept = 0;
    for (int i = 0; i < r->s->n && anchor >= 0; i++) {
        double d =
            sign * (middle(&r->s->thing[anchor], vertical) - middle(&r->s->thing[i], vertical));
        if ((set >> i & 1) && i != anchor && d > 0 && d >= r->least)
            kept |= 1u << i;
    }
    return kept;
}

static unsigned keep_sized(const struct reading *r, unsigned set, int sign, int anchor)
{
    unsigned kept = 0;
    for (int i = 0; i < r->s->n && anchor >= 0; i++)
        if ((set >> i & 1) && sign * (r->s->thing[i].value[0] - r->s->thing[anchor].value[0]) > 0)
            kept |= 1u << i;
    return kept;
}

static unsigned drop_value(const struct reading *r, unsigned set, const char *word)
{
    int value = -1, k = reading_attribute(word, &value);
    assert_true(k >= 0);
    for (int i = 0; i < r->s->n; i++)
        if (r->s->thing[i].value[k] == value)
            set &= ~(1u << i);
    return set;
}

/* What may follow the noun. */
static unsigned tail(struct reading *r, unsigned set)
{
    if (accept(r, "that")) {
        assert_true(accept(r, "is"));
        if (accept(r, "not"))
            return drop_value(r, set, r->word[r->at++]);
    }
    if (accept(r, "smaller") || next_is(r, "bigger")) {
        int sign = accept(r, "bigger") ? 1 : -1;
        assert_true(accept(r, "than"));
        return keep_sized(r, set, sign, reading_only(noun_phrase(r)));
    }
    bool left = accept(r, "left"), right = !left && accept(r, "right");
    bool above = accept(r, "above"), below = accept(r, "below");
    if (!(left || right || above || below))
        return set;
    assert_true(above || below || accept(r, "of"));
    return keep_related(r, set, above || below, left || above ? 1 : -1,
                        reading_only(noun_phrase(r)));
}

static unsigned noun_phrase(struct reading *r)
{
    int nth = -1, value = 0;
    unsigned set = (1u << r->s->n) - 1;
    assert_true(accept(r, "the"));
    for (int i = 0; i < ORDINALS; i++)
        if (accept(r, ordinal_word[i]))
            nth = i;
    for (int k = -1; k != ATTR_SHAPE; r->at++) {
        assert_true(r->at < r->n);
        k = reading_attribute(r->word[r->at], &value);
        assert_true(k >= 0);
        for (int i = 0; i < r->s->n; i++)
            if (r->s->thing[i].value[k] != value)
                set &= ~(1u << i);
    }
    if (nth >= 0) {
        assert_true(accept(r, "from") && accept(r, "the"));
        return keep_nth(r, set, nth, r->word[r->at++]);
    }
    return tail(r, set);
}

unsigned reading_of(const struct scene *s, const char *text, double least)
{
    struct reading r = {.s = s, .least = least};
    char *rest = NULL;
    snprintf(r.text, sizeof r.text, "%s", text);
    for (char *w = strtok_r(r.text, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
        r.word[r.n++] = w;
    unsigned set = noun_phrase(&r);
    assert_int_equal(r.at, r.n); /* every word was understood */
    return set;
}
