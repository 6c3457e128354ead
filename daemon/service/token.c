/* token.c - AddToken, ListTokens, RevokeToken. Only hashes come here; the store and the guard know them alike. */
#include "base/log.h"
#include "job/change.h"
#include "loop.h"
#include "service/access.h"
#include "service/service.h"
#include "service/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill_token(V1(Token) * to, struct token *from)
{
    espalier__v1__token__init(to);
    to->name = from->name;
    to->role = (V1(Role))from->role;
    to->created_ms = from->created_ms;
    to->expires_ms = from->expires_ms;
    to->revoked_ms = from->revoked_ms;
}

/* ---- add ------------------------------------------------------------------------------------- */

static bool is_name(const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-");
    return n > 0 && n < JOB_OWNER_MAX && !text[n];
}

static enum status read_token(const V1(AddTokenRequest) * q, int64_t now_ms,
                              struct token *ret_token, struct err *err)
{
    if (!is_name(q->name))
        return err_set(err, ST_INVALID,
                       "'%.80s' is no name for a token: 1 to %d letters, digits and . _ @ -",
                       q->name, JOB_OWNER_MAX - 1);
    if ((int)q->role < ROLE_READ_ONLY || (int)q->role >= ROLES)
        return err_set(err, ST_INVALID, "role is %d; 1 read-only, 2 user and 3 operator are known",
                       (int)q->role);
    if (strlen(q->sha256) != 64 || strspn(q->sha256, "0123456789abcdef") != 64)
        return err_set(err, ST_INVALID,
                       "sha256 has %zu characters; it must be 64 hexadecimal digits, small letters",
                       strlen(q->sha256));
    if (q->expires_ms != 0 && q->expires_ms <= now_ms)
        return err_set(err, ST_INVALID, "expires_ms is %lld, which is over",
                       (long long)q->expires_ms);
    *ret_token =
        (struct token){.role = (int)q->role, .created_ms = now_ms, .expires_ms = q->expires_ms};
    snprintf(ret_token->name, sizeof ret_token->name, "%s", q->name);
    snprintf(ret_token->sha256, sizeof ret_token->sha256, "%s", q->sha256);
    return ST_OK;
}

static void send_added(struct daemon *d, struct rpc_call *call, void *arg)
{
    struct token *t = arg;
    V1(Token) out;
    V1(AddTokenReply) reply = ESPALIER__V1__ADD_TOKEN_REPLY__INIT;
    access_grant(d, t);
    log_info("%s gave %s a token with the role %s", d->caller->name, t->name,
             role_name((enum role)t->role));
    fill_token(&out, t);
    reply.token = &out;
    rpc_call_reply(call, &reply.base);
}

/* Owes the answer with a copy of the token, or fails. */
static enum status answer(struct daemon *d, struct rpc_call *call, answer_f send,
                          const struct token *token, struct err *err)
{
    struct token *copy = malloc(sizeof *copy);
    if (copy)
        *copy = *token;
    if (copy && loop_answer(d, call, send, copy, free))
        return ST_OK;
    free(copy);
    return err_set(err, ST_NOMEM, "the daemon is out of memory");
}

/* What the store refuses with a reason of its own is no failure of the group. */
static enum status group_status(struct daemon *d, enum status st, const struct err *err)
{
    bool own = st == ST_OK || st == ST_EXISTS || st == ST_NOT_FOUND ||
               (st == ST_LIMIT && !store_is_writing(d->store));
    return own ? st : group_fail(d, err);
}

enum status serve_add_token(struct daemon *d, struct rpc_call *call,
                            const V1(AddTokenRequest) * request, struct err *err)
{
    struct token token;
    TRY(read_token(request, daemon_now_ms(d), &token, err));
    TRY(group_status(d, store_token_add(d->store, &token, &token, err), err));
    return answer(d, call, send_added, &token, err);
}

/* ---- list ------------------------------------------------------------------------------------ */

struct token_list {
    struct token *token;
    size_t n;
};

static bool add_row(const struct token *token, void *user)
{
    struct token_list *list = user;
    list->token[list->n++] = *token;
    return list->n < 2 * STORE_TOKENS_MAX;
}

static void send_tokens(struct daemon *d, struct rpc_call *call, void *arg)
{
    struct err err = {ST_NOMEM, "the daemon is out of memory"};
    struct token_list list = {.token = calloc(2 * STORE_TOKENS_MAX, sizeof *list.token)};
    V1(Token) *out = calloc(2 * STORE_TOKENS_MAX, sizeof *out);
    V1(Token) **pointers = calloc(2 * STORE_TOKENS_MAX, sizeof(V1(Token) *));
    (void)arg;
    if (list.token && out && pointers && store_tokens(d->store, add_row, &list, &err) == ST_OK) {
        V1(ListTokensReply) reply = ESPALIER__V1__LIST_TOKENS_REPLY__INIT;
        for (size_t i = 0; i < list.n; i++) {
            fill_token(&out[i], &list.token[i]);
            pointers[i] = &out[i];
        }
        reply.tokens = pointers;
        reply.n_tokens = list.n;
        rpc_call_reply(call, &reply.base);
    } else {
        rpc_call_fail(call, err.code, err.text);
    }
    free(list.token);
    free(out);
    free(pointers);
}

enum status serve_list_tokens(struct daemon *d, struct rpc_call *call,
                              const V1(ListTokensRequest) * request, struct err *err)
{
    (void)request;
    if (!loop_answer_read(d, call, send_tokens, NULL, NULL))
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    return ST_OK;
}

/* ---- revoke ---------------------------------------------------------------------------------- */

static void send_revoked(struct daemon *d, struct rpc_call *call, void *arg)
{
    struct token *t = arg;
    V1(Token) out;
    V1(RevokeTokenReply) reply = ESPALIER__V1__REVOKE_TOKEN_REPLY__INIT;
    access_withdraw(d, t->name);
    streams_end_of(d, t->name, "the token was revoked");
    log_info("%s revoked the token of %s", d->caller->name, t->name);
    fill_token(&out, t);
    reply.token = &out;
    rpc_call_reply(call, &reply.base);
}

enum status serve_revoke_token(struct daemon *d, struct rpc_call *call,
                               const V1(RevokeTokenRequest) * request, struct err *err)
{
    struct token token;
    TRY(group_status(d, store_token_revoke(d->store, request->name, daemon_now_ms(d), &token, err),
                     err));
    return answer(d, call, send_revoked, &token, err);
}
