/* notify.h - telling systemd how the daemon stands (sd_notify's protocol: one datagram to $NOTIFY_SOCKET). */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* Takes the address out of the environment, so that no rank inherits it. Before any thread. */
void notify_init(void);
/* "READY=1", "STOPPING=1", "STATUS=..."; nothing happens where nobody asked. Never blocks, never fails. */
void notify_send(const char *state);

#endif
