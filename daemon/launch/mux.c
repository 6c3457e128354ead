/* mux.c - two launchers as one: each attempt goes to the one its spec names. See launch.h. */
#include "launch/launch.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct launch_mux {
    struct launch base;
    struct launch *part[2]; /* owned; by in_slurm */
    int epoll;              /* of their descriptors */
};

static struct launch *part_of(struct launch *l, const struct launch_spec *spec)
{
    return ((struct launch_mux *)l)->part[spec->in_slurm];
}

static enum status mux_start(struct launch *l, const struct launch_spec *spec, struct err *err)
{
    struct launch *p = part_of(l, spec);
    return p->ops->start(p, spec, err);
}

static void mux_poll(struct launch *l, const struct launch_spec *spec, struct evidence *ret_ev)
{
    struct launch *p = part_of(l, spec);
    p->ops->poll(p, spec, ret_ev);
}

static void mux_stop(struct launch *l, const struct launch_spec *spec, enum stop_rung rung)
{
    struct launch *p = part_of(l, spec);
    p->ops->stop(p, spec, rung);
}

static void mux_ask(struct launch *l, const struct launch_spec *spec)
{
    struct launch *p = part_of(l, spec);
    if (p->ops->ask)
        p->ops->ask(p, spec);
}

static void mux_tick(struct launch *l)
{
    struct launch_mux *m = (struct launch_mux *)l;
    for (int i = 0; i < 2; i++)
        if (m->part[i]->ops->tick)
            m->part[i]->ops->tick(m->part[i]);
}

static int mux_wake_fd(struct launch *l)
{
    return ((struct launch_mux *)l)->epoll;
}

static void mux_destroy(struct launch *l)
{
    struct launch_mux *m = (struct launch_mux *)l;
    launch_destroy(m->part[0]);
    launch_destroy(m->part[1]);
    if (m->epoll >= 0)
        close(m->epoll);
    free(m);
}

static const struct launch_ops mux_ops = {
    .name = "mux",
    .start = mux_start,
    .poll = mux_poll,
    .stop = mux_stop,
    .ask = mux_ask,
    .tick = mux_tick,
    .wake_fd = mux_wake_fd,
    .destroy = mux_destroy,
};

enum status launch_mux_create(struct launch **ret_launch, struct launch *local,
                              struct launch *slurm, struct err *err)
{
    struct launch_mux *m = calloc(1, sizeof *m);
    if (!m) {
        launch_destroy(local);
        launch_destroy(slurm);
        return err_set(err, ST_NOMEM, "out of memory for the launcher");
    }
    *m = (struct launch_mux){.base.ops = &mux_ops, .part = {local, slurm}};
    m->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum status st = m->epoll < 0 ? err_errno(err, "cannot watch processes") : ST_OK;
    for (int i = 0; st == ST_OK && i < 2; i++) {
        int fd = m->part[i]->ops->wake_fd(m->part[i]);
        struct epoll_event ev = {.events = EPOLLIN};
        if (fd >= 0 && epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
            st = err_errno(err, "cannot watch processes");
    }
    if (st == ST_OK)
        *ret_launch = &m->base;
    else
        mux_destroy(&m->base);
    return st;
}
