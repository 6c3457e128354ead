/* value.c - one value: text -> number, truth, choice, text or path; and lists of them. */
#include "base/file.h"
#include "base/text.h"
#include "config/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_MAX 256
#define SHOWN "%.60s"

/* ---- one value -------------------------------------------------------------------------------- */

static bool fault(char why[WHY_MAX], const char *expects, const struct value *v)
{
    const char *quote = v->quoted ? "\"" : "";
    snprintf(why, WHY_MAX, "expects %s, got %s" SHOWN "%s", expects, quote,
             v->text[0] || v->quoted ? v->text : "nothing", quote);
    return false;
}

static bool store_number(void *base, const struct row *r, const struct value *v, char why[WHY_MAX])
{
    double x;
    bool whole = r->type == ROW_INT;
    char lo[32], hi[32], expects[128];
    real_print(lo, r->lo);
    real_print(hi, r->hi);
    snprintf(expects, sizeof expects, "a %snumber from %s to %s", whole ? "whole " : "", lo, hi);
    bool good = !v->quoted && real_read(&x, v->text) && isfinite(x) && x >= r->lo && x <= r->hi;
    if (!good || (whole && x != floor(x)))
        return fault(why, expects, v);
    if (whole)
        *row_int(base, r) = (int64_t)x;
    else
        *row_real(base, r) = x;
    return true;
}

static bool store_enum(void *base, const struct row *r, const struct value *v, char why[WHY_MAX])
{
    int index = strchr(v->text, '|') ? -1 : enum_index(r->list, v->text);
    if (index < 0) {
        char expects[160] = "one of ";
        size_t n = strlen(expects);
        for (const char *c = r->list; *c && n + 3 < sizeof expects; c++)
            n += (size_t)snprintf(expects + n, sizeof expects - n, *c == '|' ? ", " : "%c", *c);
        return fault(why, expects, v);
    }
    *row_enum(base, r) = index;
    return true;
}

static bool text_fits(const char *text, size_t most, char why[WHY_MAX])
{
    if (strlen(text) > most) {
        snprintf(why, WHY_MAX, "is %zu bytes long, at most %zu are allowed", strlen(text), most);
        return false;
    }
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            snprintf(why, WHY_MAX, "holds a control character (byte 0x%02x)", (unsigned char)*c);
            return false;
        }
    return true;
}

static bool store_text(char **to, const struct row *r, const struct value *v, const char *folder,
                       char why[WHY_MAX], bool *nomem)
{
    bool path = r->type == ROW_PATH || r->type == ROW_PATHS;
    if (!text_fits(v->text, row_is_list(r) ? 4095 : (size_t)r->hi, why))
        return false;
    if (!v->text[0] && (row_is_list(r) || !r->def_text))
        return fault(why, path ? "a path" : "a text", v);
    char *text = path && v->text[0] && folder ? path_join(folder, v->text) : strdup(v->text);
    if (!text) {
        *nomem = true;
        return true;
    }
    free(*to);
    *to = text;
    return true;
}

bool value_store(void *base, const struct row *r, const struct value *v, const char *folder,
                 char why[WHY_MAX], bool *nomem)
{
    switch (r->type) {
    case ROW_INT:
    case ROW_REAL:
        return store_number(base, r, v, why);
    case ROW_BOOL:
        if (v->quoted || (strcmp(v->text, "true") != 0 && strcmp(v->text, "false") != 0))
            return fault(why, "true or false", v);
        *row_bool(base, r) = v->text[0] == 't';
        return true;
    case ROW_ENUM:
        return store_enum(base, r, v, why);
    case ROW_TEXT:
    case ROW_PATH:
        return store_text(row_text(base, r), r, v, folder, why, nomem);
    case ROW_TEXTS:
    case ROW_PATHS:
    case ROW_MAPS:
        break;
    }
    if (r->type == ROW_MAPS)
        return fault(why, "keys with values", v);
    if (*row_count(base, r) == (int)r->hi) {
        snprintf(why, WHY_MAX, "has more than %d items", (int)r->hi);
        return false;
    }
    char **item = list_add(base, r, nomem);
    if (!item || store_text(item, r, v, folder, why, nomem))
        return true;
    --*row_count(base, r);
    return false;
}

/* ---- structs of values ------------------------------------------------------------------------ */

bool values_default(void *base, const struct row *rows, int n)
{
    for (int i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        if (r->type == ROW_INT)
            *row_int(base, r) = (int64_t)r->def;
        else if (r->type == ROW_REAL)
            *row_real(base, r) = r->def;
        else if (r->type == ROW_BOOL)
            *row_bool(base, r) = r->def != 0;
        else if (r->type == ROW_ENUM)
            *row_enum(base, r) = enum_index(r->list, r->def_text);
        else if (!row_is_list(r)) {
            *row_text(base, r) = strdup(r->def_text ? r->def_text : "");
            if (!*row_text(base, r))
                return false;
        }
    }
    return true;
}

void values_free(void *base, const struct row *rows, int n)
{
    for (int i = 0; i < n; i++)
        if (row_is_list(&rows[i]))
            list_clear(base, &rows[i]);
        else if (rows[i].type == ROW_TEXT || rows[i].type == ROW_PATH)
            free(*row_text(base, &rows[i]));
}

/* ---- lists ------------------------------------------------------------------------------------ */

/* The member is a pointer of another type in every row; its bytes are what they share. */
static char *list_items(void *base, const struct row *r)
{
    char *items;
    memcpy(&items, (char *)base + r->offset, sizeof items);
    return items;
}

static size_t item_size(const struct row *r)
{
    return r->type == ROW_MAPS ? r->size : sizeof(char *);
}

void *list_item(void *base, const struct row *r, int i)
{
    return list_items(base, r) + (size_t)i * item_size(r);
}

void *list_add(void *base, const struct row *r, bool *nomem)
{
    int n = *row_count(base, r);
    if (n == (int)r->hi)
        return NULL;
    char *items = realloc(list_items(base, r), ((size_t)n + 1) * item_size(r));
    if (!items) {
        *nomem = true;
        return NULL;
    }
    memcpy((char *)base + r->offset, &items, sizeof items);
    *row_count(base, r) = n + 1;
    void *item = items + (size_t)n * item_size(r);
    memset(item, 0, item_size(r));
    return item;
}

void list_clear(void *base, const struct row *r)
{
    char *items = list_items(base, r), *none = NULL;
    for (int i = 0; i < *row_count(base, r); i++)
        if (r->type == ROW_MAPS)
            values_free(list_item(base, r, i), r->fields, r->nfields);
        else
            free(*(char **)list_item(base, r, i));
    free(items);
    memcpy((char *)base + r->offset, &none, sizeof none);
    *row_count(base, r) = 0;
}
