/* metrics.c - see metrics.h. */
#include "metrics/metrics.h"

#include "base/log.h"
#include "daemon.h"
#include "job/jobs.h"
#include "metrics/page.h"
#include "service/streams.h"
#include "webhook/webhook.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PUBLISH_MS 250
#define CONNECTIONS_MAX 16
#define CONNECTION_S 10

struct metrics {
    struct MHD_Daemon *http;
    pthread_mutex_t lock;
    struct metrics_page page; /* behind lock */

    struct metrics_page next; /* the loop's own */
    bool recount, unpublished;
    int64_t published_ms; /* monotonic */
};

/* ---- the address ------------------------------------------------------------------------------ */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_address(const char *text, union address *ret)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    bool v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
    char *end;
    if (n == 0 || n >= sizeof host || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")])
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (port > 65535)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(v6 ? n - 2 : n), v6 ? text + 1 : text);
    *ret = (union address){0};
    ret->any.sa_family = v6 ? AF_INET6 : AF_INET;
    if (v6)
        ret->v6.sin6_port = htons((uint16_t)port);
    else
        ret->v4.sin_port = htons((uint16_t)port);
    return inet_pton(ret->any.sa_family, host,
                     v6 ? (void *)&ret->v6.sin6_addr : (void *)&ret->v4.sin_addr) == 1;
}

static bool is_loopback(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr)
                                        : ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

static enum status read_address(const char *text, union address *ret, struct err *err)
{
    if (!parse_address(text, ret))
        return err_set(err, ST_INVALID, "expects ADDRESS:PORT such as 127.0.0.1:9470, got '%.60s'",
                       text);
    if (!is_loopback(ret))
        return err_set(err, ST_INVALID,
                       "the page is plain HTTP for everybody who reaches it, so it listens on "
                       "loopback only (127.0.0.1:9470, [::1]:9470), not on '%.60s'",
                       text);
    return ST_OK;
}

enum status metrics_check_address(const char *text, struct err *err)
{
    union address a;
    return read_address(text, &a, err);
}

/* ---- the page's thread ------------------------------------------------------------------------ */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned code, const char *type, char *text,
                              size_t len, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned code, const char *text)
{
    return answer(c, code, "text/plain; charset=utf-8", (char *)text, strlen(text),
                  MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result serve(void *user, struct MHD_Connection *c, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_size, void **request)
{
    struct metrics *m = user;
    struct buf text;
    (void)version, (void)upload, (void)request;
    if (*upload_size)
        return MHD_NO;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (strcmp(url, "/metrics") != 0)
        return refuse(c, MHD_HTTP_NOT_FOUND, "the page is /metrics\n");
    buf_init(&text, PAGE_MAX_BYTES);
    pthread_mutex_lock(&m->lock);
    struct metrics_page page = m->page;
    pthread_mutex_unlock(&m->lock);
    page_print(&page, &text);
    size_t len = text.len;
    char *data = buf_take(&text);
    if (!data)
        return MHD_NO;
    return answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", data, len,
                  MHD_RESPMEM_MUST_FREE);
}

static enum status listen_on(struct metrics *m, const char *text, struct err *err)
{
    union address a;
    TRY(read_address(text, &a, err));
    unsigned flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD;
    if (a.any.sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    m->http = MHD_start_daemon(flags, 0, NULL, NULL, serve, m, MHD_OPTION_SOCK_ADDR, &a.any,
                               MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                               MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_S, MHD_OPTION_END);
    if (!m->http)
        return errno ? err_errno(err, "cannot serve metrics on %s", text)
                     : err_set(err, ST_IO, "cannot serve metrics on %s", text);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(m->http, MHD_DAEMON_INFO_BIND_PORT);
    log_info("metrics on http://%.*s:%u/metrics", (int)(strrchr(text, ':') - text), text,
             info ? info->port : 0);
    return ST_OK;
}

/* ---- the loop's side -------------------------------------------------------------------------- */

static void list_jobs(const struct daemon *d, struct metrics_page *p)
{
    p->njobs = 0;
    for (size_t i = d->jobs->n; i-- > 0 && p->njobs < PAGE_JOBS_MAX;) {
        const struct active *a = d->jobs->list[i];
        if (job_state_holds(a->job.state) && a->progress.step_seconds > 0)
            p->job[p->njobs++] = (struct metrics_job){a->job.id, a->progress.step_seconds,
                                                      a->progress.params_kept, a->progress.done};
    }
}

static void publish(struct daemon *d)
{
    struct metrics *m = d->metrics;
    struct metrics_page *p = &m->next;
    if (m->recount && store_count_states(d->store, p->jobs, NULL) == ST_OK)
        m->recount = false;
    (void)store_cursor_last(d->store, &p->cursor, NULL);
    struct jobs_load load = jobs_load(d->jobs, &d->options.node);
    p->waiting = load.waiting;
    p->running = load.running;
    p->free = load.free;
    p->total = d->options.node;
    p->meters = d->meters;
    p->streams = streams_open_count(d);
    webhook_meters(d, p);
    list_jobs(d, p);
    pthread_mutex_lock(&m->lock);
    m->page = *p;
    pthread_mutex_unlock(&m->lock);
}

void metrics_pass(struct daemon *d)
{
    struct metrics *m = d->metrics;
    if (!m)
        return;
    int64_t now = d->clock->mono_ms(d->clock);
    /* What an open group has written is not true yet. */
    m->unpublished = now - m->published_ms < PUBLISH_MS || store_is_writing(d->store);
    if (m->unpublished)
        return;
    m->published_ms = now;
    publish(d);
}

int metrics_wait_ms(const struct daemon *d, int ms)
{
    if (!d->metrics || !d->metrics->unpublished)
        return ms;
    return ms < 0 || ms > PUBLISH_MS ? PUBLISH_MS : ms;
}

void metrics_note_change(struct daemon *d, enum job_state from, enum job_state to)
{
    if (!d->metrics)
        return;
    d->metrics->next.jobs[from] -= from != JOB_NONE;
    d->metrics->next.jobs[to]++;
}

void metrics_recount(struct daemon *d)
{
    if (d->metrics)
        d->metrics->recount = true;
}

enum status metrics_create(struct daemon *d, struct err *err)
{
    if (!d->options.config.metrics_listen[0])
        return ST_OK;
    struct metrics *m = d->metrics = calloc(1, sizeof *m);
    if (!m)
        return err_set(err, ST_NOMEM, "out of memory for the metrics page");
    pthread_mutex_init(&m->lock, NULL);
    m->next.version = ESPALIER_VERSION;
    m->next.schema = store_schema_version();
    m->next.started_ms = d->started_ms;
    m->recount = true;
    m->published_ms = -PUBLISH_MS;
    publish(d);
    return listen_on(m, d->options.config.metrics_listen, err);
}

void metrics_destroy(struct daemon *d)
{
    struct metrics *m = d->metrics;
    if (!m)
        return;
    if (m->http)
        MHD_stop_daemon(m->http);
    pthread_mutex_destroy(&m->lock);
    free(m);
    d->metrics = NULL;
}
