/* store_tokens.c - tokens by name and by hash. See store.h. */
#include "store/sqlite.h"

#include <stdio.h>
#include <string.h>

static void read_token(sqlite3_stmt *q, struct token *t)
{
    snprintf(t->name, sizeof t->name, "%s", store_text(q, 0));
    t->role = sqlite3_column_int(q, 1);
    snprintf(t->sha256, sizeof t->sha256, "%s", store_text(q, 2));
    t->created_ms = sqlite3_column_int64(q, 3);
    t->expires_ms = sqlite3_column_int64(q, 4);
    t->revoked_ms = sqlite3_column_int64(q, 5);
}

/* By name (in force) or by hash. ST_NOT_FOUND leaves err alone. */
static enum status load(struct store *s, enum store_statement which, const char *key,
                        struct token *ret_token, struct err *err)
{
    sqlite3_stmt *q = store_use(s, which);
    sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
    TRY(store_row(s, q, "reading a token", err));
    read_token(q, ret_token);
    sqlite3_reset(q);
    return ST_OK;
}

static enum status count_all(struct store *s, int *ret_in_force, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_TOKENS);
    int n = 0;
    enum status st;
    sqlite3_bind_int(q, 1, 2 * STORE_TOKENS_MAX);
    while ((st = sqlite3_step(q)) == SQLITE_ROW)
        n += sqlite3_column_int64(q, 5) == 0;
    if (st != SQLITE_DONE)
        return store_error(s, "reading the tokens", err);
    sqlite3_reset(q);
    *ret_in_force = n;
    return ST_OK;
}

static bool same(const struct token *a, const struct token *b)
{
    return strcmp(a->name, b->name) == 0 && a->role == b->role && a->expires_ms == b->expires_ms &&
           strcmp(a->sha256, b->sha256) == 0;
}

static enum status find_taken(struct store *s, const struct token *token, struct token *ret_token,
                              struct err *err)
{
    struct token known;
    enum status st = load(s, SQL_TOKEN_BY_HASH, token->sha256, &known, err);
    if (st == ST_OK && same(&known, token) && known.revoked_ms == 0) {
        *ret_token = known;
        return ST_OK;
    }
    if (st == ST_OK)
        return err_set(err, ST_EXISTS, "that token was given out before; make a new one");
    if (st != ST_NOT_FOUND)
        return st;
    st = load(s, SQL_TOKEN_IN_FORCE, token->name, &known, err);
    if (st == ST_OK)
        return err_set(err, ST_EXISTS, "%s has a token already; revoke that one first",
                       token->name);
    return st;
}

enum status store_token_add(struct store *s, const struct token *token, struct token *ret_token,
                            struct err *err)
{
    int in_force = 0;
    enum status st = find_taken(s, token, ret_token, err);
    if (st != ST_NOT_FOUND)
        return st;
    TRY(count_all(s, &in_force, err));
    if (in_force >= STORE_TOKENS_MAX)
        return err_set(err, ST_LIMIT, "%d tokens are in force; revoke one that is not needed",
                       in_force);
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_TOKEN_ADD);
    sqlite3_bind_text(q, 1, token->name, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, token->role);
    sqlite3_bind_text(q, 3, token->sha256, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, token->created_ms);
    sqlite3_bind_int64(q, 5, token->expires_ms);
    sqlite3_bind_int64(q, 6, 0);
    TRY(store_run(s, q, "adding a token", err));
    q = store_use(s, SQL_TOKENS_FORGET);
    sqlite3_bind_int(q, 1, STORE_TOKENS_MAX);
    TRY(store_run(s, q, "forgetting old tokens", err));
    *ret_token = *token;
    return ST_OK;
}

enum status store_token_revoke(struct store *s, const char *name, int64_t now_ms,
                               struct token *ret_token, struct err *err)
{
    struct token known;
    enum status st = load(s, SQL_TOKEN_IN_FORCE, name, &known, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "%.63s has no token in force; `espalier token ls` shows them",
                       name);
    TRY(st);
    TRY(store_write(s, err));
    sqlite3_stmt *q = store_use(s, SQL_TOKEN_REVOKE);
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, now_ms);
    TRY(store_run(s, q, "revoking a token", err));
    known.revoked_ms = now_ms;
    *ret_token = known;
    return ST_OK;
}

enum status store_tokens(struct store *s, store_token_f each, void *user, struct err *err)
{
    sqlite3_stmt *q = store_use(s, SQL_TOKENS);
    struct token t;
    int rc;
    sqlite3_bind_int(q, 1, 2 * STORE_TOKENS_MAX);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        read_token(q, &t);
        if (!each(&t, user))
            break;
    }
    enum status st =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? ST_OK : store_error(s, "reading the tokens", err);
    sqlite3_reset(q);
    return st;
}
