/* parse.c - jobfile_parse(): the steps in their order; see parse.h. */
#include "jobfile/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void complain(struct parse *p, int key, bool warning, const char *fmt, ...)
{
    char text[sizeof(struct finding)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    findings_add(p->findings, warning, p->place[key].line, p->place[key].column,
                 schema_keys[key].key, "%s", text);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Length of the UTF-8 character at s, 0 if it is none (RFC 3629: no overlong forms, no surrogates).
 */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return s[0] >= 0x20 || s[0] == '\t' || s[0] == '\n' || s[0] == '\r';
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || outside ? 0 : len;
}

size_t text_valid(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t n = utf8_length((const unsigned char *)text + at, len - at);
        if (n == 0)
            break;
        at += n;
    }
    return at;
}

/* Whether the bytes are text at all; else one finding with the place. */
static bool bytes_check(struct findings *f, const char *text, size_t len)
{
    if (len > JOBFILE_MAX_BYTES) {
        findings_add(f, false, 0, 0, "", "the file has %zu bytes; a job file has at most %u", len,
                     JOBFILE_MAX_BYTES);
        return false;
    }
    size_t at = text_valid(text, len);
    if (at == len)
        return true;
    int line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        column++;
        if (text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    findings_add(f, false, line, column, "", "byte 0x%02x is not UTF-8 text; is this a job file?",
                 (unsigned char)text[at]);
    return false;
}

/* ---- the job --------------------------------------------------------------------------------- */

static struct jobfile *job_with_defaults(void)
{
    struct jobfile *job = calloc(1, sizeof *job);
    for (int i = 0; job && i < KEY_COUNT; i++) {
        const struct key *k = &schema_keys[i];
        switch (k->type) {
        case TYPE_INT:
            *key_int(job, i) = (int64_t)k->def;
            break;
        case TYPE_REAL:
            *key_real(job, i) = k->def;
            break;
        case TYPE_BOOL:
            *key_bool(job, i) = k->def != 0;
            break;
        case TYPE_ENUM:
            *key_enum(job, i) = enum_index(k->list, k->def_text);
            break;
        case TYPE_TEXT:
        case TYPE_PATH:
            *key_text(job, i) = strdup(k->def_text);
            if (!*key_text(job, i)) {
                jobfile_destroy(job);
                return NULL;
            }
            break;
        }
    }
    return job;
}

void jobfile_destroy(struct jobfile *job)
{
    for (int i = 0; job && i < KEY_COUNT; i++)
        if (schema_keys[i].type == TYPE_TEXT || schema_keys[i].type == TYPE_PATH)
            free(*key_text(job, i));
    free(job);
}

/* By place, stable; what has no line (from --set, or about the whole file) comes last. */
static void sort_findings(struct findings *f)
{
    for (int i = 1; i < f->n; i++) {
        struct finding one = f->list[i];
        int at = i;
        for (; at > 0; at--) {
            const struct finding *before = &f->list[at - 1];
            unsigned line = (unsigned)before->line - 1, mine = (unsigned)one.line - 1;
            if (line < mine || (line == mine && before->column <= one.column))
                break;
            f->list[at] = *before;
        }
        f->list[at] = one;
    }
}

/* The verdict as one sentence: how many faults, and the first. */
static enum status verdict(const struct findings *f, struct err *err)
{
    if (f->errors == 0)
        return ST_OK;
    const struct finding *first = f->list;
    while (first && first->warning && first < f->list + f->n - 1)
        first++;
    if (!first)
        return err_set(err, ST_INVALID, "the job file has %d errors", f->errors);
    char where[32] = "";
    if (first->line > 0)
        snprintf(where, sizeof where, "line %d: ", first->line);
    char count[48] = "";
    if (f->errors > 1)
        snprintf(count, sizeof count, " (and %d more)", f->errors - 1);
    return err_set(err, ST_INVALID, "job file: %s%s%s%s%s", where, first->key,
                   first->key[0] ? ": " : "", first->text, count);
}

enum status jobfile_parse(struct jobfile **ret_job, const struct jobfile_source *source,
                          struct findings *ret_findings, struct err *err)
{
    struct parse p = {.job = job_with_defaults(), .findings = ret_findings, .source = source};
    *ret_findings = (struct findings){0};
    if (!p.job)
        return err_set(err, ST_NOMEM, "out of memory for a job file");
    if (bytes_check(ret_findings, source->text, source->len)) {
        read_yaml(&p, source->text, source->len);
        for (int i = 0; i < source->n_over; i++)
            read_override(&p, &source->over[i]);
        if (!p.broken)
            check_all(&p);
    }
    sort_findings(ret_findings);
    enum status st = p.nomem ? err_set(err, ST_NOMEM, "out of memory for a job file")
                             : verdict(ret_findings, err);
    if (st == ST_OK && source->structure)
        st = start_frozen(p.job, source->structure, source->structure_len, err);
    if (st == ST_OK)
        *ret_job = p.job;
    else
        jobfile_destroy(p.job);
    return st;
}
