/* inbox.c - see inbox.h. */
#include "inbox.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct inbox {
    pthread_mutex_t lock;
    struct message *first, **end;
    int fd;
    /* The loop's own: so it needs the lock once for all that came together. */
    struct message *taken;
};

enum status inbox_create(struct inbox **ret_inbox, struct err *err)
{
    struct inbox *box = calloc(1, sizeof *box);
    if (!box)
        return err_set(err, ST_NOMEM, "out of memory for the inbox");
    box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (box->fd < 0) {
        enum status st = err_errno(err, "cannot make an eventfd");
        free(box);
        return st;
    }
    pthread_mutex_init(&box->lock, NULL);
    box->end = &box->first;
    *ret_inbox = box;
    return ST_OK;
}

void inbox_destroy(struct inbox *box)
{
    if (!box)
        return;
    pthread_mutex_destroy(&box->lock);
    close(box->fd);
    free(box);
}

void inbox_post(struct inbox *box, struct message *m)
{
    uint64_t one = 1;
    m->next = NULL;
    pthread_mutex_lock(&box->lock);
    bool first = !box->first;
    *box->end = m;
    box->end = &m->next;
    pthread_mutex_unlock(&box->lock);
    if (!first)
        return; /* whoever posted the first one wakes the loop, which reads on until there is none */
    /* Fails only when the counter is full, and then the loop is woken anyway. */
    ssize_t n = write(box->fd, &one, sizeof one);
    (void)n;
}

/* Takes over all that is there; the descriptor stays readable until there was nothing. */
static void take_all(struct inbox *box)
{
    uint64_t count;
    pthread_mutex_lock(&box->lock);
    box->taken = box->first;
    box->first = NULL;
    box->end = &box->first;
    if (!box->taken) {
        ssize_t n = read(box->fd, &count, sizeof count);
        (void)n;
    }
    pthread_mutex_unlock(&box->lock);
}

struct message *inbox_take(struct inbox *box)
{
    if (!box->taken)
        take_all(box);
    struct message *m = box->taken;
    if (m)
        box->taken = m->next;
    return m;
}

int inbox_fd(const struct inbox *box)
{
    return box->fd;
}
