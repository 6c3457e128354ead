/* cmd_token.c - `espalier token`: who may use the daemon over the network. The token is made here, and only its hash is
 * sent: the daemon could not give it away if it wanted to. */
#include "client/commands.h"
#include "client/message.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "term/format.h"
#include "term/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TOKEN_SIZE 65 /* 256 random bits as hexadecimal digits, and the NUL */

static const char *const roles[] = {NULL, "read-only", "user", "operator"};
#define ROLES ((int)(sizeof roles / sizeof *roles))

static int64_t now_ms(void)
{
    return clock_system()->wall_ms(clock_system());
}

static const char *role_text(Espalier__V1__Role role)
{
    return (int)role > 0 && (int)role < ROLES ? roles[role] : "?";
}

static enum status parse_role(const char *text, Espalier__V1__Role *ret_role, struct err *err)
{
    for (int i = 1; i < ROLES; i++)
        if (!strcmp(roles[i], text)) {
            *ret_role = (Espalier__V1__Role)i;
            return ST_OK;
        }
    return err_set(err, ST_INVALID, "--role expects user, operator or read-only, got '%.40s'",
                   text);
}

static enum status make_token(char ret_token[TOKEN_SIZE], struct err *err)
{
    unsigned char bytes[(TOKEN_SIZE - 1) / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_errno(err, "cannot get random bytes for a token");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(ret_token + 2 * i, 3, "%02x", bytes[i]);
    explicit_bzero(bytes, sizeof bytes);
    return ST_OK;
}

/* ---- add ------------------------------------------------------------------------------------- */

/* To the file if there is one, else to stdout, which is the only place where a token is ever shown. */
static int hand_over(struct cli *cli, const char *token, const char *file, const char *name)
{
    struct err err;
    char line[TOKEN_SIZE + 1];
    struct buf out;
    int n = snprintf(line, sizeof line, "%s\n", token), code = 0;
    buf_init(&out, 256);
    buf_add(&out, line, (size_t)n);
    if (!file)
        code = cli_print(cli, &out);
    else if (file_write_atomic(file, line, (size_t)n, 0600, &err) != ST_OK)
        code = cli_fail(cli, &err);
    if (code)
        cli_note(cli, "the token is lost; `espalier token revoke %s` and add it again", name);
    else
        cli_note(
            cli,
            "%s's token%s%s; it cannot be shown again. Keep it in ~/.config/espalier/token, mode "
            "0600",
            name, file ? " is in " : "", file ? file : "");
    explicit_bzero(line, sizeof line);
    if (out.data)
        explicit_bzero(out.data, out.len);
    buf_fini(&out);
    return code;
}

static enum status send_token(struct cli *cli, Espalier__V1__AddTokenRequest *request,
                              const char *token, struct err *err)
{
    char sha256[HASH_HEX_SIZE];
    Espalier__V1__AddTokenReply *reply = NULL;
    hash_bytes(sha256, token, strlen(token));
    request->sha256 = sha256;
    enum status st = cli_call(cli, "AddToken", &request->base,
                              &espalier__v1__add_token_reply__descriptor, CALL_MS, &reply, err);
    reply_free(reply);
    return st;
}

static int run_add(struct cli *cli, const struct args *args)
{
    struct err err;
    char token[TOKEN_SIZE];
    int64_t days = 0;
    Espalier__V1__AddTokenRequest request = ESPALIER__V1__ADD_TOKEN_REQUEST__INIT;
    request.name = (char *)args->positional[1];
    enum status st = parse_role(args_value(args, "role", "user"), &request.role, &err);
    if (st == ST_OK)
        st = args_number(args, "days", 0, 1, 36500, &days, &err);
    if (st == ST_OK)
        st = make_token(token, &err);
    if (days)
        request.expires_ms = now_ms() + days * 86400000;
    if (st == ST_OK)
        st = send_token(cli, &request, token, &err);
    int code = st == ST_OK ? hand_over(cli, token, args_value(args, "out", NULL), request.name)
                           : cli_fail(cli, &err);
    explicit_bzero(token, sizeof token);
    return code;
}

/* ---- ls -------------------------------------------------------------------------------------- */

static const struct table_column columns[] = {
    {.heading = "NAME"}, {.heading = "ROLE"},    {.heading = "STATE"},
    {.heading = "MADE"}, {.heading = "EXPIRES"},
};

static void token_row(struct table *t, const Espalier__V1__Token *k)
{
    char text[FORMAT_MAX];
    bool expired = k->expires_ms && k->expires_ms <= now_ms();
    const char *state = k->revoked_ms ? "revoked" : expired ? "expired" : "in force";
    table_cell(t, STYLE_BOLD, "%s", k->name);
    table_cell(t, STYLE_PLAIN, "%s", role_text(k->role));
    table_cell(t, k->revoked_ms || expired ? STYLE_DIM : STYLE_PLAIN, "%s", state);
    table_cell(t, STYLE_PLAIN, "%s", format_time(text, k->created_ms));
    table_cell(t, STYLE_PLAIN, "%s", k->expires_ms ? format_time(text, k->expires_ms) : "never");
}

static int print_tokens(struct cli *cli, const Espalier__V1__ListTokensReply *reply)
{
    struct table t;
    if (reply->n_tokens == 0) {
        cli_note(cli, "no tokens");
        return 0;
    }
    table_init(&t, columns, (int)(sizeof columns / sizeof *columns));
    for (size_t i = 0; i < reply->n_tokens; i++)
        token_row(&t, reply->tokens[i]);
    return cli_print_table(cli, &t);
}

static int run_ls(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__ListTokensRequest request = ESPALIER__V1__LIST_TOKENS_REQUEST__INIT;
    Espalier__V1__ListTokensReply *reply = NULL;
    (void)args;
    if (cli_call(cli, "ListTokens", &request.base, &espalier__v1__list_tokens_reply__descriptor,
                 CALL_MS, &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code;
    if (cli->json) {
        struct json_object *list = json_object_new_array();
        for (size_t i = 0; i < reply->n_tokens; i++)
            json_object_array_add(list, message_json(&reply->tokens[i]->base));
        code = cli_print_json(cli, list);
    } else {
        code = print_tokens(cli, reply);
    }
    reply_free(reply);
    return code;
}

/* ---- revoke ---------------------------------------------------------------------------------- */

static int run_revoke(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__RevokeTokenRequest request = ESPALIER__V1__REVOKE_TOKEN_REQUEST__INIT;
    Espalier__V1__RevokeTokenReply *reply = NULL;
    request.name = (char *)args->positional[1];
    if (cli_call(cli, "RevokeToken", &request.base, &espalier__v1__revoke_token_reply__descriptor,
                 CALL_MS, &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    cli_note(cli, "%s's token lets in no more", request.name);
    reply_free(reply);
    return 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run_token(struct cli *cli, const struct args *args)
{
    static const struct verb verbs[] = {{"add", 2, 2, "one name", run_add},
                                        {"ls", 1, 1, "no name", run_ls},
                                        {"revoke", 2, 2, "one name", run_revoke},
                                        {NULL, 0, 0, NULL, NULL}};
    return verb_run(cli, args, "token", verbs);
}

static const struct option_row options[] = {
    {0, "role", "ROLE",
     "add: user (default; sees and changes own jobs), operator (everything) or read-only"},
    {0, "days", "N", "add: it lets in for N days (default: until it is revoked)"},
    {0, "out", "FILE", "add: write it to FILE, mode 0600, instead of stdout"},
    {0, "json", NULL, "ls: a JSON array of tokens"},
    {0, NULL, NULL, NULL},
};

const struct command command_token = {
    .name = "token",
    .summary = "say who may use the daemon over the network",
    .usage = "add NAME [--role ROLE] [--days N] [--out FILE] | ls [--json] | revoke NAME",
    .details = "A token is what lets somebody in at a tls: address; NAME becomes the owner of the "
               "jobs submitted\n"
               "with it. `add` makes one and prints it, once: it is kept nowhere but in the hands "
               "of its bearer,\n"
               "the daemon has its hash. Operators only; whoever may open the daemon's Unix socket "
               "is one. The\n"
               "bearer puts it into ~/.config/espalier/token (or the file of "
               "$ESPALIER_TOKEN_FILE), mode 0600.\n",
    .examples = "espalier token add anna --out anna.token\n"
                "espalier token add dashboard --role read-only --days 365 >dashboard.token\n"
                "espalier token ls\n"
                "espalier token revoke anna\n"
                "espalier --server tls:head.example.org:7443 --ca ca.pem jobs\n",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .run = run_token,
};
