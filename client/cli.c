/* cli.c - see cli.h: output and failure. */
#include "client/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_note(struct cli *cli, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct buf out;
    buf_init(&out, 8192);
    term_style(&out, &cli->err, STYLE_BOLD, "espalier:");
    buf_puts(&out, " ");
    term_wrap(&out, &cli->err, 2, text);
    buf_puts(&out, "\n");
    term_write(&cli->err, buf_str(&out), out.len, NULL);
    buf_fini(&out);
}

int cli_fail(struct cli *cli, const struct err *err)
{
    cli_note(cli, "%s", err->text);
    return status_exit_code(err->code);
}

int cli_print(struct cli *cli, const struct buf *text)
{
    struct err err;
    enum status st = buf_ok(text) ? term_write(&cli->out, buf_str(text), text->len, &err)
                                  : err_set(&err, ST_NOMEM, "the output is too large");
    return st == ST_OK ? 0 : cli_fail(cli, &err);
}

int cli_print_table(struct cli *cli, struct table *t)
{
    struct buf text;
    buf_init(&text, 16 << 20);
    table_print(t, &cli->out, &text);
    int code = cli_print(cli, &text);
    buf_fini(&text);
    table_fini(t);
    return code;
}

int cli_print_json(struct cli *cli, struct json_object *object)
{
    struct buf text;
    struct err err;
    if (!object) {
        err_set(&err, ST_NOMEM, "out of memory for the JSON output");
        return cli_fail(cli, &err);
    }
    int style = JSON_C_TO_STRING_NOSLASHESCAPE | (cli->out.tty ? JSON_C_TO_STRING_PRETTY : 0);
    buf_init(&text, 1u << 30);
    buf_puts(&text, json_object_to_json_string_ext(object, style));
    buf_puts(&text, "\n");
    int code = cli_print(cli, &text);
    buf_fini(&text);
    json_object_put(object);
    return code;
}

/* ---- verbs of a command ---------------------------------------------------------------------- */

const struct verb *verb_find(const struct verb *verbs, const char *name)
{
    while (verbs->name && strcmp(verbs->name, name) != 0)
        verbs++;
    return verbs->name ? verbs : NULL;
}

static void unknown_verb(const char *command, const struct verb *verbs, const char *name,
                         struct err *err)
{
    struct buf list;
    buf_init(&list, 1024);
    for (const struct verb *v = verbs; v->name; v++)
        buf_printf(&list, "%s%s", v == verbs ? "" : v[1].name ? ", " : " and ", v->name);
    err_set(err, ST_INVALID, "unknown `%s %.40s`; there are %s", command, name, buf_str(&list));
    buf_fini(&list);
}

int verb_run(struct cli *cli, const struct args *args, const char *command,
             const struct verb *verbs)
{
    struct err err;
    const struct verb *v = verb_find(verbs, args->positional[0]);
    if (v && args->npositionals >= v->least && args->npositionals <= v->most)
        return v->run(cli, args);
    if (v)
        err_set(&err, ST_INVALID, "`%s %s` needs %s", command, v->name, v->needs);
    else
        unknown_verb(command, verbs, args->positional[0], &err);
    return cli_fail(cli, &err);
}
