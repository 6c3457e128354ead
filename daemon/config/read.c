/* read.c - YAML and options -> values; see config.h.
 *
 * libyaml's document tree, not its events: lists of maps read better from a tree, and the file is the
 * administrator's own and at most CONFIG_MAX_BYTES. Nothing here follows the tree deeper than the table says.
 */
#include "base/file.h"
#include "config/table.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

struct reader {
    struct config_source *s;
    yaml_document_t doc;
    struct findings *findings;
    enum config_from from;
    const char *folder; /* where relative paths start */
};

static void complain(struct reader *r, const yaml_node_t *at, const char *key, const char *fmt, ...)
    BASE_PRINTF(4, 5);

static void complain(struct reader *r, const yaml_node_t *at, const char *key, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bool placed = at && r->from == CONFIG_FILE;
    findings_add(r->findings, false, placed ? (int)at->start_mark.line + 1 : 0,
                 placed ? (int)at->start_mark.column + 1 : 0, key, "%s", text);
}

/* ---- values ----------------------------------------------------------------------------------- */

/* A scalar node as a value; false and a finding when it is none, or says nothing. */
static bool scalar_of(struct reader *r, const yaml_node_t *node, const char *key,
                      struct value *ret_value)
{
    if (node->type != YAML_SCALAR_NODE) {
        complain(r, node, key, "expects one value, found %s",
                 node->type == YAML_SEQUENCE_NODE ? "a list" : "keys below it");
        return false;
    }
    const char *text = (const char *)node->data.scalar.value;
    bool quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (strlen(text) != node->data.scalar.length) {
        complain(r, node, key, "holds a NUL character");
        return false;
    }
    if (!quoted && (!text[0] || !strcmp(text, "~") || !strcmp(text, "null"))) {
        complain(r, node, key, "has no value; leave the key out for its default");
        return false;
    }
    *ret_value = (struct value){text, quoted};
    return true;
}

static void read_scalar(struct reader *r, void *base, const struct row *row, const char *key,
                        const yaml_node_t *node)
{
    struct value value;
    char why[256];
    if (scalar_of(r, node, key, &value) &&
        !value_store(base, row, &value, r->folder, why, &r->s->nomem))
        complain(r, node, key, "%s", why);
}

/* ---- maps in lists ---------------------------------------------------------------------------- */

static const struct row *field_find(const struct row *list, const char *name)
{
    for (int i = 0; i < list->nfields; i++)
        if (!strcmp(list->fields[i].key, name))
            return &list->fields[i];
    return NULL;
}

static void unknown_field(struct reader *r, const struct row *list, const yaml_node_t *at,
                          const char *key)
{
    char known[256] = "";
    size_t n = 0;
    for (int i = 0; i < list->nfields && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "",
                              list->fields[i].key);
    complain(r, at, key, "no such key; here are %s", known);
}

static void read_field(struct reader *r, void *item, const struct row *list, const char *path,
                       const yaml_node_pair_t *pair, bool *seen)
{
    const yaml_node_t *name = yaml_document_get_node(&r->doc, pair->key),
                      *node = yaml_document_get_node(&r->doc, pair->value);
    if (name->type != YAML_SCALAR_NODE) {
        complain(r, name, path, "a key must be a word");
        return;
    }
    char key[CONFIG_KEY_MAX];
    snprintf(key, sizeof key, "%.50s.%.40s", path, (const char *)name->data.scalar.value);
    const struct row *field = field_find(list, (const char *)name->data.scalar.value);
    if (!field) {
        unknown_field(r, list, name, key);
        return;
    }
    if (seen[field - list->fields])
        complain(r, name, key, "given twice");
    else
        read_scalar(r, item, field, key, node);
    seen[field - list->fields] = true;
}

#define FIELDS_MAX 16

static void read_map(struct reader *r, const struct row *list, const yaml_node_t *node)
{
    bool seen[FIELDS_MAX] = {false};
    char path[64];
    struct config *c = &r->s->config;
    snprintf(path, sizeof path, "%s[%d]", list->key, *row_count(c, list));
    if (node->type != YAML_MAPPING_NODE) {
        complain(r, node, path, "expects keys with values, like `- %s: ...`", list->fields[0].key);
        return;
    }
    void *item = list_add(c, list, &r->s->nomem);
    if (!item || !values_default(item, list->fields, list->nfields)) {
        if (!r->s->nomem)
            complain(r, node, list->key, "has more than %d items", (int)list->hi);
        return;
    }
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++)
        read_field(r, item, list, path, p, seen);
    for (int i = 0; i < list->nfields; i++)
        if (list->fields[i].type == ROW_TEXT && !list->fields[i].def_text && !seen[i])
            complain(r, node, path, "needs `%s`", list->fields[i].key);
}

static void read_list(struct reader *r, const struct row *row, const yaml_node_t *node)
{
    list_clear(&r->s->config, row);
    if (node->type != YAML_SEQUENCE_NODE && row->type == ROW_MAPS) {
        complain(r, node, row->key, "expects a list: lines that start with `- `");
        return;
    }
    if (node->type != YAML_SEQUENCE_NODE) { /* a list of one */
        read_scalar(r, &r->s->config, row, row->key, node);
        return;
    }
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&r->doc, *i);
        if (row->type == ROW_MAPS)
            read_map(r, row, item);
        else
            read_scalar(r, &r->s->config, row, row->key, item);
    }
}

/* ---- keys ------------------------------------------------------------------------------------- */

static void read_mapping(struct reader *r, const char *prefix, const yaml_node_t *node);

static void read_row(struct reader *r, int i, const yaml_node_t *at, const yaml_node_t *node)
{
    const struct row *row = &config_rows[i];
    struct config_origin *origin = &r->s->origin[i];
    if (origin->from == CONFIG_FILE) {
        complain(r, at, row->key, "given twice; first on line %d", origin->line);
        return;
    }
    *origin = (struct config_origin){CONFIG_FILE, (int)at->start_mark.line + 1};
    if (row_is_list(row))
        read_list(r, row, node);
    else
        read_scalar(r, &r->s->config, row, row->key, node);
}

static void read_key(struct reader *r, const char *path, const yaml_node_t *at,
                     const yaml_node_t *node)
{
    char nearest[CONFIG_KEY_MAX];
    int i = row_find(path);
    bool empty = node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0;
    if (i >= 0)
        read_row(r, i, at, node);
    else if (!row_is_group(path))
        complain(r, at, path, "no such key; %s%s",
                 row_nearest(path, nearest) ? "nearest is " : "`espalierd config help` lists all",
                 row_nearest(path, nearest) ? nearest : "");
    else if (node->type == YAML_MAPPING_NODE)
        read_mapping(r, path, node);
    else if (!empty)
        complain(r, node, path, "expects keys below it");
}

/* Ends with the known groups, whatever the tree holds: read_key() goes into no others. */
static void read_mapping(struct reader *r, const char *prefix, const yaml_node_t *node)
{
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *at = yaml_document_get_node(&r->doc, p->key);
        char path[CONFIG_KEY_MAX];
        int n = at->type != YAML_SCALAR_NODE
                    ? CONFIG_KEY_MAX
                    : snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "",
                               (const char *)at->data.scalar.value);
        if (n >= CONFIG_KEY_MAX)
            complain(r, at, prefix, "a key must be a word; `espalierd config help` lists all");
        else
            read_key(r, path, at, yaml_document_get_node(&r->doc, p->value));
    }
}

/* ---- documents -------------------------------------------------------------------------------- */

static void syntax_error(struct reader *r, const yaml_parser_t *y)
{
    bool file = r->from == CONFIG_FILE;
    if (y->error == YAML_MEMORY_ERROR)
        r->s->nomem = true;
    else
        findings_add(r->findings, false, file ? (int)y->problem_mark.line + 1 : 0,
                     file ? (int)y->problem_mark.column + 1 : 0, "", "not valid YAML: %s%s%s",
                     y->context ? y->context : "", y->context ? ", " : "",
                     y->problem ? y->problem : "unreadable text");
}

/* Loads the text's only document and hands its root to `take`. */
static void read_document(struct reader *r, const char *text, size_t len,
                          void (*take)(struct reader *r, const yaml_node_t *root, const void *arg),
                          const void *arg)
{
    yaml_parser_t yaml;
    if (!yaml_parser_initialize(&yaml)) {
        r->s->nomem = true;
        return;
    }
    yaml_parser_set_encoding(&yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, len);
    if (!yaml_parser_load(&yaml, &r->doc)) {
        syntax_error(r, &yaml);
    } else {
        yaml_node_t *root = yaml_document_get_root_node(&r->doc);
        if (root)
            take(r, root, arg);
        yaml_document_delete(&r->doc);
        if (root && !yaml_parser_load(&yaml, &r->doc))
            syntax_error(r, &yaml);
        else if (root) {
            if (yaml_document_get_root_node(&r->doc))
                findings_add(r->findings, false, 0, 0, "", "holds a second YAML document (---)");
            yaml_document_delete(&r->doc);
        }
    }
    yaml_parser_delete(&yaml);
}

static void take_file(struct reader *r, const yaml_node_t *root, const void *arg)
{
    (void)arg;
    bool empty = root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0;
    if (root->type == YAML_MAPPING_NODE)
        read_mapping(r, "", root);
    else if (!empty)
        complain(r, root, "", "a configuration is a list of keys with values, like `cores: 8`");
}

void config_read(struct config_source *s, const char *path, const char *text, size_t len)
{
    char cwd[PATH_MAX];
    char *given = path_dir(path);
    char *folder = given && getcwd(cwd, sizeof cwd) ? path_join(cwd, given) : NULL;
    free(given);
    free(s->file);
    s->file = strdup(path);
    struct reader r = {
        .s = s, .findings = &s->file_findings, .from = CONFIG_FILE, .folder = folder};
    if (!folder || !s->file)
        s->nomem = true;
    else if (len > CONFIG_MAX_BYTES)
        findings_add(r.findings, false, 0, 0, "", "has %zu bytes; a configuration has at most %u",
                     len, CONFIG_MAX_BYTES);
    else
        read_document(&r, text ? text : "", len, take_file, NULL);
    free(folder);
}

/* ---- options ---------------------------------------------------------------------------------- */

static void take_map(struct reader *r, const yaml_node_t *root, const void *arg)
{
    read_map(r, arg, root);
}

static int option_row(const char *name)
{
    for (int i = 0; i < CONFIG_ROWS; i++) {
        char option[64];
        config_option_name((enum config_row)i, option);
        if (!strcmp(option, name))
            return i;
    }
    return -1;
}

bool config_set_option(struct config_source *s, const char *name, const char *value)
{
    char cwd[PATH_MAX], why[256], option[72];
    int i = option_row(name);
    if (i < 0)
        return false;
    const struct row *row = &config_rows[i];
    struct reader r = {.s = s,
                       .findings = &s->option_findings,
                       .from = CONFIG_OPTION,
                       .folder = getcwd(cwd, sizeof cwd)};
    if (row_is_list(row) && s->origin[i].from != CONFIG_OPTION)
        list_clear(&s->config, row);
    s->origin[i] = (struct config_origin){CONFIG_OPTION, 0};
    struct value v = {value, false};
    snprintf(option, sizeof option, "--%s", name);
    if (row->type == ROW_MAPS)
        read_document(&r, value, strlen(value), take_map, row);
    else if (!value_store(&s->config, row, &v, r.folder, why, &s->nomem))
        findings_add(r.findings, false, 0, 0, option, "%s", why);
    return true;
}

/* ---- the whole -------------------------------------------------------------------------------- */

void config_complain(struct config_source *s, enum config_row row, const char *fmt, ...)
{
    char text[384], key[CONFIG_KEY_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct config_origin *o = &s->origin[row];
    if (o->from == CONFIG_FILE) {
        findings_add(&s->file_findings, false, o->line, 1, config_rows[row].key, "%s", text);
        return;
    }
    key[0] = key[1] = '-';
    config_option_name(row, key + 2);
    findings_add(&s->option_findings, false, 0, 0, key, "%s", text);
}

void config_init(struct config_source *s)
{
    *s = (struct config_source){0};
    s->nomem = !values_default(&s->config, config_rows, CONFIG_ROWS);
}

void config_free(struct config *c)
{
    values_free(c, config_rows, CONFIG_ROWS);
    *c = (struct config){0};
}

struct config config_take(struct config_source *s)
{
    struct config c = s->config;
    s->config = (struct config){0};
    return c;
}

void config_fini(struct config_source *s)
{
    config_free(&s->config);
    findings_fini(&s->file_findings);
    findings_fini(&s->option_findings);
    free(s->file);
    *s = (struct config_source){0};
}
