/* scalar.c - one value: text -> number, truth, choice, text or path, with its range. */
#include "jobfile/parse.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHOWN 64 /* bytes of a wrong value that a finding repeats */

/* The value as a finding repeats it: quoted text in quotes, long ones cut. */
static const char *shown(char out[SHOWN + 8], const struct scalar *v)
{
    size_t n = strlen(v->text);
    const char *quote = v->quoted ? "\"" : "";
    if (n == 0)
        return v->quoted ? "\"\"" : "nothing";
    if (n <= SHOWN)
        snprintf(out, SHOWN + 8, "%s%s%s", quote, v->text, quote);
    else {
        n = SHOWN;
        while (n > 0 && ((unsigned char)v->text[n] & 0xc0) == 0x80)
            n--; /* do not cut a character in two */
        snprintf(out, SHOWN + 8, "%s%.*s...%s", quote, (int)n, v->text, quote);
    }
    return out;
}

static bool is_null(const struct scalar *v)
{
    return !v->quoted && (!v->text[0] || !strcmp(v->text, "~") || !strcmp(v->text, "null"));
}

static bool not_finite(const char *text)
{
    const char *t = text + (text[0] == '-' || text[0] == '+');
    t += t[0] == '.';
    return !strcasecmp(t, "nan") || !strcasecmp(t, "inf") || !strcasecmp(t, "infinity");
}

static bool range_check(struct parse *p, int key, double value, const char *text)
{
    const struct key *k = &schema_keys[key];
    if (value >= k->lo && value <= k->hi)
        return true;
    char lo[32], hi[32];
    real_print(lo, k->lo);
    real_print(hi, k->hi);
    complain(p, key, false, "must lie between %s and %s, got %s", lo, hi, text);
    return false;
}

static bool assign_int(struct parse *p, int key, const struct scalar *v)
{
    char text[SHOWN + 8];
    double value;
    /* Through double on purpose: "2e4" is a whole number too, and every limit is at most 2^53. */
    if (v->quoted || !real_read(&value, v->text) || !isfinite(value) || value != floor(value)) {
        complain(p, key, false, "expects a whole number, got %s", shown(text, v));
        return false;
    }
    if (!range_check(p, key, value, shown(text, v)))
        return false;
    /* Digits alone are read exactly: a double drops the last bit of 2^53 + 1. */
    bool digits = !v->text[strspn(v->text, "0123456789+-")];
    int64_t exact = digits ? strtoll(v->text, NULL, 10) : (int64_t)value;
    if (exact > (int64_t)schema_keys[key].hi)
        return range_check(p, key, INFINITY, shown(text, v));
    *key_int(p->job, key) = exact;
    return true;
}

static bool assign_real(struct parse *p, int key, const struct scalar *v)
{
    char text[SHOWN + 8];
    double value;
    if (!v->quoted && not_finite(v->text)) {
        complain(p, key, false, "must be a finite number, got %s", shown(text, v));
        return false;
    }
    if (v->quoted || !real_read(&value, v->text)) {
        complain(p, key, false, "expects a number, got %s", shown(text, v));
        return false;
    }
    if (!isfinite(value)) {
        complain(p, key, false, "%s is too large for a number", shown(text, v));
        return false;
    }
    if (!range_check(p, key, value, shown(text, v)))
        return false;
    *key_real(p->job, key) = value;
    return true;
}

static bool assign_bool(struct parse *p, int key, const struct scalar *v)
{
    char text[SHOWN + 8];
    bool yes = !strcmp(v->text, "true");
    if (v->quoted || (!yes && strcmp(v->text, "false") != 0)) {
        complain(p, key, false, "expects true or false, got %s", shown(text, v));
        return false;
    }
    *key_bool(p->job, key) = yes;
    return true;
}

static bool assign_enum(struct parse *p, int key, const struct scalar *v)
{
    const char *list = schema_keys[key].list;
    int index = strchr(v->text, '|') ? -1 : enum_index(list, v->text);
    if (index < 0) {
        char text[SHOWN + 8];
        struct buf choices;
        buf_init(&choices, 256);
        for (const char *c = list; *c; c++)
            *c == '|' ? buf_puts(&choices, ", ") : buf_add(&choices, c, 1);
        complain(p, key, false, "expects %s%s, got %s", strchr(list, '|') ? "one of " : "",
                 buf_str(&choices), shown(text, v));
        buf_fini(&choices);
        return false;
    }
    *key_enum(p->job, key) = index;
    return true;
}

/* Takes `text` (owned) as the new value. */
static bool text_store(struct parse *p, int key, char *text)
{
    if (!text) {
        p->nomem = true;
        return false;
    }
    free(*key_text(p->job, key));
    *key_text(p->job, key) = text;
    return true;
}

static bool assign_text(struct parse *p, int key, const struct scalar *v)
{
    size_t len = strlen(v->text), max = (size_t)schema_keys[key].hi;
    if (len > max) {
        complain(p, key, false, "is %zu bytes long, at most %zu are allowed", len, max);
        return false;
    }
    for (const char *c = v->text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            complain(p, key, false, "holds a control character (byte 0x%02x)", (unsigned char)*c);
            return false;
        }
    return text_store(p, key, strdup(is_null(v) ? "" : v->text));
}

static bool assign_path(struct parse *p, int key, const struct scalar *v)
{
    if (!assign_text(p, key, v))
        return false;
    const char *given = *key_text(p->job, key);
    return !given[0] || !p->source->folder ||
           text_store(p, key, path_join(p->source->folder, given));
}

void scalar_assign(struct parse *p, int key, const struct scalar *value)
{
    struct place *place = &p->place[key];
    *place = (struct place){.line = value->line, .column = value->column, .set = true};
    enum key_type type = schema_keys[key].type;
    bool ok = false;
    if (is_null(value) && type != TYPE_TEXT && type != TYPE_PATH) {
        complain(p, key, false, "has no value; leave the key out for its default");
        place->bad = true;
        return;
    }
    switch (type) {
    case TYPE_INT:
        ok = assign_int(p, key, value);
        break;
    case TYPE_REAL:
        ok = assign_real(p, key, value);
        break;
    case TYPE_BOOL:
        ok = assign_bool(p, key, value);
        break;
    case TYPE_ENUM:
        ok = assign_enum(p, key, value);
        break;
    case TYPE_TEXT:
        ok = assign_text(p, key, value);
        break;
    case TYPE_PATH:
        ok = assign_path(p, key, value);
        break;
    }
    place->bad = !ok;
}
