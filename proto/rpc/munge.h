/* munge.h - MUNGE credentials: between hosts that share a key, proof of the uid that made one.
 *
 * A credential of ours carries the address for which it was made, so that it is worth nothing elsewhere, and munged
 * takes it once: there is a new one for every call. libmunge.so.2 is loaded when it is asked for and not linked, so
 * that a host without MUNGE needs no package of it.
 *
 * Any thread may call; each call talks to munged over its socket and may take seconds where that hangs.
 */
#ifndef RPC_MUNGE_H
#define RPC_MUNGE_H

#include "base/err.h"

#include <sys/types.h>

#define MUNGE_CRED_MAX 1024   /* bytes of a credential with its NUL; one of ours has 200 to 600 */
#define MUNGE_ADDRESS_MAX 300 /* of the address in it */

struct munge;

/* socket: munged's; NULL or "" = the usual one, else copied. ST_UNSUPPORTED: no libmunge here. munged is not asked. */
enum status munge_open(struct munge **ret_munge, const char *socket, struct err *err);
void munge_close(struct munge *m); /* NULL allowed */

/* Of this process, for a server at `address` (tls:HOST:PORT). ST_UNAVAILABLE: munged does not answer. */
enum status munge_make(const struct munge *m, const char *address, char ret_cred[MUNGE_CRED_MAX],
                       struct err *err);
/* Who made it and for which address. ST_DENIED with the reason: used before, expired, from a clock that is ahead, made
 * for another service, no credential. */
enum status munge_check(const struct munge *m, const char *cred, uid_t *ret_uid,
                        char ret_address[MUNGE_ADDRESS_MAX], struct err *err);

#endif
