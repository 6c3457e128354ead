/* kill_point.c - a library to be preloaded: SIGKILL right before the N-th change of a file.
 *
 * KILL_POINT names a file with N in it, counted down by each call below; without the file nothing happens. So a test arms a
 * program that already runs, and walks N upwards until the program gets through.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static _Thread_local int inside; /* rewriting the count is no change of the program's */

static void point(void)
{
    const char *path = getenv("KILL_POINT");
    char text[16] = {0};
    int fd = path && !inside ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    inside = 1;
    if (read(fd, text, sizeof text - 1) > 0 && atoi(text) <= 0)
        raise(SIGKILL);
    int n = snprintf(text, sizeof text, "%d\n", atoi(text) - 1);
    if (lseek(fd, 0, SEEK_SET) < 0 || ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) != n)
        abort();
    close(fd);
    inside = 0;
}

#define POINT(ret, name, params, ...)                                                              \
    ret name params                                                                                \
    {                                                                                              \
        ret(*real) params = (ret(*) params)dlsym(RTLD_NEXT, #name);                                \
        point();                                                                                   \
        return real(__VA_ARGS__);                                                                  \
    }

POINT(int, rename, (const char *from, const char *to), from, to)
POINT(int, link, (const char *from, const char *to), from, to)
POINT(int, unlink, (const char *path), path)
POINT(int, remove, (const char *path), path)
POINT(int, ftruncate64, (int fd, off64_t size), fd, size)
POINT(ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t at), fd, data, n, at)
POINT(int, fsync, (int fd), fd)
POINT(int, fdatasync, (int fd), fd)
