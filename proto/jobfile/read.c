/* read.c - YAML events -> values. A job file is a mapping of mappings of scalars, two or three
 * deep.
 *
 * libyaml's event interface builds no tree, so that nesting and aliases cost nothing; what a job
 * file has no use for (anchors, aliases, tags, lists, a second document) is refused with its place.
 */
#include "jobfile/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 16
#define GROUPS_MAX 32 /* more than there are groups; each is remembered once */

struct group {
    char path[JOBFILE_KEY_MAX];
    int line;
};

struct reader {
    struct parse *p;
    yaml_parser_t yaml;
    const char *text;
    size_t len;
    bool stop; /* syntax error or out of memory: no more events */
    int ngroups;
    struct group group[GROUPS_MAX];
};

static int line_of(const yaml_event_t *e)
{
    return (int)e->start_mark.line + 1;
}

static int column_of(const yaml_event_t *e)
{
    return (int)e->start_mark.column + 1;
}

static void refuse(struct reader *r, const yaml_event_t *e, const char *key, const char *text)
{
    findings_add(r->p->findings, false, line_of(e), column_of(e), key, "%s", text);
}

static void syntax_error(struct reader *r)
{
    const yaml_parser_t *y = &r->yaml;
    r->stop = r->p->broken = true;
    if (y->error == YAML_MEMORY_ERROR) {
        r->p->nomem = true;
        return;
    }
    const yaml_mark_t *mark = &y->problem_mark;
    bool tab = mark->index < r->len && r->text[mark->index] == '\t';
    findings_add(r->p->findings, false, (int)mark->line + 1, (int)mark->column + 1, "",
                 "not valid YAML: %s%s%s%s", y->context ? y->context : "", y->context ? ", " : "",
                 y->problem ? y->problem : "unreadable text",
                 tab ? " (tabs cannot indent in YAML; use spaces)" : "");
}

/* The next event, which the caller deletes; false at a syntax error. Anchors, aliases and tags are
 * reported here and otherwise ignored. */
static bool next_event(struct reader *r, yaml_event_t *e)
{
    /* Nobody reads the two hundred and first fault, and each costs a search for the nearest key. */
    if (r->p->findings->n == JOBFILE_MAX_FINDINGS)
        r->stop = r->p->broken = r->p->findings->truncated = true;
    if (r->stop || !yaml_parser_parse(&r->yaml, e)) {
        if (!r->stop)
            syntax_error(r);
        return false;
    }
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    }
    if (e->type == YAML_ALIAS_EVENT || anchor)
        refuse(r, e, "",
               "anchors (&name) and aliases (*name) are not allowed; write the value out");
    if (tag)
        refuse(r, e, "", "tags (!name) are not allowed; every key has its own type");
    return true;
}

/* Reads past the node that `e` opens. */
static void skip_node(struct reader *r, const yaml_event_t *first)
{
    int depth = first->type == YAML_MAPPING_START_EVENT || first->type == YAML_SEQUENCE_START_EVENT;
    while (depth > 0) {
        yaml_event_t e;
        if (!next_event(r, &e))
            return;
        if (e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT)
            depth++;
        if (e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT)
            depth--;
        if (depth > DEPTH_MAX) {
            refuse(r, &e, "", "nested too deeply; a job file is at most three keys deep");
            r->stop = r->p->broken = true;
        }
        yaml_event_delete(&e);
    }
}

static void unknown_key(struct parse *p, const char *path, int line, int column)
{
    char nearest[JOBFILE_KEY_MAX];
    if (!schema_nearest(path, nearest)) {
        findings_add(p->findings, false, line, column, path,
                     "no such key; `espalier help job-file` lists all");
        return;
    }
    findings_add(p->findings, false, line, column, path, "no such key; nearest is %s", nearest);
    /* What was probably meant is not called missing as well. */
    for (int i = 0; i < KEY_COUNT; i++)
        if (!strcmp(schema_keys[i].key, nearest) || schema_in_group(schema_keys[i].key, nearest))
            p->place[i].bad = true;
}

/* A group may be opened once; false and a finding for the second time. */
static bool open_group(struct reader *r, const char *path, const yaml_event_t *key)
{
    for (int i = 0; i < r->ngroups; i++)
        if (!strcmp(r->group[i].path, path)) {
            findings_add(r->p->findings, false, line_of(key), column_of(key), path,
                         "given twice; first on line %d", r->group[i].line);
            return false;
        }
    if (r->ngroups < GROUPS_MAX) {
        struct group *g = &r->group[r->ngroups++];
        snprintf(g->path, sizeof g->path, "%s", path);
        g->line = line_of(key);
    }
    return true;
}

static void read_leaf(struct reader *r, int key, const yaml_event_t *at, const yaml_event_t *e)
{
    const char *path = schema_keys[key].key;
    if (e->type != YAML_SCALAR_EVENT) {
        if (e->type != YAML_ALIAS_EVENT)
            refuse(r, e, path,
                   e->type == YAML_SEQUENCE_START_EVENT ? "expects one value, found a list"
                                                        : "expects one value, found keys below it");
        skip_node(r, e);
        r->p->place[key].bad = true;
        return;
    }
    if (r->p->place[key].set) {
        findings_add(r->p->findings, false, line_of(at), column_of(at), path,
                     "given twice; first on line %d", r->p->place[key].line);
        return;
    }
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) != e->data.scalar.length) {
        refuse(r, e, path, "holds a NUL character");
        r->p->place[key].bad = true;
        return;
    }
    struct scalar value = {.text = text,
                           .quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
                           .line = line_of(e),
                           .column = column_of(e)};
    scalar_assign(r->p, key, &value);
}

static void read_mapping(struct reader *r, const char *prefix);

/* The value `e` of the key `at`, whose dotted path is known. */
static void read_value(struct reader *r, const char *path, const yaml_event_t *at,
                       const yaml_event_t *e)
{
    int key = schema_find(path);
    if (key >= 0) {
        read_leaf(r, key, at, e);
        return;
    }
    if (!schema_is_group(path)) {
        unknown_key(r->p, path, line_of(at), column_of(at));
        skip_node(r, e);
        return;
    }
    if (e->type == YAML_MAPPING_START_EVENT && open_group(r, path, at)) {
        read_mapping(r, path);
        return;
    }
    bool empty = e->type == YAML_SCALAR_EVENT && e->data.scalar.length == 0;
    if (!empty && e->type != YAML_MAPPING_START_EVENT && e->type != YAML_ALIAS_EVENT)
        refuse(r, e, path, "expects keys below it, found a value");
    skip_node(r, e);
}

static void read_pair(struct reader *r, const char *prefix, const yaml_event_t *at)
{
    char path[JOBFILE_KEY_MAX];
    int n = -1;
    yaml_event_t e;
    if (at->type == YAML_SCALAR_EVENT)
        n = snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "",
                     (const char *)at->data.scalar.value);
    else {
        if (at->type != YAML_ALIAS_EVENT)
            refuse(r, at, prefix, "a key must be a word");
        skip_node(r, at);
    }
    if (!next_event(r, &e))
        return;
    if (n >= 0 && n < (int)sizeof path)
        read_value(r, path, at, &e);
    else {
        if (n >= 0)
            refuse(r, at, prefix, "a key here is too long; `espalier help job-file` lists all");
        skip_node(r, &e);
    }
    yaml_event_delete(&e);
}

/* Recursion ends with the known groups: two below the root. */
static void read_mapping(struct reader *r, const char *prefix)
{
    for (;;) {
        yaml_event_t e;
        if (!next_event(r, &e))
            return;
        bool end = e.type == YAML_MAPPING_END_EVENT;
        if (!end)
            read_pair(r, prefix, &e);
        yaml_event_delete(&e);
        if (end)
            return;
    }
}

/* The one node of a document. */
static void read_root(struct reader *r, const yaml_event_t *e)
{
    bool empty = e->type == YAML_SCALAR_EVENT && e->data.scalar.length == 0;
    if (e->type == YAML_MAPPING_START_EVENT)
        read_mapping(r, "");
    else if (!empty) {
        refuse(r, e, "",
               "a job file is a list of keys with values, like `name: first`; see `espalier help "
               "job-file`");
        skip_node(r, e);
        r->p->broken = true;
    }
}

static void read_stream(struct reader *r)
{
    int documents = 0;
    bool end = false;
    while (!end) {
        yaml_event_t e;
        if (!next_event(r, &e))
            return;
        if (e.type == YAML_DOCUMENT_START_EVENT && documents++ > 0) {
            refuse(r, &e, "", "a second YAML document (---); a job file holds one job");
            r->stop = true;
        } else if (e.type == YAML_STREAM_END_EVENT) {
            end = true;
        } else if (e.type != YAML_DOCUMENT_START_EVENT && e.type != YAML_DOCUMENT_END_EVENT &&
                   e.type != YAML_STREAM_START_EVENT) {
            read_root(r, &e);
        }
        yaml_event_delete(&e);
    }
}

void read_yaml(struct parse *p, const char *text, size_t len)
{
    struct reader r = {.p = p, .text = text, .len = len};
    if (!yaml_parser_initialize(&r.yaml)) {
        p->nomem = true;
        return;
    }
    yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.yaml, (const unsigned char *)(text ? text : ""), len);
    read_stream(&r);
    yaml_parser_delete(&r.yaml);
}

/* ---- --set ----------------------------------------------------------------------------------- */

/* The value as YAML reads it: quotes and escapes resolved; false when it is no single scalar. */
static bool override_scalar(yaml_parser_t *yaml, const char *text, yaml_event_t *ret_scalar)
{
    bool found = false;
    yaml_event_type_t type = YAML_NO_EVENT;
    yaml_parser_set_encoding(yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(yaml, (const unsigned char *)text, strlen(text));
    while (type != YAML_STREAM_END_EVENT) {
        yaml_event_t e;
        bool ok = yaml_parser_parse(yaml, &e);
        type = ok ? e.type : YAML_NO_EVENT;
        bool structural = type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
                          type == YAML_DOCUMENT_END_EVENT || type == YAML_STREAM_END_EVENT;
        bool plain =
            type == YAML_SCALAR_EVENT && !found && !e.data.scalar.anchor && !e.data.scalar.tag;
        if (plain) {
            *ret_scalar = e;
            found = true;
        } else if (ok) {
            yaml_event_delete(&e);
        }
        if (!structural && !plain) {
            if (found)
                yaml_event_delete(ret_scalar);
            return false;
        }
    }
    if (!found)
        memset(ret_scalar, 0, sizeof *ret_scalar);
    return true;
}

static void override_value(struct parse *p, int key, const char *text)
{
    yaml_parser_t yaml;
    yaml_event_t e;
    if (!yaml_parser_initialize(&yaml)) {
        p->nomem = true;
        return;
    }
    if (!override_scalar(&yaml, text, &e)) {
        findings_add(p->findings, false, 0, 0, schema_keys[key].key,
                     "the value of --set is not one plain value; put it in quotes");
        p->place[key].bad = true;
    } else {
        bool any = e.type == YAML_SCALAR_EVENT;
        struct scalar value = {.text = any ? (const char *)e.data.scalar.value : "",
                               .quoted = any && e.data.scalar.style != YAML_PLAIN_SCALAR_STYLE};
        scalar_assign(p, key, &value);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&yaml);
}

void read_override(struct parse *p, const struct jobfile_override *over)
{
    size_t nkey = strlen(over->key), nvalue = strlen(over->value);
    int key = schema_find(over->key);
    if (key < 0 && schema_is_group(over->key))
        findings_add(p->findings, false, 0, 0, over->key, "--set needs a key inside this group");
    else if (key < 0 && nkey < JOBFILE_KEY_MAX && text_valid(over->key, nkey) == nkey)
        unknown_key(p, over->key, 0, 0);
    else if (key < 0)
        findings_add(p->findings, false, 0, 0, "", "--set names a key that does not exist");
    else if (text_valid(over->value, nvalue) != nvalue)
        findings_add(p->findings, false, 0, 0, over->key, "the value of --set is not UTF-8 text");
    else
        override_value(p, key, over->value);
}
