/* home.h - the daemon's folders on disk, and the locks that keep a second daemon out. */
#ifndef DAEMON_HOME_H
#define DAEMON_HOME_H

#include "base/err.h"

struct daemon;

/* Makes HOME (0700) and the store's folder, and locks HOME/lock and, for a store elsewhere, STORE.lock. ST_EXISTS: another
 * daemon has one of them. */
enum status home_lock(struct daemon *d, struct err *err);
/* Makes the socket's folder or checks that it is closed to others, and locks SOCKET.lock. ST_EXISTS: taken. */
enum status home_lock_socket(struct daemon *d, struct err *err);
/* The store is open: HOME/id is what the store knows as its home's, or ST_STATE with what to do. A home that is not mounted
 * looks like one where nothing ever ran. The first of the two to be there gives the other its id. */
enum status home_check_id(struct daemon *d, struct err *err);
void home_unlock(struct daemon *d);

#endif
