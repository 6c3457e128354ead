/* manual.c - espalierd(8), and the completion of its options; from the table, like print.c. */
#include "base/roff.h"
#include "base/text.h"
#include "config/table.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *usage, *help;
} verbs[] = {
    {"config show [--origin]",
     "Prints what is in force; with --origin, which file and line or option said so."},
    {"config check",
     "Reads file and command line, tells all faults; exit status 2 when there are some."},
    {"config help", "Every key with its default."},
    {"config example", "A file with every key as a comment."},
    {"doctor", "Checks home, disk, worker, mpirun, nodes and Slurm, also without a running daemon; "
               "exit status "
               "23 when something is at fault."},
    {"backup FILE", "Copies the job store to FILE, also while the daemon runs: one moment of it, "
                    "checked and synced."},
    {"restore FILE", "Puts such a copy in the place of the store; the daemon must be stopped. The "
                     "old store is kept "
                     "beside it."},
};

static const struct {
    const char *tag, *help;
} files[] = {
    {"/etc/espalier/espalierd.yaml, ~/.config/espalier/espalierd.yaml",
     "The configuration; the person's own comes first."},
    {"HOME/espalier.db", "The job store, SQLite, unless `store` names another file. Copy it with "
                         "`espalierd backup` only."},
    {"HOME/jobs/ID/", "A job's folder: log.txt, checkpoints, export, result.json; in attempts/N "
                      "who ran an attempt and "
                      "how it ended."},
};

static const struct {
    const char *code, *help;
} exits[] = {
    {"0", "Ended by a signal."},
    {"2", "Bad usage or configuration."},
    {"4", "Another daemon has the home or the socket."},
    {"7", "Permission denied, or a folder or file is open to others."},
    {"8", "The job store is locked or cannot be written."},
    {"11", "Input or output failed."},
    {"12", "The job store is damaged."},
    {"15", "The job store was made by a newer version."},
};

static void print_row(struct buf *out, enum config_row i)
{
    const struct row *r = &config_rows[i];
    char option[64], tag[80];
    struct buf text;
    buf_init(&text, 4096);
    config_option_name(i, option);
    snprintf(tag, sizeof tag, "--%s", option);
    buf_printf(&text, "%s. In the file: `%s`", r->help, r->key);
    if (r->type == ROW_INT || r->type == ROW_REAL) {
        char number[32];
        real_print(number, r->def);
        buf_printf(&text, " (default %s)", number);
    } else if (!row_is_list(r) && r->def_text && r->def_text[0])
        buf_printf(&text, " (default %s)", r->def_text);
    for (int f = 0; f < r->nfields; f++)
        buf_printf(&text, "%s`%s` (%s)", f ? "; " : ". Its keys: ", r->fields[f].key,
                   r->fields[f].help);
    buf_puts(&text, ".");
    roff_tagged(out, tag, config_option_value(i), buf_str(&text));
    buf_fini(&text);
}

void config_manual(struct buf *out, const char *version)
{
    roff_begin(out, "espalierd", 8, version, "coordinator of espalier's jobs");
    roff_heading(out, "SYNOPSIS");
    buf_puts(out, "\\fBespalierd\\fR [\\fIOPTIONS\\fR]\n.br\n"
                  "\\fBespalierd\\fR \\fIVERB\\fR [\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n");
    roff_heading(out, "DESCRIPTION");
    roff_text(out, "`espalierd` takes jobs over gRPC, queues them, starts their ranks, hears their "
                   "reports and "
                   "knows how they ended. It belongs to one account and runs every job as that "
                   "account; root is "
                   "not needed.\n\n"
                   "It prints \"listening on ADDRESS\" when clients may connect, logs to standard "
                   "error and tells "
                   "systemd when it is ready. SIGTERM, SIGINT or SIGHUP end it; running jobs go on "
                   "and are adopted "
                   "by the next daemon of the same home, as after a crash.\n");
    roff_heading(out, "VERBS");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        roff_tagged(out, verbs[i].usage, NULL, verbs[i].help);
    roff_heading(out, "OPTIONS");
    roff_text(
        out,
        "Defaults < file < command line. Every option is a key of the file as well, which is YAML; "
        "an option of a list may be given several times.\n");
    for (int i = 0; i < CONFIG_ROWS; i++)
        print_row(out, (enum config_row)i);
    roff_tagged(out, "--config", "FILE",
                "The configuration file; else `$XDG_CONFIG_HOME/espalier/espalierd.yaml`, else "
                "`/etc/espalier/espalierd.yaml`, else none.");
    roff_tagged(out, "--version, --help", NULL, "What they say.");
    roff_heading(out, "FILES");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        roff_tagged(out, files[i].tag, NULL, files[i].help);
    roff_heading(out, "EXIT STATUS");
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        roff_tagged(out, exits[i].code, NULL, exits[i].help);
    roff_heading(out, "SEE ALSO");
    buf_puts(out, "\\fBespalier\\fR(1), \\fBespalier\\-job\\-file\\fR(5), \\fBsystemctl\\fR(1)\n");
}

/* What a value is, for compgen. */
static const char *action(const struct row *r)
{
    return r->type == ROW_PATH || r->type == ROW_PATHS ? "-f" : "";
}

void config_completion(struct buf *out)
{
    char name[64];
    buf_puts(out, "# bash completion for espalierd, made from its table of keys\n"
                  "# shellcheck shell=bash disable=SC2207\n\n"
                  "_espalierd() {\n"
                  "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
                  "    COMPREPLY=()\n"
                  "    case $prev in\n");
    for (int i = 0; i < CONFIG_ROWS; i++) {
        const struct row *r = &config_rows[i];
        config_option_name((enum config_row)i, name);
        buf_printf(out, "    --%s) ", name);
        if (r->type == ROW_ENUM) {
            buf_puts(out, "COMPREPLY=($(compgen -W \"");
            for (const char *c = r->list; *c; c++)
                buf_add(out, *c == '|' ? " " : c, 1);
            buf_puts(out, "\" -- \"$cur\"))");
        } else if (*action(r))
            buf_puts(out,
                     "COMPREPLY=($(compgen -f -- \"$cur\")) && compopt -o filenames 2>/dev/null");
        else
            buf_puts(out, ":");
        buf_puts(out, " ;;\n");
    }
    buf_puts(out,
             "    --config | backup | restore)\n"
             "        COMPREPLY=($(compgen -f -- \"$cur\")) && compopt -o filenames 2>/dev/null\n"
             "        ;;\n"
             "    config) COMPREPLY=($(compgen -W \"show check help example\" -- \"$cur\")) ;;\n"
             "    *)\n"
             "        local words=\"--config --version --help");
    for (int i = 0; i < CONFIG_ROWS; i++) {
        config_option_name((enum config_row)i, name);
        buf_printf(out, " --%s", name);
    }
    buf_puts(out, "\"\n"
                  "        [ \"$COMP_CWORD\" = 1 ] && words+=\" config doctor backup restore\"\n"
                  "        [ \"${COMP_WORDS[1]}\" = config ] && words+=\" --origin --markdown\"\n"
                  "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                  "        ;;\n"
                  "    esac\n"
                  "}\n\n"
                  "complete -F _espalierd espalierd\n");
}
