/* guard.c - the guard's answer to every call, before anything of its request is read.
 *
 * It is asked on the server's thread, which serves everybody, except about a MUNGE credential: for that one it asks
 * another daemon, and so it is asked on a thread for these alone. */
#include "rpc/core.h"

#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

#define KNOCKS_MAX 64 /* that wait for the second thread; more end with RESOURCE_EXHAUSTED */

struct rpc_waiting {
    struct rpc_waiting *next;
    struct rpc_knock knock;
};

void rpc_server_guard(struct rpc_server *s, rpc_guard_f guard, void *user)
{
    s->guard.ask = guard;
    s->guard.user = user;
}

/* What follows the scheme; "" where it does not fit, since then nobody gave it out. */
static bool take(const grpc_metadata *m, const char *scheme, char *out, size_t size)
{
    size_t skip = strlen(scheme), len = GRPC_SLICE_LENGTH(m->value);
    const char *value = (const char *)GRPC_SLICE_START_PTR(m->value);
    if (len < skip || strncasecmp(value, scheme, skip) != 0)
        return false;
    size_t n = len - skip < size ? len - skip : 0;
    memcpy(out, value + skip, n);
    out[n] = '\0';
    return true;
}

void rpc_knock_read(struct rpc_knock *k, const grpc_metadata_array *headers)
{
    for (size_t i = 0; i < headers->count && !k->has_bearer && !k->has_munge; i++) {
        const grpc_metadata *m = &headers->metadata[i];
        if (grpc_slice_str_cmp(m->key, "authorization") != 0)
            continue;
        k->has_bearer = take(m, "Bearer ", k->bearer, sizeof k->bearer);
        k->has_munge = !k->has_bearer && take(m, "MUNGE ", k->munge, sizeof k->munge);
    }
}

/* Asks, and lets the call begin with the answer. */
static void decide(struct rpc_server *s, struct rpc_knock *k)
{
    struct rpc_admission a = {.st = ST_OK};
    char *peer = grpc_call_get_peer(k->core), *port = strrchr(peer, ':');
    struct rpc_arrival arrival = {.method = k->path,
                                  .peer = peer,
                                  .local = strncmp(peer, "unix:", 5) == 0,
                                  .bearer = k->has_bearer ? k->bearer : NULL,
                                  .munge = k->has_munge ? k->munge : NULL};
    if (port && !arrival.local)
        *port = '\0';
    if (s->guard.ask)
        a.st = s->guard.ask(&arrival, &a.identity, s->guard.user, &a.err);
    explicit_bzero(k->bearer, sizeof k->bearer);
    gpr_free(peer);
    rpc_call_begin(s, k->core, k->entry, k->path, &a);
}

static void turn_away(struct rpc_server *s, const struct rpc_knock *k, enum status st,
                      const char *text)
{
    struct rpc_admission a = {.st = st};
    err_set(&a.err, st, "%s", text);
    rpc_call_begin(s, k->core, k->entry, k->path, &a);
}

/* ---- the second thread ---------------------------------------------------------------------- */

static void *judge(void *arg)
{
    struct rpc_server *s = arg;
    struct rpc_guard *g = &s->guard;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        while (!g->first && !g->ending)
            pthread_cond_wait(&g->wake, &g->lock);
        struct rpc_waiting *w = g->first;
        if (!w)
            break;
        bool ending = g->ending;
        g->first = w->next;
        g->n--;
        pthread_mutex_unlock(&g->lock);
        if (ending)
            turn_away(s, &w->knock, ST_UNAVAILABLE, "the server is stopping");
        else
            decide(s, &w->knock);
        free(w);
        pthread_mutex_lock(&g->lock);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

enum status rpc_guard_start(struct rpc_server *s, struct err *err)
{
    struct rpc_guard *g = &s->guard;
    if (!g->ask)
        return ST_OK;
    int e = pthread_create(&g->thread, NULL, judge, s);
    g->running = e == 0;
    return e ? err_set(err, ST_LIMIT, "cannot start the guard's thread: %s", strerror(e)) : ST_OK;
}

void rpc_guard_end(struct rpc_server *s)
{
    struct rpc_guard *g = &s->guard;
    if (!g->running)
        return;
    pthread_mutex_lock(&g->lock);
    g->ending = true;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
}

/* False: there is no room. */
static bool line_up(struct rpc_guard *g, const struct rpc_knock *k)
{
    struct rpc_waiting *w = malloc(sizeof *w);
    if (!w)
        return false;
    *w = (struct rpc_waiting){NULL, *k};
    pthread_mutex_lock(&g->lock);
    bool room = g->n < KNOCKS_MAX && !g->ending;
    if (room) {
        *(g->first ? &g->last->next : &g->first) = w;
        g->last = w;
        g->n++;
        pthread_cond_signal(&g->wake);
    }
    pthread_mutex_unlock(&g->lock);
    if (!room)
        free(w);
    return room;
}

void rpc_guard_pass(struct rpc_server *s, struct rpc_knock *k)
{
    if (!k->has_munge || !s->guard.ask)
        decide(s, k);
    else if (!line_up(&s->guard, k))
        turn_away(s, k, ST_LIMIT, "too many MUNGE credentials wait to be checked: try again later");
}
