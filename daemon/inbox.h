/* inbox.h - how other threads hand work to the loop's thread: closures in order, and a descriptor that says there
 * are some. What may be in it at a time is bounded by those who post: live calls and stream slots. */
#ifndef DAEMON_INBOX_H
#define DAEMON_INBOX_H

#include "base/err.h"

#include <stdbool.h>

struct daemon;
struct inbox;

/* Embedded by the poster in what it hands over; run() gets it back on the loop's thread and owns it. */
struct message {
    struct message *next;
    void (*run)(struct daemon *d, struct message *m);
};

enum status inbox_create(struct inbox **ret_inbox, struct err *err);
void inbox_destroy(struct inbox *box); /* NULL allowed; after the last poster ended */

void inbox_post(struct inbox *box, struct message *m); /* any thread; never blocks for long */
struct message *inbox_take(struct inbox *box);         /* the loop's thread; NULL = empty */
int inbox_fd(const struct inbox *box);                 /* readable while there may be messages */

#endif
