/* text.c - see text.h. */
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int word_distance(const char *a, const char *b)
{
    int na = (int)strlen(a), nb = (int)strlen(b);
    int row[3][WORD_MAX + 1];
    int *before = row[0], *last = row[1], *now = row[2];
    for (int j = 0; j <= nb; j++)
        last[j] = j;
    for (int i = 1; i <= na; i++) {
        now[0] = i;
        for (int j = 1; j <= nb; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        int *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[nb];
}

int enum_index(const char *list, const char *text)
{
    size_t want = strlen(text);
    for (int i = 0;; i++) {
        size_t n = strcspn(list, "|");
        if (n == want && !memcmp(list, text, n))
            return i;
        if (!list[n])
            return -1;
        list += n + 1;
    }
}

void enum_name(const char *list, int index, char ret_name[32])
{
    ret_name[0] = '\0';
    for (int i = 0;; i++) {
        size_t n = strcspn(list, "|");
        if (i == index) {
            snprintf(ret_name, 32, "%.*s", (int)n, list);
            return;
        }
        if (!list[n])
            return;
        list += n + 1;
    }
}

bool real_read(double *ret_value, const char *text)
{
    if (!text[0] || text[strspn(text, "0123456789+-.eE")])
        return false;
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text)
        return false;
    *ret_value = value;
    return true;
}

void real_print(char ret_text[32], double value)
{
    /* 100, not 1e+02. */
    if (value == floor(value) && fabs(value) < 1e15) {
        snprintf(ret_text, 32, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(ret_text, 32, "%.*g", digits, value);
        if (strtod(ret_text, NULL) == value)
            return;
    }
}

void enum_print(struct buf *out, const char *list, const char *between)
{
    for (const char *c = list; *c; c++)
        *c == '|' ? buf_puts(out, between) : buf_add(out, c, 1);
}

void quoted_print(struct buf *out, const char *text)
{
    buf_puts(out, "\"");
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            buf_puts(out, "\\");
        buf_add(out, c, 1);
    }
    buf_puts(out, "\"");
}
