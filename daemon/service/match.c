/* match.c - see match.h. */
#include "service/match.h"

#include <string.h>

#define DEPTH_MAX 32   /* of parentheses */
#define REPEAT_MAX 255 /* as POSIX has it */

enum op {
    OP_BYTE,  /* this byte */
    OP_ANY,   /* any byte */
    OP_SET,   /* a byte of set x */
    OP_BEGIN, /* the text's begin */
    OP_END,   /* the text's end */
    OP_SPLIT, /* go on at x and at y */
    OP_JUMP,  /* go on at x */
    OP_MATCH,
};

/* ---- compiling ------------------------------------------------------------------------------- */

struct compiler {
    struct match *m;
    struct err *err;
    const char *whole; /* for messages */
    int depth;
};

static enum status fault(struct compiler *c, const char *what)
{
    return err_set(c->err, ST_INVALID, "'%.80s' is no regular expression: %s", c->whole, what);
}

/* Number of the new instruction; -1 when there are too many, which too_large() says. */
static int emit(struct compiler *c, enum op op, uint8_t byte, int x)
{
    struct match *m = c->m;
    if (m->n >= MATCH_CODE_MAX)
        return -1;
    m->code[m->n] = (struct match_code){(uint8_t)op, byte, (uint16_t)x, 0};
    return m->n++;
}

static enum status too_large(struct compiler *c)
{
    return fault(c, "it is too large; use fewer or smaller bounds {m,n}");
}

static void set_add(uint8_t set[32], int from, int to)
{
    for (int b = from; b <= to; b++)
        set[b >> 3] |= (uint8_t)(1 << (b & 7));
}

static void set_invert(uint8_t set[32])
{
    for (int i = 0; i < 32; i++)
        set[i] = (uint8_t)~set[i];
}

/* \d \w \s; false for any other letter. */
static bool set_class(uint8_t set[32], char letter)
{
    if (letter == 'd' || letter == 'w')
        set_add(set, '0', '9');
    if (letter == 'w') {
        set_add(set, 'a', 'z');
        set_add(set, 'A', 'Z');
        set_add(set, '_', '_');
    }
    if (letter == 's') {
        set_add(set, '\t', '\r');
        set_add(set, ' ', ' ');
    }
    return letter == 'd' || letter == 'w' || letter == 's';
}

/* The ']' that ends the set which begins at p; NULL if there is none. The first place may hold one itself. */
static const char *set_end(const char *p, const char *to)
{
    const char *q = p + 1 + (p + 1 < to && p[1] == '^');
    for (q += q < to && *q == ']'; q < to; q++)
        if (*q == ']')
            return q;
    return NULL;
}

static enum status compile_set(struct compiler *c, const char *p, const char *end)
{
    struct match *m = c->m;
    if (m->sets == MATCH_SETS_MAX)
        return too_large(c);
    uint8_t *set = m->set[m->sets];
    memset(set, 0, 32);
    bool inverted = p[1] == '^';
    for (const char *q = p + 1 + inverted; q < end; q++) {
        uint8_t low = (uint8_t)*q, high = low;
        if (q + 2 < end && q[1] == '-') {
            high = (uint8_t)q[2];
            q += 2;
        }
        if (high < low)
            return fault(c, "a range of a set [...] runs backwards");
        set_add(set, low, high);
    }
    if (inverted)
        set_invert(set);
    return emit(c, OP_SET, 0, m->sets++) < 0 ? too_large(c) : ST_OK;
}

static enum status compile_escape(struct compiler *c, char letter)
{
    struct match *m = c->m;
    uint8_t set[32] = {0};
    if (!set_class(set, letter)) {
        if ((letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
            (letter >= 'A' && letter <= 'Z'))
            return fault(c, "of letters and digits only \\d, \\w and \\s mean something");
        return emit(c, OP_BYTE, (uint8_t)letter, 0) < 0 ? too_large(c) : ST_OK;
    }
    if (m->sets == MATCH_SETS_MAX)
        return too_large(c);
    memcpy(m->set[m->sets], set, sizeof set);
    return emit(c, OP_SET, 0, m->sets++) < 0 ? too_large(c) : ST_OK;
}

/* Behind the atom that begins at p; NULL where its end is missing. */
static const char *atom_end(const char *p, const char *to)
{
    int depth = 0;
    for (; p < to; p++) {
        if (*p == '\\') {
            if (++p == to)
                return NULL;
        } else if (*p == '[') {
            p = set_end(p, to);
            if (!p)
                return NULL;
        } else if (*p == '(') {
            depth++;
        } else if (*p == ')') {
            depth--;
        }
        if (depth == 0)
            return p + 1;
    }
    return NULL;
}

static enum status compile_choice(struct compiler *c, const char *p, const char *to);

static enum status compile_group(struct compiler *c, const char *p, const char *end)
{
    if (++c->depth > DEPTH_MAX)
        return fault(c, "its parentheses are nested too deeply");
    enum status st = compile_choice(c, p + 1, end - 1);
    c->depth--;
    return st;
}

static enum status compile_atom(struct compiler *c, const char *p, const char *end)
{
    static const char plain[] = {OP_ANY, OP_BEGIN, OP_END};
    static const char special[] = ".^$";
    if (*p == '(')
        return compile_group(c, p, end);
    if (*p == '[')
        return compile_set(c, p, end - 1);
    if (*p == '\\')
        return compile_escape(c, p[1]);
    const char *found = strchr(special, *p);
    enum op op = found ? (enum op)plain[found - special] : OP_BYTE;
    return emit(c, op, (uint8_t)*p, 0) < 0 ? too_large(c) : ST_OK;
}

struct repeat {
    int low, high; /* high -1 = no end */
};

/* "{m,n}" from p; behind it, or NULL. */
static const char *read_bounds(const char *p, const char *to, struct repeat *ret)
{
    int n[2] = {-1, -1}, at = 0;
    for (p++; p < to && *p != '}'; p++) {
        if (*p == ',' && at == 0 && n[0] >= 0)
            at = 1;
        else if (*p >= '0' && *p <= '9' && n[at] <= REPEAT_MAX)
            n[at] = (n[at] < 0 ? 0 : 10 * n[at]) + (*p - '0');
        else
            return NULL;
    }
    *ret = (struct repeat){n[0], at == 0 ? n[0] : n[1]};
    bool sane = p < to && n[0] >= 0 && n[0] <= REPEAT_MAX && n[1] <= REPEAT_MAX &&
                (ret->high < 0 || ret->high >= ret->low);
    return sane ? p + 1 : NULL;
}

static const char *read_repeat(const char *p, const char *to, struct repeat *ret)
{
    *ret = (struct repeat){1, 1};
    if (p == to || !strchr("*+?{", *p))
        return p;
    if (*p == '{')
        return read_bounds(p, to, ret);
    *ret = (struct repeat){*p == '+', *p == '?' ? 1 : -1};
    return p + 1;
}

/* x? : split to it or past it. */
static enum status compile_optional(struct compiler *c, const char *p, const char *end)
{
    int split = emit(c, OP_SPLIT, 0, c->m->n + 1);
    if (split < 0)
        return too_large(c);
    TRY(compile_atom(c, p, end));
    c->m->code[split].y = (uint16_t)c->m->n;
    return ST_OK;
}

static enum status compile_star(struct compiler *c, const char *p, const char *end)
{
    int split = c->m->n;
    TRY(compile_optional(c, p, end));
    if (emit(c, OP_JUMP, 0, split) < 0)
        return too_large(c);
    c->m->code[split].y = (uint16_t)c->m->n;
    return ST_OK;
}

static enum status compile_repeat(struct compiler *c, const char *p, const char *end,
                                  const struct repeat *r)
{
    /* What is empty once stays so: bounds around bounds would compile it 255 to the power of their depth times. */
    for (int i = 0, before = -1; i < r->low && before != c->m->n; i++) {
        before = c->m->n;
        TRY(compile_atom(c, p, end));
    }
    for (int i = r->low; i < r->high; i++)
        TRY(compile_optional(c, p, end));
    return r->high < 0 ? compile_star(c, p, end) : ST_OK;
}

/* One after the other, up to `to`. */
static enum status compile_sequence(struct compiler *c, const char *p, const char *to)
{
    while (p < to) {
        struct repeat repeat;
        if (strchr("*+?{", *p))
            return fault(c, "there is nothing to repeat before a * + ? or {");
        const char *end = *p == ')' ? NULL : atom_end(p, to);
        if (!end)
            return fault(c, "a ( [ or \\ has no end, or a ) no begin");
        const char *next = read_repeat(end, to, &repeat);
        if (!next)
            return fault(c, "bounds are {m}, {m,} or {m,n} with numbers up to 255");
        TRY(compile_repeat(c, p, end, &repeat));
        p = next;
    }
    return ST_OK;
}

/* The '|' of this level, or `to`. */
static const char *choice_end(const char *p, const char *to)
{
    while (p && p < to && *p != '|')
        p = atom_end(p, to);
    return p ? p : to;
}

static enum status compile_choice(struct compiler *c, const char *p, const char *to)
{
    const char *bar = choice_end(p, to);
    if (bar == to)
        return compile_sequence(c, p, to);
    int split = emit(c, OP_SPLIT, 0, c->m->n + 1);
    if (split < 0)
        return too_large(c);
    TRY(compile_sequence(c, p, bar));
    int jump = emit(c, OP_JUMP, 0, 0);
    if (jump < 0)
        return too_large(c);
    c->m->code[split].y = (uint16_t)c->m->n;
    TRY(compile_choice(c, bar + 1, to));
    c->m->code[jump].x = (uint16_t)c->m->n;
    return ST_OK;
}

enum status match_compile(struct match *m, const char *expression, struct err *err)
{
    struct compiler c = {.m = m, .err = err, .whole = expression};
    size_t len = strlen(expression);
    m->n = m->sets = 0;
    if (len > MATCH_TEXT_MAX)
        return err_set(err, ST_INVALID, "an expression of %zu bytes; at most %d are taken", len,
                       MATCH_TEXT_MAX);
    TRY(compile_choice(&c, expression, expression + len));
    return emit(&c, OP_MATCH, 0, 0) < 0 ? too_large(&c) : ST_OK;
}

/* ---- matching -------------------------------------------------------------------------------- */

/* Instructions that wait for the next byte; `seen` keeps each from being entered twice. */
struct front {
    int n;
    uint16_t at[MATCH_CODE_MAX];
    uint32_t seen[MATCH_CODE_MAX];
};

struct place {
    uint32_t round; /* the front's mark in `seen` */
    bool begin, end;
};

static bool passes_here(const struct match_code *c, const struct place *p)
{
    return (c->op == OP_BEGIN && p->begin) || (c->op == OP_END && p->end);
}

/* Enters an instruction and all that follow it without a byte; true if one of them is the match. */
static bool enter(const struct match *m, struct front *f, int first, const struct place *p)
{
    uint16_t stack[MATCH_CODE_MAX + 1];
    int n = 0;
    stack[n++] = (uint16_t)first;
    while (n > 0) {
        int at = stack[--n];
        const struct match_code *c = &m->code[at];
        if (f->seen[at] == p->round)
            continue;
        f->seen[at] = p->round;
        if (c->op == OP_MATCH)
            return true;
        if (c->op == OP_SPLIT)
            stack[n++] = c->y;
        if (c->op == OP_SPLIT || c->op == OP_JUMP)
            stack[n++] = c->x;
        else if (passes_here(c, p))
            stack[n++] = (uint16_t)(at + 1);
        else
            f->at[f->n++] = (uint16_t)at;
    }
    return false;
}

static bool takes(const struct match *m, const struct match_code *c, uint8_t byte)
{
    switch ((enum op)c->op) {
    case OP_BYTE:
        return c->byte == byte;
    case OP_ANY:
        return true;
    case OP_SET:
        return m->set[c->x][byte >> 3] >> (byte & 7) & 1;
    default:
        return false;
    }
}

bool match_text(const struct match *m, const char *text, size_t len)
{
    struct front fronts[2], *now = &fronts[0], *next = &fronts[1];
    memset(now->seen, 0, sizeof now->seen);
    memset(next->seen, 0, sizeof next->seen);
    now->n = 0;
    for (size_t i = 0;; i++) {
        struct place here = {(uint32_t)i + 1, i == 0, i == len};
        if (enter(m, now, 0, &here))
            return true;
        if (i == len)
            return false;
        struct place there = {(uint32_t)i + 2, false, i + 1 == len};
        next->n = 0;
        for (int k = 0; k < now->n; k++)
            if (takes(m, &m->code[now->at[k]], (uint8_t)text[i]) &&
                enter(m, next, now->at[k] + 1, &there))
                return true;
        struct front *spare = now;
        now = next;
        next = spare;
    }
}
