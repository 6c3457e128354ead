/* help.c - `espalier help`, and the help of every command, made from its descriptor. */
#include "client/commands.h"
#include "client/manual.h"

#include "jobfile/jobfile.h"

#include <stdio.h>
#include <string.h>

#define OPTION_COLUMN 28

const struct option_row global_options[] = {
    {0, "server", "ADDR",
     "the daemon: a socket's path, unix:/PATH or tls:HOST:PORT; else $ESPALIER_SERVER"},
    {0, "ca", "FILE", "trusted for tls: (else $ESPALIER_CA_FILE, else the system's CAs)"},
    {0, "cert", "FILE", "own certificate, where the daemon wants one (else $ESPALIER_CERT_FILE)"},
    {0, "key", "FILE", "and its key, mode 0600 (else $ESPALIER_KEY_FILE)"},
    {0, "munge", NULL,
     "for tls: who calls is shown by MUNGE, not by a token (also $ESPALIER_MUNGE=1)"},
    {0, "color", "WHEN", "auto (default), always or never; NO_COLOR is honoured"},
    {'h', "help", NULL, "this help"},
    {0, "version", NULL, "the version"},
    {0, NULL, NULL, NULL},
};

static void heading(struct buf *out, const struct term *t, const char *text)
{
    buf_puts(out, "\n");
    term_style(out, t, STYLE_BOLD, "%s", text);
    buf_puts(out, "\n");
}

/* Lines of a text, each indented by two. */
static void indented(struct buf *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        buf_printf(out, "  %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void print_options(struct buf *out, const struct term *t, const struct option_row *table)
{
    for (const struct option_row *o = table; o->name; o++) {
        char left[64];
        char letter[5] = "    ";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        buf_printf(out, "  %-24s  ", left);
        term_wrap(out, t, OPTION_COLUMN, o->help);
        buf_puts(out, "\n");
    }
}

/* Each way to call it on a line: they are apart by " | " outside of brackets. */
static void print_usage(struct buf *out, const struct command *c)
{
    int depth = 0;
    buf_printf(out, "  espalier %s%s", c->name, c->usage[0] ? " " : "");
    for (const char *p = c->usage; *p; p++) {
        depth += (*p == '[') - (*p == ']');
        if (depth == 0 && strncmp(p, " | ", 3) == 0) {
            buf_printf(out, "\n  espalier %s ", c->name);
            p += 2;
        } else {
            buf_add(out, p, 1);
        }
    }
    buf_puts(out, "\n");
}

void command_help(struct buf *out, const struct term *t, const struct command *c)
{
    term_style(out, t, STYLE_BOLD, "espalier %s", c->name);
    buf_printf(out, " - %s\n", c->summary);
    heading(out, t, "Usage");
    print_usage(out, c);
    if (c->details[0]) {
        buf_puts(out, "\n");
        buf_puts(out, c->details);
    }
    if (c->options) {
        heading(out, t, "Options");
        print_options(out, t, c->options);
    }
    if (!c->raw) {
        heading(out, t, "Common options");
        print_options(out, t, global_options);
    }
    if (c->examples[0]) {
        heading(out, t, "Examples");
        indented(out, c->examples);
    }
}

void overview(struct buf *out, const struct term *t)
{
    term_style(out, t, STYLE_BOLD, "espalier");
    buf_puts(out, " - train vision-language models against a frame: prune, share, fine-tune\n\n"
                  "  espalier COMMAND [ARGUMENTS]\n");
    heading(out, t, "Commands");
    for (int i = 0; command_at(i); i++)
        buf_printf(out, "  %-10s  %s\n", command_at(i)->name, command_at(i)->summary);
    heading(out, t, "Start here");
    indented(out, "espalier plan job.yaml             check a job file, see what it would do\n"
                  "espalier submit job.yaml --follow  queue it and watch it\n"
                  "espalier help submit               a command's options and examples\n"
                  "espalier help job-file             every key of a job file\n");
}

/* Pages and completions; false: not asked for. *ret_code is set when there is no such one. */
static bool made_page(struct cli *cli, const struct args *args, struct buf *text, int *ret_code)
{
    const char *shell = args_value(args, "completion", NULL);
    const char *topic = args->npositionals ? args->positional[0] : "";
    struct err err;
    if (shell && !strcmp(shell, "bash"))
        completion_bash(text);
    else if (shell && !strcmp(shell, "zsh"))
        completion_zsh(text);
    else if (shell) {
        err_set(&err, ST_INVALID, "--completion knows bash and zsh, not '%.40s'", shell);
        *ret_code = cli_fail(cli, &err);
    } else if (!args_flag(args, "man"))
        return false;
    else if (!topic[0])
        manual_print(text);
    else if (!strcmp(topic, "job-file"))
        jobfile_manual(text, ESPALIER_VERSION);
    else {
        err_set(&err, ST_NOT_FOUND,
                "no manual page on '%.40s'; there are espalier's own and job-file", topic);
        *ret_code = cli_fail(cli, &err);
    }
    return true;
}

static int run_help(struct cli *cli, const struct args *args)
{
    struct buf text;
    struct err err;
    const char *topic = args->npositionals ? args->positional[0] : "";
    bool markdown = args_flag(args, "markdown");
    const struct command *command = command_find(topic);
    buf_init(&text, 1 << 20);
    int code = 0;
    if (made_page(cli, args, &text, &code))
        ;
    else if (!topic[0])
        overview(&text, &cli->out);
    else if (command)
        command_help(&text, &cli->out, command);
    else if (!strcmp(topic, "job-file"))
        jobfile_help(&text, markdown);
    else if (!strcmp(topic, "exit-codes"))
        exits_help(&text, markdown);
    else {
        err_set(&err, ST_NOT_FOUND,
                "no help on '%.40s'; topics are the commands, job-file and exit-codes", topic);
        code = cli_fail(cli, &err);
    }
    code = code ? code : cli_print(cli, &text);
    buf_fini(&text);
    return code;
}

static const struct option_row options[] = {
    {0, "markdown", NULL, "job-file and exit-codes as the documents in docs/spec"},
    {0, "man", NULL, "the manual page instead, for man: espalier(1), or job-file's"},
    {0, "completion", "SHELL", "a completion script for bash or zsh instead"},
    {0, NULL, NULL, NULL},
};

const struct command command_help_topic = {
    .name = "help",
    .summary = "help on a command, the job file or the exit codes",
    .usage = "[COMMAND | job-file | exit-codes] [--man | --completion SHELL | --markdown]",
    .details = "",
    .examples = "espalier help submit\nespalier help job-file | less\n"
                "source <(espalier help --completion bash)\n",
    .options = options,
    .max_args = 1,
    .run = run_help,
};
