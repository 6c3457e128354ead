/* person.c - see person.h. */
#include "service/person.h"

#include "daemon.h"
#include "rpc/munge.h"
#include "service/access.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define ENTRY_MAX 16384 /* bytes of a user's entry */

enum status person_create(struct daemon *d, struct err *err)
{
    const struct config *c = &d->options.config;
    return c->munge ? munge_open(&d->munge, c->munge_socket, err) : ST_OK;
}

void person_destroy(struct daemon *d)
{
    munge_close(d->munge);
    d->munge = NULL;
}

static enum role role_of(const struct config *c, const char *name)
{
    for (int i = 0; i < c->n_munge_operators; i++)
        if (strcmp(c->munge_operators[i], name) == 0)
            return ROLE_OPERATOR;
    return ROLE_USER;
}

static enum status name_user(uid_t uid, char ret_name[RPC_NAME_MAX], struct err *err)
{
    char entry[ENTRY_MAX];
    struct passwd user, *found = NULL;
    int e = getpwuid_r(uid, &user, entry, sizeof entry, &found);
    if (e)
        return err_set(err, ST_UNAVAILABLE,
                       "the daemon's machine cannot look up the user with uid %u: %s",
                       (unsigned)uid, strerror(e));
    if (!found)
        return err_set(err, ST_DENIED, "the daemon's machine knows no user with uid %u",
                       (unsigned)uid);
    size_t len = strlen(user.pw_name);
    if (len == 0 || len >= RPC_NAME_MAX)
        return err_set(err, ST_DENIED,
                       "the user name of uid %u has %zu bytes; 1 to %d can own jobs", (unsigned)uid,
                       len, RPC_NAME_MAX - 1);
    memcpy(ret_name, user.pw_name, len + 1);
    return ST_OK;
}

enum status person_find(struct daemon *d, const char *cred, struct rpc_identity *ret_identity,
                        struct err *err)
{
    char address[MUNGE_ADDRESS_MAX], name[RPC_NAME_MAX];
    uid_t uid;
    if (!d->munge)
        return err_set(err, ST_DENIED,
                       "this daemon takes no MUNGE credentials (its key munge is false): use a "
                       "token");
    TRY(munge_check(d->munge, cred, &uid, address, err));
    if (!rpc_server_is_at(d->server, address))
        return err_set(err, ST_DENIED,
                       "the MUNGE credential was made for %s, which is not this daemon: none of "
                       "its tls: ports, or a host that its certificate does not name",
                       address);
    TRY(name_user(uid, name, err));
    *ret_identity = (struct rpc_identity){.role = role_of(&d->options.config, name)};
    memcpy(ret_identity->name, name, sizeof name);
    return ST_OK;
}
