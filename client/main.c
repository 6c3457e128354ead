/* main.c - `espalier`: finds the command, parses its arguments by its table, runs it. */
#include "client/commands.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command *const table[] = {
    &command_submit,  &command_plan,   &command_jobs,    &command_show,       &command_watch,
    &command_wait,    &command_logs,   &command_events,  &command_metrics,    &command_cancel,
    &command_pause,   &command_resume, &command_hold,    &command_release,    &command_retry,
    &command_resolve, &command_update, &command_rm,      &command_structure,  &command_ckpt,
    &command_pull,    &command_data,   &command_explain, &command_nodes,      &command_doctor,
    &command_ping,    &command_token,  &command_version, &command_help_topic,
};

const struct command *command_at(int i)
{
    return i < (int)(sizeof table / sizeof *table) ? table[i] : NULL;
}

const struct command *command_find(const char *name)
{
    for (int i = 0; command_at(i); i++)
        if (!strcmp(table[i]->name, name))
            return table[i];
    return NULL;
}

static bool takes_value(const char *option)
{
    for (const struct option_row *o = global_options; o->name; o++)
        if (o->value && !strncmp(option, "--", 2) && !strcmp(option + 2, o->name))
            return true;
    return false;
}

/* Options before the command; *at ends on the command's name or argc. */
static enum status leading_options(struct args *ret_args, int argc, char **argv, int *at,
                                   struct err *err)
{
    const struct option_row *const tables[] = {global_options, NULL};
    int end = 1;
    while (end < argc && argv[end][0] == '-' && argv[end][1]) {
        bool value = !strchr(argv[end], '=') && takes_value(argv[end]);
        end += value && end + 1 < argc ? 2 : 1;
    }
    *at = end;
    return args_parse(ret_args, tables, end - 1, argv + 1, err);
}

static enum status apply_globals(struct cli *cli, const struct args *a, struct err *err)
{
    static const char *const choices[] = {"auto", "always", "never"};
    const char *colour = args_value(a, "color", NULL);
    cli->server = args_value(a, "server", cli->server);
    cli->ca = args_value(a, "ca", cli->ca);
    cli->cert = args_value(a, "cert", cli->cert);
    cli->key = args_value(a, "key", cli->key);
    cli->munge |= args_flag(a, "munge");
    if (!colour)
        return ST_OK;
    for (int i = 0; i < 3; i++)
        if (!strcmp(colour, choices[i])) {
            term_init(&cli->out, STDOUT_FILENO, (enum term_colour)i);
            term_init(&cli->err, STDERR_FILENO, (enum term_colour)i);
            return ST_OK;
        }
    return err_set(err, ST_INVALID, "--color expects auto, always or never, got '%s'", colour);
}

static int show_help(struct cli *cli, const struct command *command)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    if (command)
        command_help(&text, &cli->out, command);
    else
        overview(&text, &cli->out);
    int code = cli_print(cli, &text);
    buf_fini(&text);
    return code;
}

static int usage_error(struct cli *cli, const struct command *c, const struct err *err)
{
    int code = cli_fail(cli, err);
    cli_note(cli, "usage: espalier %s%s%s", c->name, c->usage[0] ? " " : "", c->usage);
    return code;
}

static enum status check_count(const struct command *c, const struct args *a, struct err *err)
{
    if (a->npositionals < c->min_args)
        return err_set(err, ST_INVALID, "`%s` needs %s", c->name,
                       c->min_args == 1 ? "an argument" : "more arguments");
    if (a->npositionals > c->max_args)
        return err_set(err, ST_INVALID, "`%s` does not know what to do with '%.80s'", c->name,
                       a->positional[c->max_args]);
    return ST_OK;
}

static bool asks_for_help(const struct command *c, int argc, char **argv)
{
    int last = c->raw && argc > 1 ? 1 : argc;
    for (int i = 0; i < last && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

/* argv without the command's name. */
static int run_command(struct cli *cli, const struct command *c, int argc, char **argv)
{
    static const struct option_row none[] = {{0, NULL, NULL, NULL}};
    const struct option_row *const tables[] = {c->options ? c->options : none, global_options,
                                               NULL};
    struct args args = {0};
    struct err err;
    if (asks_for_help(c, argc, argv))
        return show_help(cli, c);
    if (c->raw) {
        for (int i = 0; i < argc && i < ARGS_MAX; i++)
            args.positional[args.npositionals++] = argv[i];
        return c->run(cli, &args);
    }
    if (args_parse(&args, tables, argc, argv, &err) || apply_globals(cli, &args, &err) ||
        check_count(c, &args, &err))
        return usage_error(cli, c, &err);
    cli->json = args_flag(&args, "json");
    return c->run(cli, &args);
}

static const char *command_name(int i, const void *list)
{
    (void)list;
    return command_at(i) ? command_at(i)->name : NULL;
}

/* What other systems call it. */
static const char *command_elsewhere(const char *name)
{
    static const char *const words[][2] = {
        {"ps", "jobs"},       {"ls", "jobs"},        {"list", "jobs"},     {"squeue", "jobs"},
        {"queue", "jobs"},    {"sbatch", "submit"},  {"run", "submit"},    {"start", "submit"},
        {"status", "show"},   {"info", "show"},      {"describe", "show"}, {"top", "watch"},
        {"tail", "logs"},     {"attach", "watch"},   {"kill", "cancel"},   {"stop", "cancel"},
        {"abort", "cancel"},  {"scancel", "cancel"}, {"delete", "rm"},     {"remove", "rm"},
        {"restart", "retry"}, {"requeue", "retry"},  {"sinfo", "nodes"},   {"download", "pull"},
        {"fetch", "pull"},    {"check", "plan"},     {"validate", "plan"}, {"why", "explain"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i][0], name))
            return words[i][1];
    return NULL;
}

static int unknown_command(struct cli *cli, const char *name)
{
    struct err err;
    const char *near = command_elsewhere(name);
    near = near ? near : nearest_word(name, command_name, NULL);
    err_set(&err, ST_INVALID, "unknown command '%.40s'%s%s%s", name,
            near ? "; did you mean `espalier " : "; `espalier help` lists them", near ? near : "",
            near ? "`?" : "");
    return cli_fail(cli, &err);
}

static int espalier(struct cli *cli, int argc, char **argv)
{
    struct args globals;
    struct err err;
    int at = 1;
    if (leading_options(&globals, argc, argv, &at, &err) || apply_globals(cli, &globals, &err))
        return cli_fail(cli, &err);
    if (args_flag(&globals, "version"))
        return run_command(cli, &command_version, 0, NULL);
    if (at == argc || args_flag(&globals, "help"))
        return show_help(cli, NULL);
    const struct command *command = command_find(argv[at]);
    return command ? run_command(cli, command, argc - at - 1, argv + at + 1)
                   : unknown_command(cli, argv[at]);
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    setlocale(LC_CTYPE, "");
    term_init(&cli.out, STDOUT_FILENO, COLOUR_AUTO);
    term_init(&cli.err, STDERR_FILENO, COLOUR_AUTO);
    int code = espalier(&cli, argc, argv);
    cli_disconnect(&cli);
    return code;
}
