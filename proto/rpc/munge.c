/* munge.c - see munge.h. Numbers and functions are those of libmunge.so.2 (munge.h of MUNGE 0.5). */
#include "rpc/munge.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libmunge.so.2"
#define PURPOSE "espalier " /* the payload is this and the address */

enum { OPT_SOCKET = 8 };
enum { OK = 0, SOCKET_FAILED = 6, EXPIRED = 15, REWOUND = 16, REPLAYED = 17 };

struct munge {
    void *library;
    char *socket; /* NULL = the usual one */
    void *(*ctx_create)(void);
    void (*ctx_destroy)(void *ctx);
    int (*ctx_set)(void *ctx, int option, ...);
    const char *(*ctx_strerror)(void *ctx);
    int (*encode)(char **cred, void *ctx, const void *data, int len);
    int (*decode)(const char *cred, void *ctx, void **data, int *len, uid_t *uid, gid_t *gid);
};

/* ISO C has no cast from an object's pointer to a function's. */
static bool find(void *library, const char *name, void *ret_function)
{
    void *symbol = dlsym(library, name);
    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol;
}

static bool load(struct munge *m)
{
    m->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    return m->library && find(m->library, "munge_ctx_create", &m->ctx_create) &&
           find(m->library, "munge_ctx_destroy", &m->ctx_destroy) &&
           find(m->library, "munge_ctx_set", &m->ctx_set) &&
           find(m->library, "munge_ctx_strerror", &m->ctx_strerror) &&
           find(m->library, "munge_encode", &m->encode) &&
           find(m->library, "munge_decode", &m->decode);
}

enum status munge_open(struct munge **ret_munge, const char *socket, struct err *err)
{
    bool named = socket && socket[0];
    struct munge *m = calloc(1, sizeof *m);
    char *copy = named ? strdup(socket) : NULL;
    if (!m || (named && !copy)) {
        free(m);
        free(copy);
        return err_set(err, ST_NOMEM, "out of memory for MUNGE");
    }
    m->socket = copy;
    if (!load(m)) {
        munge_close(m);
        return err_set(err, ST_UNSUPPORTED,
                       "MUNGE cannot be used: " LIBRARY
                       " is not on this machine (Debian: apt-get install libmunge2)");
    }
    *ret_munge = m;
    return ST_OK;
}

void munge_close(struct munge *m)
{
    if (!m)
        return;
    if (m->library)
        dlclose(m->library);
    free(m->socket);
    free(m);
}

/* One a call: a context holds the last error and must not be shared by threads. */
static enum status open_context(const struct munge *m, void **ret_ctx, struct err *err)
{
    void *ctx = m->ctx_create();
    if (!ctx)
        return err_set(err, ST_NOMEM, "out of memory for a MUNGE credential");
    if (m->socket && m->ctx_set(ctx, OPT_SOCKET, m->socket) != OK) {
        m->ctx_destroy(ctx);
        return err_set(err, ST_INVALID, "MUNGE does not take '%.100s' as its socket", m->socket);
    }
    *ret_ctx = ctx;
    return ST_OK;
}

enum status munge_make(const struct munge *m, const char *address, char ret_cred[MUNGE_CRED_MAX],
                       struct err *err)
{
    char payload[sizeof PURPOSE + MUNGE_ADDRESS_MAX], *cred = NULL;
    void *ctx;
    if (strlen(address) >= MUNGE_ADDRESS_MAX)
        return err_set(err, ST_INVALID, "the address '%.40s...' is too long", address);
    TRY(open_context(m, &ctx, err));
    int n = snprintf(payload, sizeof payload, PURPOSE "%s", address);
    int code = m->encode(&cred, ctx, payload, n);
    enum status st = ST_OK;
    if (code != OK)
        st = err_set(err, ST_UNAVAILABLE,
                     "munged on this machine makes no credential (%.200s): is it running?",
                     m->ctx_strerror(ctx));
    else if (strlen(cred) >= MUNGE_CRED_MAX)
        st = err_set(err, ST_LIMIT, "munged's credential has %zu bytes, at most %d are taken",
                     strlen(cred), MUNGE_CRED_MAX - 1);
    else
        memcpy(ret_cred, cred, strlen(cred) + 1);
    free(cred);
    m->ctx_destroy(ctx);
    return st;
}

static enum status refuse(int code, const char *why, struct err *err)
{
    if (code == SOCKET_FAILED)
        return err_set(err, ST_UNAVAILABLE,
                       "munged on the daemon's machine does not answer (%.200s): is it running?",
                       why);
    if (code == EXPIRED)
        return err_set(err, ST_DENIED,
                       "the MUNGE credential has expired: it was kept too long, or the clocks of "
                       "the two machines differ");
    if (code == REWOUND)
        return err_set(err, ST_DENIED,
                       "the MUNGE credential comes from the future: the clocks of the two machines "
                       "differ");
    if (code == REPLAYED)
        return err_set(err, ST_DENIED,
                       "the MUNGE credential was used before; each call needs a new one");
    return err_set(err, ST_DENIED,
                   "the MUNGE credential is not valid (%.200s): do both machines have the same "
                   "munge.key?",
                   why);
}

static enum status take_payload(const char *data, size_t len, char ret_address[MUNGE_ADDRESS_MAX],
                                struct err *err)
{
    size_t skip = strlen(PURPOSE);
    if (!data || len <= skip || len - skip >= MUNGE_ADDRESS_MAX ||
        memcmp(data, PURPOSE, skip) != 0 || memchr(data, '\0', len))
        return err_set(err, ST_DENIED, "the MUNGE credential was made for another service");
    memcpy(ret_address, data + skip, len - skip);
    ret_address[len - skip] = '\0';
    return ST_OK;
}

enum status munge_check(const struct munge *m, const char *cred, uid_t *ret_uid,
                        char ret_address[MUNGE_ADDRESS_MAX], struct err *err)
{
    void *ctx, *data = NULL;
    int len = 0;
    uid_t uid;
    gid_t gid;
    TRY(open_context(m, &ctx, err));
    int code = m->decode(cred, ctx, &data, &len, &uid, &gid);
    enum status st = code == OK ? take_payload(data, (size_t)len, ret_address, err)
                                : refuse(code, m->ctx_strerror(ctx), err);
    if (st == ST_OK)
        *ret_uid = uid;
    free(data);
    m->ctx_destroy(ctx);
    return st;
}
