/* print.c - the other readers of the table: what is in force, help, the document, the example. */
#include "base/term.h"
#include "base/text.h"
#include "config/table.h"

#include <stdio.h>
#include <string.h>

/* ---- values ----------------------------------------------------------------------------------- */

static void print_scalar(struct buf *out, void *base, const struct row *r)
{
    char text[32];
    switch (r->type) {
    case ROW_INT:
        buf_printf(out, "%lld", (long long)*row_int(base, r));
        break;
    case ROW_REAL:
        real_print(text, *row_real(base, r));
        buf_puts(out, text);
        break;
    case ROW_BOOL:
        buf_puts(out, *row_bool(base, r) ? "true" : "false");
        break;
    case ROW_ENUM:
        enum_name(r->list, *row_enum(base, r), text);
        buf_puts(out, text);
        break;
    default:
        quoted_print(out, *row_text(base, r));
    }
}

/* On one line, in YAML's flow style: a grep finds a key with all it holds. */
static void print_list(struct buf *out, void *base, const struct row *r)
{
    buf_puts(out, "[");
    for (int i = 0; i < *row_count(base, r); i++) {
        buf_puts(out, i ? ", " : "");
        if (r->type != ROW_MAPS) {
            quoted_print(out, *(char **)list_item(base, r, i));
            continue;
        }
        for (int f = 0; f < r->nfields; f++) {
            buf_printf(out, "%s%s: ", f ? ", " : "{", r->fields[f].key);
            print_scalar(out, list_item(base, r, i), &r->fields[f]);
        }
        buf_puts(out, "}");
    }
    buf_puts(out, "]");
}

static void print_origin(struct buf *out, const struct config_source *s, int i)
{
    char option[64];
    switch (s->origin[i].from) {
    case CONFIG_DEFAULT:
        buf_puts(out, "default");
        break;
    case CONFIG_FILE:
        buf_printf(out, "%s:%d", s->file, s->origin[i].line);
        break;
    case CONFIG_OPTION:
        config_option_name((enum config_row)i, option);
        buf_printf(out, "--%s", option);
        break;
    }
}

void config_print(const struct config_source *s, bool origin, struct buf *out)
{
    struct config *c = (struct config *)&s->config;
    for (int i = 0; i < CONFIG_ROWS; i++) {
        const struct row *r = &config_rows[i];
        size_t from = out->len;
        buf_printf(out, "%s: ", r->key);
        if (row_is_list(r))
            print_list(out, c, r);
        else
            print_scalar(out, c, r);
        if (origin) {
            int width = (int)(out->len - from);
            buf_printf(out, "%*s  # ", width < 40 ? 40 - width : 0, "");
            print_origin(out, s, i);
        }
        buf_puts(out, "\n");
    }
}

/* ---- help ------------------------------------------------------------------------------------- */

static void print_default(struct buf *out, const struct row *r, const char *unset)
{
    char text[32];
    if (row_is_list(r))
        buf_puts(out, unset);
    else if (r->type == ROW_BOOL)
        buf_puts(out, r->def != 0 ? "true" : "false");
    else if (r->type == ROW_INT || r->type == ROW_REAL) {
        real_print(text, r->def);
        buf_puts(out, text);
    } else
        buf_puts(out, r->def_text && r->def_text[0] ? r->def_text : unset);
}

static void print_allowed(struct buf *out, const struct row *r)
{
    char lo[32], hi[32];
    real_print(lo, r->lo);
    real_print(hi, r->hi);
    switch (r->type) {
    case ROW_INT:
        buf_printf(out, "whole number, %s to %s", lo, hi);
        break;
    case ROW_REAL:
        buf_printf(out, "number, %s to %s", lo, hi);
        break;
    case ROW_BOOL:
        buf_puts(out, "true, false");
        break;
    case ROW_TEXT:
        buf_printf(out, "text, at most %.0f bytes", r->hi);
        break;
    case ROW_PATH:
        buf_puts(out, "path");
        break;
    case ROW_ENUM:
        enum_print(out, r->list, ", ");
        break;
    case ROW_TEXTS:
        buf_printf(out, "list of texts, at most %.0f", r->hi);
        break;
    case ROW_PATHS:
        buf_printf(out, "list of paths, at most %.0f", r->hi);
        break;
    case ROW_MAPS:
        buf_printf(out, "list of maps, at most %.0f", r->hi);
        break;
    }
}

static void print_row(struct buf *out, const char *indent, const char *key, const struct row *r,
                      bool markdown)
{
    bool must = !row_is_list(r) && r->type == ROW_TEXT && !r->def_text;
    buf_printf(out, markdown ? "| %s`%s` | " : "  %s%s  ", indent, key);
    print_default(out, r, must ? "must be given" : row_is_list(r) ? "none" : "not set");
    buf_puts(out, markdown ? " | " : "  (");
    print_allowed(out, r);
    buf_printf(out, markdown ? " | %s |\n" : ")\n      %s\n", r->help);
}

static void print_rows(struct buf *out, const char *group, bool markdown)
{
    if (markdown)
        buf_puts(out, "| key | default | allowed | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < CONFIG_ROWS; i++) {
        const struct row *r = &config_rows[i];
        if (group ? !row_in_group(r->key, group) : strchr(r->key, '.') != NULL)
            continue;
        print_row(out, "", r->key, r, markdown);
        for (int f = 0; f < r->nfields; f++) {
            char name[CONFIG_KEY_MAX];
            snprintf(name, sizeof name, "%s[].%s", r->key, r->fields[f].key);
            print_row(out, "", name, &r->fields[f], markdown);
        }
    }
}

static const char intro_markdown[] =
    "# Configuration of espalierd\n"
    "\n"
    "<!-- Made from daemon/config/config.def by `espalierd config help --markdown`; a test "
    "compares. "
    "-->\n"
    "\n"
    "Normative. The daemon reads one file, YAML in UTF-8: the one of `--config FILE`, else\n"
    "`$XDG_CONFIG_HOME/espalier/espalierd.yaml` (`~/.config` without the variable), else\n"
    "`/etc/espalier/espalierd.yaml`, else none. Defaults < file < command line. Every key is an "
    "option "
    "too:\n"
    "dots and underscores become `-`, a unit at the end is left out (`stop_term_s` is "
    "`--stop-term S`); an\n"
    "option of a list may be given several times, and together they replace the file's list; a map "
    "is\n"
    "written `--nodes '{host: a, cores: 8}'`. Keys are nested (`metrics:` and `listen: ...` below "
    "it) "
    "or\n"
    "dotted. Relative paths start at the file's folder, on the command line at the working "
    "directory. "
    "All\n"
    "faults are told at once, with line, column and the nearest known key, and the daemon does not "
    "start.\n"
    "\n"
    "    espalierd config check             # is the file right?\n"
    "    espalierd config show --origin     # what is in force, and which file or option said so\n"
    "    espalierd config example           # a file with every key as a comment\n"
    "\n"
    "`config` takes the daemon's own options. A change takes effect at the next start; running "
    "jobs "
    "go on.\n";

static const char intro_text[] =
    "The daemon's configuration: YAML, keys nested or dotted; every key is an option too.\n"
    "Each key: name, default, what is allowed, meaning.\n";

void config_help(struct buf *out, bool markdown)
{
    buf_puts(out, markdown ? intro_markdown : intro_text);
    buf_puts(out, "\n");
    print_rows(out, NULL, markdown);
    for (const struct config_section *s = config_sections; s->key; s++) {
        buf_printf(out, markdown ? "\n## %s\n\n%s.\n\n" : "\n%s: %s\n", s->key, s->help);
        print_rows(out, s->key, markdown);
    }
}

/* ---- options and example ---------------------------------------------------------------------- */

#define HELP_WIDTH 92

void config_option_help(struct buf *out)
{
    static const char indent[] = "                          ";
    for (int i = 0; i < CONFIG_ROWS; i++) {
        const struct row *r = &config_rows[i];
        char name[64], left[128];
        struct buf help;
        config_option_name((enum config_row)i, name);
        snprintf(left, sizeof left, "--%s %s", name, config_option_value((enum config_row)i));
        buf_init(&help, 4096);
        buf_puts(&help, r->help);
        if (!row_is_list(r) && !(r->type >= ROW_TEXT && r->type <= ROW_PATH && !r->def_text[0])) {
            buf_puts(&help, " (default ");
            print_default(&help, r, "");
            buf_puts(&help, ")");
        }
        buf_printf(out, "  %-22s  ", left);
        if (strlen(left) > 22)
            buf_printf(out, "\n%s", indent);
        wrap_print(out, HELP_WIDTH, indent, buf_str(&help));
        buf_puts(out, "\n");
        buf_fini(&help);
    }
}

static void example_row(struct buf *out, const struct row *r)
{
    buf_puts(out, "\n# ");
    wrap_print(out, HELP_WIDTH, "# ", r->help);
    buf_printf(out, "\n#%s:", r->key);
    if (r->type == ROW_MAPS) {
        buf_puts(out, " [{");
        for (int f = 0; f < r->nfields; f++) {
            buf_printf(out, "%s%s: ", f ? ", " : "", r->fields[f].key);
            print_default(out, &r->fields[f], "NAME");
        }
        buf_puts(out, "}]\n");
        return;
    }
    buf_puts(out, " ");
    print_default(out, r, row_is_list(r) ? "[]" : "\"\"");
    buf_puts(out, "\n");
}

void config_example(struct buf *out)
{
    buf_puts(out,
             "# Configuration of espalierd; what is a comment here is at its default.\n"
             "# `espalierd config check` reads it, `espalierd config show --origin` says what is "
             "in force.\n");
    for (int i = 0; i < CONFIG_ROWS; i++)
        example_row(out, &config_rows[i]);
}

void config_print_findings(const struct config_source *s, const struct term *t, struct buf *out)
{
    for (int i = 0; i < s->file_findings.n; i++)
        finding_print(out, t, s->file, &s->file_findings.list[i]);
    for (int i = 0; i < s->option_findings.n; i++)
        finding_print(out, t, "command line", &s->option_findings.list[i]);
}
