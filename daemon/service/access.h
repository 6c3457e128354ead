/* access.h - who may do what: the one table of roles and rights, the tokens in memory, how often somebody may call.
 *
 * The guard runs on gRPC's thread, or on one that may wait for munged, before anything of a request is read and says who
 * calls (struct rpc_identity, whose role is one of these). Whose job it is can be told only when the request is known: lookup_job() asks
 * access_check_job() for every request that names one, lists ask access_only_owner(). Both go by d->caller, which
 * the loop sets around every handler, answer and stream's step; without a caller nothing is allowed.
 */
#ifndef SERVICE_ACCESS_H
#define SERVICE_ACCESS_H

#include "base/err.h"
#include "rpc/rpc.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;

/* Numbers of job.proto's Role. */
enum role { ROLE_NONE, ROLE_READ_ONLY, ROLE_USER, ROLE_OPERATOR, ROLES };
enum right {
    RIGHT_OPEN,  /* nobody is asked: health, and reports, which carry a token of their own */
    RIGHT_LOOK,  /* see jobs and the daemon */
    RIGHT_TOUCH, /* submit jobs and change them */
    RIGHT_RULE,  /* the daemon itself: tokens */
    RIGHTS
};
bool access_allows(enum role role, enum right right);
const char *role_name(enum role role); /* "user" */

/* What a method needs; service.c's table. */
enum right service_right(const char *method);

enum status access_create(struct daemon *d, struct err *err); /* after the store */
void access_destroy(struct daemon *d);                        /* after the server has stopped */

/* rpc_guard_f; user: the daemon. */
enum status access_admit(const struct rpc_arrival *arrival, struct rpc_identity *ret_identity,
                         void *user, struct err *err);

/* On the loop's thread, once durable. Never fails: there is room for as many as the store takes. */
void access_grant(struct daemon *d, const struct token *token);
void access_withdraw(struct daemon *d, const char *name);

/* ST_DENIED with a sentence that does not say whose it is. caller NULL: denied. */
enum status access_check_job(const struct rpc_identity *caller, int64_t job_id, const char *owner,
                             struct err *err);
/* The only owner whose jobs the caller sees, or NULL: all. */
const char *access_only_owner(const struct rpc_identity *caller);
/* Whether the caller sees this job; leaves a borrowed event valid. */
bool access_sees_job(struct daemon *d, int64_t job_id);

#endif
