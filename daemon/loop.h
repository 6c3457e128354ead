/* loop.h - the loop of the one thread that owns everything, and the answers it owes. */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include "base/err.h"

#include <stdbool.h>

struct daemon;
struct rpc_call;

/* Runs until a signal asks for the end. Jobs are not touched by that. */
void loop_run(struct daemon *d);

/* One pass without waiting; exposed for tests. */
void loop_pass(struct daemon *d);

/* What is in the inbox when nobody can post any more: handled and answered like the rest. */
void loop_drain(struct daemon *d);

/* Called once the group is durable; gives the call up. */
typedef void (*answer_f)(struct daemon *d, struct rpc_call *call, void *arg);

/* Owes an answer for when this group is durable; if it fails, the call gets the group's sentence instead. `drop`
 * (NULL allowed) frees arg in either case. False when out of memory: nothing was taken. */
bool loop_answer(struct daemon *d, struct rpc_call *call, answer_f send, void *arg,
                 void (*drop)(void *arg));
/* The same for a call that only reads: it is answered even if the group of others fails, from what is durable then. */
bool loop_answer_read(struct daemon *d, struct rpc_call *call, answer_f send, void *arg,
                      void (*drop)(void *arg));

#endif
