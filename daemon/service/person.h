/* person.h - whom a MUNGE credential lets in: the user of its uid on this machine, as an operator where the
 * configuration says so. Runs on the guard's second thread (rpc.h), where it may wait for munged and for the
 * directory of users. */
#ifndef SERVICE_PERSON_H
#define SERVICE_PERSON_H

#include "base/err.h"
#include "rpc/rpc.h"

struct daemon;

enum status person_create(struct daemon *d, struct err *err); /* d->munge, where `munge` is set */
void person_destroy(struct daemon *d);

/* ST_DENIED with the reason, *ret_identity untouched; ST_UNAVAILABLE: munged does not answer. */
enum status person_find(struct daemon *d, const char *cred, struct rpc_identity *ret_identity,
                        struct err *err);

#endif
