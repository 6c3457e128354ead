/* shm.c - see shm.h. */
#include "launch/shm.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void shm_path(const struct launcher_record *r, char ret_path[SHM_PATH_MAX])
{
    snprintf(ret_path, SHM_PATH_MAX, "/dev/shm/espalier.%u.%ld.%llu", geteuid(), (long)r->pid,
             (unsigned long long)r->start_time);
}

bool shm_create(const struct launcher_record *r)
{
    char path[SHM_PATH_MAX];
    shm_path(r, path);
    return mkdir(path, 0700) == 0;
}

/* Open MPI puts plain files there, no folders; a link is removed, not followed. */
void shm_remove(const struct launcher_record *r)
{
    char path[SHM_PATH_MAX];
    shm_path(r, path);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *d; (d = readdir(dir));)
        unlinkat(dirfd(dir), d->d_name, 0);
    closedir(dir);
    rmdir(path);
}
