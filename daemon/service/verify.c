/* verify.c - VerifyCheckpoint: the file's SHA-256 against the reported one. Checkpoints are gigabytes, so one thread, the
 * hasher, reads them, one after the other; at most HASHES_MAX wait. */
#include "service/verify.h"

#include "base/hash.h"
#include "inbox.h"
#include "job/folder.h"
#include "service/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASHES_MAX 16
#define CHUNK (1u << 20)

struct hashing {
    struct message message; /* first member: back to the loop when it is done */
    struct hashing *next;
    struct rpc_call *call;
    int fd;
    uint64_t size;
    char path[JOB_FILE_MAX], right[HASH_HEX_SIZE], found[HASH_HEX_SIZE];
    enum status st;
    struct err err;
};

struct hasher {
    pthread_t thread;
    pthread_mutex_t lock; /* guards first, end, waiting */
    pthread_cond_t changed;
    struct hashing *first, **end;
    int waiting;
    atomic_bool stopping;
    bool started;
};

static void hashing_free(struct hashing *h)
{
    if (h->fd >= 0)
        close(h->fd);
    free(h);
}

/* On the loop's thread. */
static void answer(struct daemon *d, struct message *m)
{
    struct hashing *h = (struct hashing *)m;
    (void)d;
    V1(VerifyCheckpointReply) reply = ESPALIER__V1__VERIFY_CHECKPOINT_REPLY__INIT;
    reply.sha256 = h->found;
    reply.size_bytes = h->size;
    if (h->st == ST_OK)
        rpc_call_reply(h->call, &reply.base);
    else
        rpc_call_fail(h->call, h->st, h->err.text);
    hashing_free(h);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static enum status read_all(struct hasher *k, struct hashing *h, struct hash *sum, void *chunk)
{
    for (uint64_t at = 0; at < h->size;) {
        if (atomic_load(&k->stopping) || rpc_call_gone(h->call))
            return err_set(&h->err, ST_UNAVAILABLE, "%s was not read to its end; try again",
                           h->path);
        ssize_t n = pread(h->fd, chunk, CHUNK, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(&h->err, "cannot read %s", h->path);
        if (n == 0)
            return err_set(&h->err, ST_CORRUPT, "%s became shorter while it was read", h->path);
        hash_add(sum, chunk, (size_t)n);
        at += (uint64_t)n;
    }
    hash_finish(sum, h->found);
    if (strcmp(h->found, h->right) != 0)
        return err_set(&h->err, ST_CORRUPT,
                       "%s is damaged: its SHA-256 is %.12s..., and %.12s... was reported when it "
                       "was written",
                       h->path, h->found, h->right);
    return ST_OK;
}

static void hash_one(struct hasher *k, struct hashing *h)
{
    struct hash *sum = hash_create();
    void *chunk = malloc(CHUNK);
    h->st = sum && chunk ? read_all(k, h, sum, chunk)
                         : err_set(&h->err, ST_NOMEM, "the daemon is out of memory");
    free(chunk);
    hash_destroy(sum);
}

/* NULL: the hasher stops. */
static struct hashing *next_hashing(struct hasher *k)
{
    pthread_mutex_lock(&k->lock);
    while (!k->first && !atomic_load(&k->stopping))
        pthread_cond_wait(&k->changed, &k->lock);
    struct hashing *h = k->first;
    if (h) {
        k->first = h->next;
        k->waiting--;
        if (!k->first)
            k->end = &k->first;
    }
    pthread_mutex_unlock(&k->lock);
    return h;
}

static void *hasher_run(void *user)
{
    struct daemon *d = user;
    struct hashing *h;
    while ((h = next_hashing(d->hasher))) {
        hash_one(d->hasher, h);
        inbox_post(d->inbox, &h->message);
    }
    return NULL;
}

enum status hasher_create(struct daemon *d, struct err *err)
{
    struct hasher *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(err, ST_NOMEM, "out of memory for the hasher");
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    k->end = &k->first;
    d->hasher = k;
    if (pthread_create(&k->thread, NULL, hasher_run, d) != 0)
        return err_set(err, ST_LIMIT, "cannot start the hasher's thread");
    k->started = true;
    return ST_OK;
}

void hasher_stop(struct daemon *d)
{
    struct hasher *k = d->hasher;
    if (!k || !k->started)
        return;
    pthread_mutex_lock(&k->lock);
    atomic_store(&k->stopping, true);
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL); /* what waits is posted, unread */
    k->started = false;
}

void hasher_destroy(struct daemon *d)
{
    struct hasher *k = d->hasher;
    if (!k)
        return;
    hasher_stop(d);
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    free(k);
    d->hasher = NULL;
}

/* ---- arriving -------------------------------------------------------------------------------- */

static enum status enqueue(struct hasher *k, struct hashing *h, struct err *err)
{
    pthread_mutex_lock(&k->lock);
    bool room = k->waiting < HASHES_MAX && !atomic_load(&k->stopping);
    if (room) {
        *k->end = h;
        k->end = &h->next;
        k->waiting++;
        pthread_cond_signal(&k->changed);
    }
    pthread_mutex_unlock(&k->lock);
    return room ? ST_OK
                : err_set(err, ST_UNAVAILABLE,
                          "%d checkpoints wait to be verified; try again in a moment", HASHES_MAX);
}

static enum status open_file(struct daemon *d, int64_t job_id, const char *name, struct hashing *h,
                             struct err *err)
{
    struct stored_checkpoint row;
    TRY(find_checkpoint_file(d, job_id, name, h->path, err));
    TRY(store_checkpoint_load(d->store, job_id, h->path, &row, err));
    int64_t size = row.size_bytes;
    snprintf(h->right, sizeof h->right, "%s", row.sha256);
    TRY(folder_open(d, job_id, h->path, &h->fd, &h->size, err));
    if (h->size != (uint64_t)size)
        return err_set(err, ST_CORRUPT,
                       "%s is damaged: it has %llu bytes, and %lld were reported when it was "
                       "written",
                       h->path, (unsigned long long)h->size, (long long)size);
    return ST_OK;
}

enum status serve_verify_checkpoint(struct daemon *d, struct rpc_call *call,
                                    const V1(VerifyCheckpointRequest) * request, struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    struct hashing *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    h->fd = -1;
    h->call = call;
    h->message.run = answer;
    enum status st = open_file(d, job.id, request->name, h, err);
    if (st == ST_OK)
        st = enqueue(d->hasher, h, err);
    if (st != ST_OK)
        hashing_free(h);
    return st;
}
