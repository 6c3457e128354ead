/* access.c - see access.h. The lock guards tokens and rates between the guard's threads and the loop's (grant,
 * withdraw); nothing is waited for under it. */
#include "service/access.h"

#include "base/hash.h"
#include "base/log.h"
#include "daemon.h"
#include "service/person.h"
#include "service/rate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPLAIN_EVERY_MS 60000

/* The permission table. Whose jobs: access_only_owner(). */
static const bool allowed[ROLES][RIGHTS] = {
    /*                   OPEN   LOOK   TOUCH  RULE */
    [ROLE_NONE] = {true, false, false, false},
    [ROLE_READ_ONLY] = {true, true, false, false},
    [ROLE_USER] = {true, true, true, false},
    [ROLE_OPERATOR] = {true, true, true, true},
};
static const char *const role_names[ROLES] = {"none", "read-only", "user", "operator"};

struct access {
    pthread_mutex_t lock;
    struct token token[STORE_TOKENS_MAX]; /* in force, perhaps expired */
    int n;
    struct rates callers, strangers;
    unsigned refused;      /* since the last line about it in the log */
    int64_t complained_ms; /* when that was */
};

bool access_allows(enum role role, enum right right)
{
    return role < ROLES && right < RIGHTS && allowed[role][right];
}

const char *role_name(enum role role)
{
    return role < ROLES ? role_names[role] : "none";
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool load_token(const struct token *token, void *user)
{
    struct access *a = user;
    if (!token->revoked_ms && a->n < STORE_TOKENS_MAX)
        a->token[a->n++] = *token;
    return true;
}

enum status access_create(struct daemon *d, struct err *err)
{
    struct access *a = calloc(1, sizeof *a);
    if (!a)
        return err_set(err, ST_NOMEM, "out of memory for the tokens");
    pthread_mutex_init(&a->lock, NULL);
    a->callers.per_s = a->strangers.per_s = (double)d->options.config.limits_call_rate;
    d->access = a;
    TRY(person_create(d, err));
    return store_tokens(d->store, load_token, a, err);
}

void access_destroy(struct daemon *d)
{
    person_destroy(d);
    if (!d->access)
        return;
    pthread_mutex_destroy(&d->access->lock);
    free(d->access);
    d->access = NULL;
}

void access_grant(struct daemon *d, const struct token *token)
{
    access_withdraw(d, token->name);
    pthread_mutex_lock(&d->access->lock);
    load_token(token, d->access);
    pthread_mutex_unlock(&d->access->lock);
}

void access_withdraw(struct daemon *d, const char *name)
{
    struct access *a = d->access;
    pthread_mutex_lock(&a->lock);
    for (int i = a->n - 1; i >= 0; i--)
        if (strcmp(a->token[i].name, name) == 0)
            a->token[i] = a->token[--a->n];
    pthread_mutex_unlock(&a->lock);
}

/* ---- the guard ------------------------------------------------------------------------------ */

/* Takes the same time wherever the first difference is. */
static bool equal(const char *a, const char *b, size_t n)
{
    unsigned diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= (unsigned char)a[i] ^ (unsigned char)b[i];
    return diff == 0;
}

/* All of them are looked at, whether one fits or not. Under the lock. */
static bool find_token(const struct access *a, const char *bearer, int64_t now_ms,
                       struct rpc_identity *ret_identity)
{
    char sha256[HASH_HEX_SIZE];
    bool found = false;
    hash_bytes(sha256, bearer, strlen(bearer));
    for (int i = 0; i < a->n; i++) {
        const struct token *t = &a->token[i];
        if (!equal(sha256, t->sha256, HASH_HEX_SIZE - 1) ||
            (t->expires_ms && now_ms >= t->expires_ms))
            continue;
        snprintf(ret_identity->name, sizeof ret_identity->name, "%s", t->name);
        ret_identity->role = t->role;
        ret_identity->expires_ms = t->expires_ms;
        found = true;
    }
    return found;
}

static enum status too_often(const struct access *a, struct err *err)
{
    return err_set(err, ST_LIMIT,
                   "more than %g calls a second; wait a moment (the daemon's limits.call_rate)",
                   a->callers.per_s);
}

/* A guesser is worth knowing of, but must not fill the log. */
static void note_refusal(struct access *a, const struct rpc_arrival *arrival, int64_t mono_ms)
{
    a->refused++;
    if (a->complained_ms && mono_ms - a->complained_ms < COMPLAIN_EVERY_MS)
        return;
    log_warn("refused %u %s without a valid token, the last from %s", a->refused,
             a->refused == 1 ? "call" : "calls", arrival->peer);
    a->complained_ms = mono_ms;
    a->refused = 0;
}

/* Somebody who is not known: what is open to all is theirs, at the pace of their address. `err` says why the MUNGE
 * credential, if there is one, was not taken. */
static enum status admit_stranger(struct access *a, const struct rpc_arrival *arrival,
                                  enum right right, int64_t mono_ms, struct err *err)
{
    if (!rate_take(&a->strangers, arrival->peer, mono_ms))
        return too_often(a, err);
    if (access_allows(ROLE_NONE, right))
        return ST_OK;
    note_refusal(a, arrival, mono_ms);
    if (arrival->munge)
        return err->code;
    if (arrival->bearer)
        return err_set(err, ST_DENIED,
                       "the token is unknown, revoked or expired; an operator makes a new one with "
                       "`espalier token add NAME`");
    return err_set(err, ST_DENIED,
                   "a token is needed here: send it as `authorization: Bearer TOKEN`; "
                   "`espalier` takes it from $ESPALIER_TOKEN_FILE or ~/.config/espalier/token");
}

/* identity: already known by a MUNGE credential, or with an empty name. */
static enum status admit(struct access *a, const struct rpc_arrival *arrival, enum right right,
                         int64_t now_ms, int64_t mono_ms, struct rpc_identity *identity,
                         struct err *err)
{
    if (!identity->name[0] &&
        (!arrival->bearer || !find_token(a, arrival->bearer, now_ms, identity)))
        return admit_stranger(a, arrival, right, mono_ms, err);
    if (!rate_take(&a->callers, identity->name, mono_ms))
        return too_often(a, err);
    if (access_allows((enum role)identity->role, right))
        return ST_OK;
    return err_set(err, ST_DENIED,
                   "%s has the role %s, which may not call %s; it takes the role %s",
                   identity->name, role_name((enum role)identity->role), arrival->method,
                   right == RIGHT_RULE ? "operator" : "user or operator");
}

enum status access_admit(const struct rpc_arrival *arrival, struct rpc_identity *ret_identity,
                         void *user, struct err *err)
{
    struct daemon *d = user;
    struct access *a = d->access;
    if (arrival->local) {
        /* Whoever may enter the socket's folder is the daemon's account. */
        snprintf(ret_identity->name, sizeof ret_identity->name, "%s", d->owner);
        ret_identity->role = ROLE_OPERATOR;
        return ST_OK;
    }
    int64_t now = daemon_now_ms(d), mono = d->clock->mono_ms(d->clock);
    enum right right = service_right(arrival->method);
    struct rpc_identity who = {.role = ROLE_NONE};
    if (arrival->munge)
        (void)person_find(d, arrival->munge, &who, err); /* what failed is in err */
    pthread_mutex_lock(&a->lock);
    enum status st = admit(a, arrival, right, now, mono, &who, err);
    pthread_mutex_unlock(&a->lock);
    if (who.name[0])
        *ret_identity = who;
    return st;
}

/* ---- whose job ------------------------------------------------------------------------------ */

const char *access_only_owner(const struct rpc_identity *caller)
{
    if (!caller)
        return "";
    return caller->role == ROLE_USER ? caller->name : NULL;
}

enum status access_check_job(const struct rpc_identity *caller, int64_t job_id, const char *owner,
                             struct err *err)
{
    const char *only = access_only_owner(caller);
    /* A worker has shown no token yet; report.c compares the one in its request. */
    if (!only || strcmp(only, owner) == 0)
        return ST_OK;
    return err_set(err, ST_DENIED,
                   "job %lld is somebody else's; `espalier jobs` shows yours, an operator sees all",
                   (long long)job_id);
}

bool access_sees_job(struct daemon *d, int64_t job_id)
{
    const char *only = access_only_owner(d->caller);
    char owner[JOB_OWNER_MAX];
    return !only ||
           (store_job_owner(d->store, job_id, owner, NULL) == ST_OK && strcmp(only, owner) == 0);
}
