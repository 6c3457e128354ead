/* address.c - what kind an address is; unix: addresses: who is there, and what a dead server left behind.
 *
 * gRPC unlinks whatever socket it finds before it binds, and would so take a living server's place.
 * The test comes first. Two servers that start in the same instant can still race; the daemon holds
 * the lock of its state folder before it listens.
 */
#include "rpc/core.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

const char *rpc_address_path(const char *address)
{
    if (strncmp(address, "unix:", 5) != 0)
        return NULL;
    /* "unix:///absolute" is the same as "unix:/absolute". */
    return strncmp(address, "unix://", 7) == 0 ? address + 7 : address + 5;
}

const char *rpc_address_tls(const char *address)
{
    return strncmp(address, "tls:", 4) == 0 ? address + 4 : NULL;
}

/* 0, or the errno of the attempt to connect. */
static int try_connect(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int e = connect(fd, (const struct sockaddr *)sa, sizeof *sa) < 0 ? errno : 0;
    close(fd);
    return e;
}

enum status rpc_address_prepare(const char *address, struct err *err)
{
    const char *path = rpc_address_path(address);
    if (!path)
        return ST_OK;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof sa.sun_path)
        return err_set(err, ST_INVALID, "the socket path '%s' must have 1 to %zu bytes, it has %zu",
                       path, sizeof sa.sun_path - 1, strlen(path));
    memcpy(sa.sun_path, path, strlen(path) + 1);
    struct stat sb;
    if (lstat(path, &sb) < 0)
        return errno == ENOENT ? ST_OK : err_errno(err, "cannot look at the socket path %s", path);
    if (!S_ISSOCK(sb.st_mode))
        return err_set(err, ST_EXISTS,
                       "%s is there already and is not a socket: choose another path", path);
    int e = try_connect(&sa);
    /* EAGAIN: its backlog is full, so somebody is there. */
    if (e == 0 || e == EAGAIN)
        return err_set(err, ST_EXISTS,
                       "a server already listens on %s: stop it or choose another path", path);
    errno = e;
    if (e != ECONNREFUSED && e != ENOENT)
        return err_errno(err, "cannot tell whether a server listens on %s", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(err, "cannot remove the stale socket %s", path);
    return ST_OK;
}
