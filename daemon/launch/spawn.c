/* spawn.c - see spawn.h. */
#include "launch/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

static int add_actions(posix_spawn_file_actions_t *actions, const struct child *c)
{
    int e = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (!e)
        e = posix_spawn_file_actions_adddup2(actions, c->out, 1);
    if (!e)
        e = posix_spawn_file_actions_adddup2(actions, c->err, 2);
    if (!e)
        e = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    return e || !c->dir ? e : posix_spawn_file_actions_addchdir_np(actions, c->dir);
}

int child_spawn(const struct child *c, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    short group = c->group ? POSIX_SPAWN_SETPGROUP : 0;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    int e = posix_spawnattr_setflags(
        &attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
    if (!e)
        e = add_actions(&actions, c);
    if (!e)
        e = posix_spawnp(ret_pid, c->argv[0], &actions, &attr, (char *const *)c->argv,
                         c->environment ? c->environment : environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return e;
}
