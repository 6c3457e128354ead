/* verify.h - the hasher: one thread that reads whole checkpoints, so that the loop need not wait for a disk. */
#ifndef SERVICE_VERIFY_H
#define SERVICE_VERIFY_H

#include "base/err.h"

struct daemon;

enum status hasher_create(struct daemon *d, struct err *err);
void hasher_stop(struct daemon *d); /* joins; what waits is answered UNAVAILABLE */
void hasher_destroy(struct daemon *d);

#endif
