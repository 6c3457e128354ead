/* completion.c - completions of bash and zsh; see manual.h.
 *
 * What follows an option or stands as an argument is told from how help names it ("FILE", "ID", "STATE"): one list of
 * kinds for both shells. Ids of jobs are asked of the daemon, with a second's patience.
 */
#include "client/manual.h"

#include "client/commands.h"
#include "jobfile/jobfile.h"

#include <string.h>

/* How help names a value -> the words it can be. */
static const struct {
    const char *name, *words;
} kinds[] = {
    {"WHEN", "auto always never"},
    {"LEVEL", "debug info warn error"},
    {"ROLE", "user operator read-only"},
    {"SHELL", "bash zsh"},
    {"KIND", "state progress metric structure checkpoint note phase_done"},
};

static bool is_file(const char *name)
{
    return !strcmp(name, "FILE") || !strcmp(name, "DIR") || !strcmp(name, "PATH") ||
           !strcmp(name, "ADDR");
}

/* "STATE": the names in job.proto without their prefix, as `jobs --state` takes them. */
static void put_states(struct buf *out)
{
    const ProtobufCEnumDescriptor *e = &espalier__v1__job_state__descriptor;
    for (unsigned i = 0; i < e->n_values; i++) {
        const char *name = e->values[i].name + strlen("JOB_STATE_");
        if (e->values[i].value == 0)
            continue;
        buf_puts(out, out->len && out->data[out->len - 1] == '"' ? "" : " ");
        for (const char *c = name; *c; c++) {
            char small = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
            buf_add(out, &small, 1);
        }
    }
}

static void put_keys(struct buf *out)
{
    for (int i = 0; jobfile_key_at(i); i++)
        buf_printf(out, "%s%s=", i ? " " : "", jobfile_key_at(i));
}

static const char *words_of(const char *value)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].name, value))
            return kinds[i].words;
    return NULL;
}

/* One way to call a command, as its usage tells it: "get ID NAME [-o FILE]" -> {"get", "ID"}. */
struct form {
    char word[16];     /* what comes first; "" = nothing, or "[show]": may be left out */
    char argument[16]; /* what follows it: "ID", "FILE"; "" = nothing that is known */
};

#define FORMS_MAX 8

static size_t take(char ret[16], const char *from, const char *letters)
{
    size_t n = strspn(from, letters);
    size_t kept = n < 15 ? n : 15;
    memcpy(ret, from, kept);
    ret[kept] = '\0';
    return n;
}

static const char small[] = "abcdefghijklmnopqrstuvwxyz", large[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

static void read_form(const char *usage, struct form *f)
{
    usage += take(f->word, usage, small);
    usage += strspn(usage, " ");
    take(f->argument, usage, large);
}

/* Of the usage's alternatives (a bar that stands in no brackets); a word that may be left out makes two of one. */
static int forms_of(const struct command *c, struct form forms[FORMS_MAX])
{
    int n = 0, depth = 0;
    const char *at = c->usage;
    if (!strcmp(c->name, "help")) { /* "[COMMAND | job-file | exit-codes]" */
        forms[0] = (struct form){"", "COMMAND"};
        return 1;
    }
    if (*at == '[' && strchr(small, at[1])) {
        char word[16];
        size_t len = take(word, at + 1, small);
        at += len + 2 + strspn(at + len + 2, " ");
        read_form(at, &forms[n]);
        memcpy(forms[n++].word, word, sizeof word);
    }
    read_form(at, &forms[n++]);
    for (; *at && n < FORMS_MAX; at++) {
        depth += (*at == '[') - (*at == ']');
        if (depth || strncmp(at, " | ", 3) != 0)
            continue;
        read_form(at + 3, &forms[n]);
        n += strcmp(forms[n].word, forms[n - 1].word) !=
             0; /* "diff ID A B | diff ID:A ID2:B" is one */
    }
    return n;
}

/* ---- bash ------------------------------------------------------------------------------------- */

static void bash_options(struct buf *out, const struct option_row *table)
{
    for (const struct option_row *o = table; o && o->name; o++) {
        buf_printf(out, " --%s", o->name);
        if (o->letter)
            buf_printf(out, " -%c", o->letter);
    }
}

/* "--name|-n) kind" for every option with a value. */
static void bash_values(struct buf *out, const char *command, const struct option_row *table)
{
    for (const struct option_row *o = table; o && o->name; o++) {
        if (!o->value)
            continue;
        buf_printf(out, "        %s:--%s", command, o->name);
        if (o->letter)
            buf_printf(out, " | %s:-%c", command, o->letter);
        buf_printf(out, ") kind='%s' ;;\n", o->value);
    }
}

static const char bash_head[] =
    "# bash completion for espalier, made from its table of commands: espalier help --completion "
    "bash\n"
    "# shellcheck shell=bash disable=SC2207\n"
    "\n"
    "_espalier_ids() {\n"
    "    local -a ask=(\"${COMP_WORDS[0]}\" jobs --ids --limit 100)\n"
    "    [ -n \"$1\" ] && ask+=(--server \"$1\")\n"
    "    timeout 1 \"${ask[@]}\" 2>/dev/null\n"
    "    echo last\n"
    "}\n"
    "\n"
    "# _espalier_kind NAME SERVER: the words that a value of this name can be\n"
    "_espalier_kind() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]}\n"
    "    case $1 in\n"
    "    DIR) COMPREPLY=($(compgen -d -- \"$cur\")) && compopt -o filenames 2>/dev/null ;;\n"
    "    FILE | PATH | ADDR) COMPREPLY=($(compgen -f -- \"$cur\")) && compopt -o filenames "
    "2>/dev/null ;;\n"
    "    ID) COMPREPLY=($(compgen -W \"$(_espalier_ids \"$2\")\" -- \"$cur\")) ;;\n";

static const char bash_walk[] =
    "_espalier() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command='' word='' server='' kind='' options='' argument='' i\n"
    "    COMPREPLY=()\n"
    "    # bash makes words of their own of = and :, so --server=unix:/s is five\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n"
    "        --server)\n"
    "            [ \"${COMP_WORDS[i + 1]}\" = = ] && ((i++))\n"
    "            server=${COMP_WORDS[++i]}\n"
    "            while [ \"${COMP_WORDS[i + 1]}\" = : ]; do\n"
    "                server+=:${COMP_WORDS[i + 2]}\n"
    "                ((i += 2))\n"
    "            done\n"
    "            ;;\n"
    "        ";

static const char bash_walk_on[] = ")\n"
                                   "            [ \"${COMP_WORDS[i + 1]}\" = = ] && ((i++))\n"
                                   "            ((i++))\n"
                                   "            ;;\n"
                                   "        -*) ;;\n"
                                   "        *)\n"
                                   "            if [ -z \"$command\" ]; then\n"
                                   "                command=${COMP_WORDS[i]}\n"
                                   "            elif [ -z \"$word\" ]; then\n"
                                   "                word=${COMP_WORDS[i]}\n"
                                   "            fi\n"
                                   "            ;;\n"
                                   "        esac\n"
                                   "    done\n";

static const char bash_tail[] =
    "    if [ -n \"$kind\" ]; then\n"
    "        _espalier_kind \"$kind\" \"$server\"\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
    "    elif [ -z \"$command\" ]; then\n"
    "        COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))\n"
    "    else\n"
    "        [ -n \"$argument\" ] && _espalier_kind \"$argument\" \"$server\"\n"
    "        COMPREPLY+=($(compgen -W \"$words\" -- \"$cur\"))\n"
    "    fi\n"
    "}\n"
    "\n"
    "complete -F _espalier espalier\n";

/* "--a | --b": the global options whose value is no command. */
static void bash_skipped(struct buf *out)
{
    const char *between = "";
    for (const struct option_row *o = global_options; o->name; o++)
        if (o->value && strcmp(o->name, "server") != 0) {
            buf_printf(out, "%s--%s", between, o->name);
            between = " | ";
        }
}

static void bash_kinds(struct buf *out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        buf_printf(out, "    %s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")) ;;\n", kinds[i].name,
                   kinds[i].words);
    buf_puts(out, "    *\\|*) COMPREPLY=($(compgen -W \"${1//|/ }\" -- \"$cur\")) ;;\n");
    buf_puts(out, "    STATE) COMPREPLY=($(compgen -W \"");
    put_states(out);
    buf_puts(out, "\" -- \"$cur\")) ;;\n    'KEY=VALUE')\n        COMPREPLY=($(compgen -W \"");
    put_keys(out);
    buf_puts(
        out,
        "\" -- \"$cur\"))\n        compopt -o nospace 2>/dev/null\n        ;;\n"
        "    COMMAND) COMPREPLY=($(compgen -W \"$commands job-file exit-codes\" -- \"$cur\")) ;;\n"
        "    esac\n}\n\n");
}

/* The options of a command, and what its argument is, which its first word may decide. */
static void bash_case(struct buf *out, const struct command *c)
{
    static const struct option_row none[] = {{0, NULL, NULL, NULL}};
    struct form forms[FORMS_MAX];
    int n = forms_of(c, forms), words = 0;
    buf_printf(out, "    %s)\n        options='", c->name);
    bash_options(out, c->options ? c->options : none);
    buf_printf(out, "'\n        argument='%s'\n",
               forms[n - 1].word[0] ? "" : forms[n - 1].argument);
    for (int i = 0; i < n; i++)
        words += forms[i].word[0] != '\0';
    if (words) {
        buf_puts(out, "        case $word in\n");
        for (int i = 0; i < n; i++)
            if (forms[i].word[0])
                buf_printf(out, "        %s) argument='%s' ;;\n", forms[i].word, forms[i].argument);
        buf_puts(out, "        '') words='");
        for (int i = 0; i < n; i++)
            buf_printf(out, "%s%s", i && forms[i].word[0] ? " " : "", forms[i].word);
        buf_puts(out, "'");
        for (int i = 0; i < n; i++)
            if (!forms[i].word[0])
                buf_printf(out, " argument='%s'", forms[i].argument);
        buf_puts(out, " ;;\n        esac\n");
    }
    buf_puts(out, "        ;;\n");
}

void completion_bash(struct buf *out)
{
    buf_puts(out, bash_head);
    bash_kinds(out);
    buf_puts(out, bash_walk);
    bash_skipped(out);
    buf_puts(out, bash_walk_on);
    buf_puts(out, "    local words='' commands=\"");
    for (int i = 0; command_at(i); i++)
        buf_printf(out, "%s%s", i ? " " : "", command_at(i)->name);
    buf_puts(out, "\"\n    case $command in\n");
    for (int i = 0; command_at(i); i++)
        bash_case(out, command_at(i));
    buf_puts(out, "    esac\n    options+='");
    bash_options(out, global_options);
    buf_puts(out, "'\n    case $command:$prev in\n");
    for (int i = 0; command_at(i); i++)
        bash_values(out, command_at(i)->name, command_at(i)->options);
    bash_values(out, "*", global_options);
    buf_puts(out, "    esac\n");
    buf_puts(out, bash_tail);
}

/* ---- zsh -------------------------------------------------------------------------------------- */

/* Inside single quotes and an option's brackets. */
static void zsh_text(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\'')
            buf_puts(out, "'\\''");
        else if (strchr("[]:\\", *c))
            buf_printf(out, "\\%c", *c);
        else
            buf_add(out, c, 1);
    }
}

/* ":name:action" of a value or an argument. */
static void zsh_action(struct buf *out, const char *name)
{
    const char *words = words_of(name);
    buf_puts(out, ":");
    zsh_text(out, name);
    buf_puts(out, ":");
    if (words)
        buf_printf(out, "(%s)", words);
    else if (strchr(name, '|')) {
        buf_puts(out, "(");
        for (const char *c = name; *c; c++)
            buf_add(out, *c == '|' ? " " : c, 1);
        buf_puts(out, ")");
    } else if (!strcmp(name, "STATE")) {
        buf_puts(out, "(");
        put_states(out);
        buf_puts(out, ")");
    } else if (!strcmp(name, "KEY=VALUE"))
        buf_puts(out, "_espalier_keys");
    else if (!strcmp(name, "ID"))
        buf_puts(out, "_espalier_ids");
    else if (!strcmp(name, "COMMAND"))
        buf_puts(out, "_espalier_commands");
    else if (!strcmp(name, "DIR"))
        buf_puts(out, "_files -/");
    else if (is_file(name))
        buf_puts(out, "_files");
    else
        buf_puts(out, " ");
}

static void zsh_options(struct buf *out, const struct option_row *table)
{
    for (const struct option_row *o = table; o && o->name; o++)
        for (int letter = 0; letter < (o->letter ? 2 : 1); letter++) {
            if (letter)
                buf_printf(out, " \\\n            '*-%c", o->letter);
            else
                buf_printf(out, " \\\n            '*--%s", o->name);
            buf_puts(out, "[");
            zsh_text(out, o->help);
            buf_puts(out, "]");
            if (o->value)
                zsh_action(out, o->value);
            buf_puts(out, "'");
        }
}

static void zsh_commands(struct buf *out)
{
    buf_puts(out, "_espalier_commands() {\n    local -a commands=(\n");
    for (int i = 0; command_at(i); i++) {
        buf_printf(out, "        '%s:", command_at(i)->name);
        zsh_text(out, command_at(i)->summary);
        buf_puts(out, "'\n");
    }
    buf_puts(out, "    )\n    _describe command commands\n}\n\n");
}

static void zsh_case(struct buf *out, const struct command *c)
{
    struct form forms[FORMS_MAX];
    int n = forms_of(c, forms), words = 0;
    const char *argument = "";
    buf_printf(out, "    %s)\n        _arguments -s", c->name);
    zsh_options(out, c->options);
    zsh_options(out, global_options);
    for (int i = 0; i < n; i++) {
        words += forms[i].word[0] != '\0';
        argument = forms[i].argument[0] && !argument[0] ? forms[i].argument : argument;
    }
    if (words) {
        buf_puts(out, " \\\n            '1:what:(");
        for (int i = 0; i < n; i++)
            buf_printf(out, "%s%s", i ? " " : "", forms[i].word);
        buf_puts(out, ")'");
    }
    if (argument[0]) {
        buf_printf(out, " \\\n            '%s", words || c->max_args > 1 ? "*" : "1");
        zsh_action(out, argument);
        buf_puts(out, "'");
    }
    buf_puts(out, "\n        ;;\n");
}

void completion_zsh(struct buf *out)
{
    buf_puts(out, "#compdef espalier\n"
                  "# zsh completion for espalier, made from its table of commands: espalier help "
                  "--completion zsh\n"
                  "\n"
                  "_espalier_ids() {\n"
                  "    local -a ids=(${(f)\"$(timeout 1 espalier jobs --ids --limit 100 "
                  "${opt_args[--server]:+--server} ${opt_args[--server]} 2>/dev/null)\"} last)\n"
                  "    compadd -a ids\n"
                  "}\n"
                  "\n"
                  "_espalier_keys() {\n"
                  "    local -a keys=(");
    put_keys(out);
    buf_puts(out, ")\n    compadd -S '' -a keys\n}\n\n");
    zsh_commands(out);
    buf_puts(out, "_espalier() {\n"
                  "    local curcontext=$curcontext state line\n"
                  "    typeset -A opt_args\n"
                  "    _arguments -C");
    zsh_options(out, global_options);
    buf_puts(out, " \\\n            '1:command:_espalier_commands' '*::argument:->argument'\n"
                  "    [[ $state == argument ]] || return\n"
                  "    case $words[1] in\n");
    for (int i = 0; command_at(i); i++)
        zsh_case(out, command_at(i));
    buf_puts(out, "    esac\n}\n\n_espalier \"$@\"\n");
}
