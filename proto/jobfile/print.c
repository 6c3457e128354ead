/* print.c - the other readers of the schema: the effective job file, help, and the document. */
#include "base/roff.h"
#include "jobfile/parse.h"

#include <stdio.h>
#include <string.h>

/* ---- the effective job file ------------------------------------------------------------------ */

static void print_value(const struct jobfile *job, int key, struct buf *out)
{
    struct jobfile *j = (struct jobfile *)job;
    char text[32];
    switch (schema_keys[key].type) {
    case TYPE_INT:
        buf_printf(out, "%lld", (long long)effective_int(job, key));
        break;
    case TYPE_REAL:
        real_print(text, *key_real(j, key));
        buf_puts(out, text);
        break;
    case TYPE_BOOL:
        buf_puts(out, *key_bool(j, key) ? "true" : "false");
        break;
    case TYPE_ENUM:
        enum_name(schema_keys[key].list, *key_enum(j, key), text);
        buf_puts(out, text);
        break;
    case TYPE_TEXT:
    case TYPE_PATH:
        quoted_print(out, *key_text(j, key));
        break;
    }
}

void jobfile_print(const struct jobfile *job, struct buf *out)
{
    char open[JOBFILE_KEY_MAX] = ""; /* the group that the last key lay in */
    for (int i = 0; i < KEY_COUNT; i++) {
        const char *key = schema_keys[i].key;
        int depth = 0;
        /* Headings of the groups that this key is the first of. */
        for (const char *dot = strchr(key, '.'), *from = key; dot;
             from = dot + 1, dot = strchr(from, '.'), depth++) {
            char group[JOBFILE_KEY_MAX];
            snprintf(group, sizeof group, "%.*s", (int)(dot - key), key);
            if (strcmp(open, group) != 0 && !schema_in_group(open, group))
                buf_printf(out, "%*s%.*s:\n", 2 * depth, "", (int)(dot - from), from);
        }
        const char *leaf = strrchr(key, '.');
        snprintf(open, sizeof open, "%.*s", leaf ? (int)(leaf - key) : 0, key);
        buf_printf(out, "%*s%s: ", 2 * depth, "", leaf ? leaf + 1 : key);
        print_value(job, i, out);
        buf_puts(out, "\n");
    }
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_default(struct buf *out, const struct key *k)
{
    char text[32];
    if (k->type == TYPE_BOOL)
        buf_puts(out, k->def != 0 ? "true" : "false");
    else if (k->def_text)
        buf_puts(out, k->def_text[0] ? k->def_text : "not set");
    else {
        real_print(text, k->def);
        buf_puts(out, text);
    }
}

static void print_allowed(struct buf *out, const struct key *k, const char *bar)
{
    char lo[32], hi[32];
    real_print(lo, k->lo);
    real_print(hi, k->hi);
    switch (k->type) {
    case TYPE_INT:
        buf_printf(out, "whole number, %s to %s", lo, hi);
        break;
    case TYPE_REAL:
        buf_printf(out, "number, %s to %s", lo, hi);
        break;
    case TYPE_BOOL:
        buf_printf(out, "true%sfalse", bar);
        break;
    case TYPE_TEXT:
        buf_printf(out, "text, at most %.0f bytes", k->hi);
        break;
    case TYPE_PATH:
        buf_puts(out, "path of a file");
        break;
    case TYPE_ENUM:
        enum_print(out, k->list, bar);
        break;
    }
}

static void markdown_row(struct buf *out, const struct key *k)
{
    buf_printf(out, "| `%s` | ", k->key);
    print_default(out, k);
    buf_puts(out, " | ");
    print_allowed(out, k, ", ");
    buf_printf(out, " | %s |\n", k->help);
}

static void text_row(struct buf *out, const struct key *k)
{
    buf_printf(out, "  %-30s ", k->key);
    print_default(out, k);
    buf_puts(out, "   (");
    print_allowed(out, k, " | ");
    buf_printf(out, ")\n      %s\n", k->help);
}

static void print_rows(struct buf *out, const char *group, bool markdown)
{
    if (markdown)
        buf_puts(out, "| key | default | allowed | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < KEY_COUNT; i++) {
        const struct key *k = &schema_keys[i];
        bool here = group ? schema_in_group(k->key, group) : !strchr(k->key, '.');
        if (here)
            (markdown ? markdown_row : text_row)(out, k);
    }
}

static const char intro_markdown[] =
    "# The job file\n"
    "\n"
    "<!-- Made from proto/jobfile/schema.def by `espalier help job-file --markdown`; a test "
    "compares. "
    "-->\n"
    "\n"
    "Normative. A job file is YAML in UTF-8, at most 1 MiB: one mapping of keys, written nested\n"
    "(`train:` and `batch: 16` below it) or dotted (`train.batch: 16`). Anchors, aliases, tags, "
    "lists\n"
    "and a second document are refused. A key that is left out has its default; a key that does "
    "not\n"
    "exist, a value of the wrong type or outside its range, or a combination that cannot work is "
    "an\n"
    "error. All errors of a file are reported at once, with line, column and the nearest known "
    "key,\n"
    "before anything is queued. `--set key=value` on the command line replaces one value; the "
    "value is\n"
    "read as YAML. A number is decimal and finite; quoted, it is a text. Paths are those of the\n"
    "daemon's host; a relative one starts at the job file's folder. [paper], [kin] and [ours] say\n"
    "where a choice of the method comes from (docs/internals/method.md).\n";

static const char intro_text[] =
    "The job file: YAML, keys nested or dotted. `--set key=value` replaces one value.\n"
    "Each key: name, default, what is allowed, meaning.\n";

void jobfile_help(struct buf *out, bool markdown)
{
    buf_puts(out, markdown ? intro_markdown : intro_text);
    buf_puts(out, "\n");
    print_rows(out, NULL, markdown);
    for (int i = 0; i < schema_nsections; i++) {
        const struct section *s = &schema_sections[i];
        buf_printf(out, markdown ? "\n## %s\n\n%s.\n\n" : "\n%s: %s\n", s->key, s->help);
        print_rows(out, s->key, markdown);
    }
}

/* ---- the manual page -------------------------------------------------------------------------- */

const char *jobfile_key_at(int i)
{
    return i < KEY_COUNT ? schema_keys[i].key : NULL;
}

static void manual_row(struct buf *out, const struct key *k)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text, "%s. Default: ", k->help);
    print_default(&text, k);
    buf_puts(&text, "; allowed: ");
    print_allowed(&text, k, ", ");
    buf_puts(&text, ".");
    roff_tagged(out, k->key, NULL, buf_str(&text));
    buf_fini(&text);
}

static void manual_rows(struct buf *out, const char *group)
{
    for (int i = 0; i < KEY_COUNT; i++)
        if (group ? schema_in_group(schema_keys[i].key, group) : !strchr(schema_keys[i].key, '.'))
            manual_row(out, &schema_keys[i]);
}

void jobfile_manual(struct buf *out, const char *version)
{
    roff_begin(out, "espalier-job-file", 5, version, "what a job of espalier is told");
    roff_heading(out, "DESCRIPTION");
    roff_text(
        out,
        "A job file is YAML in UTF-8, at most 1 MiB: one mapping of keys, written nested or dotted "
        "(`train.batch: 16`). Anchors, aliases, tags, lists and a second document are refused. A "
        "key "
        "that is left out has its default. All errors of a file are told at once, with line, "
        "column "
        "and the nearest known key, before anything is queued.\n\n"
        "`espalier plan FILE` checks a file without a daemon; `--set key=value` replaces one "
        "value. "
        "Paths are those of the daemon's host; a relative one starts at the job file's folder.\n\n"
        "[paper], [kin] and [ours] mark where a choice of the method comes from.\n");
    roff_heading(out, "KEYS");
    manual_rows(out, NULL);
    for (int i = 0; i < schema_nsections; i++) {
        roff_subheading(out, schema_sections[i].key);
        roff_text(out, schema_sections[i].help);
        manual_rows(out, schema_sections[i].key);
    }
    roff_heading(out, "EXAMPLE");
    roff_text(out,
              "Pre-trains, then searches a structure with 62 % of the parameters, on two ranks:");
    roff_lines(out,
               "name: first\ndata:\n  pretrain: data/train_full.json\n  task: data/train_rec.json\n"
               "  eval: data/val_rec.json\n  vocabulary: data/vocabulary.txt\nphases:\n"
               "  pretrain:\n    steps: 2000\n  search:\n    steps: 2000\nmethod:\n"
               "  target: 0.62\nresources:\n  ranks: 2\n");
    roff_heading(out, "SEE ALSO");
    buf_puts(out, "\\fBespalier\\fR(1), \\fBespalierd\\fR(8)\n");
}
