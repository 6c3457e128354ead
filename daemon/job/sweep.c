/* sweep.c - see sweep.h. */
#include "job/sweep.h"

#include "base/file.h"
#include "base/log.h"
#include "daemon.h"
#include "job/folder.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_AT_ONCE 64 /* ids a look; the next removal or start takes the rest */

struct sweeper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool work, started;
    atomic_bool stopping;
    char trash[FOLDER_PATH_MAX];
};

/* nftw() has no argument for its caller: one sweeper a process. */
static atomic_bool *stop_flag;

static int delete_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
    (void)sb;
    (void)type;
    if (at->level > 0 && remove(path) < 0 && errno != ENOENT)
        log_warn("cannot delete %s: %s", path, strerror(errno));
    return atomic_load(stop_flag) ? 1 : 0;
}

static void *sweeper_run(void *user)
{
    struct sweeper *s = user;
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->stopping)) {
        if (!s->work) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->work = false;
        pthread_mutex_unlock(&s->lock);
        nftw(s->trash, delete_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

enum status sweep_create(struct daemon *d, struct err *err)
{
    struct sweeper *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(err, ST_NOMEM, "out of memory for the sweeper");
    d->sweeper = s;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    snprintf(s->trash, sizeof s->trash, "%.900s/trash", d->options.home);
    stop_flag = &s->stopping;
    TRY(file_mkdirs(s->trash, 0700, err));
    if (pthread_create(&s->thread, NULL, sweeper_run, s) != 0)
        return err_set(err, ST_LIMIT, "cannot start the sweeper's thread");
    s->started = true;
    sweep_folders(d);
    return ST_OK;
}

void sweep_destroy(struct daemon *d)
{
    struct sweeper *s = d->sweeper;
    if (!s)
        return;
    if (s->started) {
        pthread_mutex_lock(&s->lock);
        atomic_store(&s->stopping, true);
        pthread_cond_signal(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
    d->sweeper = NULL;
}

/* A folder that cannot be moved keeps its row and is tried again. */
static bool move_out(struct daemon *d, int64_t job_id)
{
    char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX + 32];
    folder_path(d, job_id, from);
    snprintf(to, sizeof to, "%s/%lld", d->sweeper->trash, (long long)job_id);
    if (rename(from, to) == 0 || errno == ENOENT)
        return true;
    log_warn("cannot move %s out of the way: %s", from, strerror(errno));
    return false;
}

void sweep_folders(struct daemon *d)
{
    int64_t ids[SWEEP_AT_ONCE];
    struct err err;
    int n = store_removals(d->store, ids, SWEEP_AT_ONCE);
    for (int i = 0; i < n; i++)
        if (move_out(d, ids[i]) && store_removal_done(d->store, ids[i], &err) != ST_OK)
            log_warn("%s", err.text); /* its row stays, and nothing is left to be done for it */
    pthread_mutex_lock(&d->sweeper->lock);
    d->sweeper->work = true;
    pthread_cond_signal(&d->sweeper->changed);
    pthread_mutex_unlock(&d->sweeper->lock);
}
