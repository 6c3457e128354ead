/* list.c - List: newest first, in pages. A page's token is the smallest id it showed. */
#include "loop.h"
#include "service/access.h"
#include "service/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX 1000
#define TOKEN_PREFIX "before-"

struct page_query {
    int64_t before;
    uint64_t states;
    int limit;
};

/* A row owns copies of what the store only lends. */
struct page_row {
    V1(JobSummary) summary;
    char id[24], name[JOB_NAME_MAX], owner[JOB_OWNER_MAX];
    int64_t number;
    struct wire_progress progress;
};

struct page {
    struct page_row *rows;
    int n;
};

static bool add_row(const struct job *job, void *user)
{
    struct page *page = user;
    struct page_row *r = &page->rows[page->n++];
    V1(JobSummary) *s = &r->summary;
    espalier__v1__job_summary__init(s);
    r->number = job->id;
    snprintf(r->id, sizeof r->id, "%lld", (long long)job->id);
    snprintf(r->name, sizeof r->name, "%s", job->name);
    snprintf(r->owner, sizeof r->owner, "%s", job->owner);
    s->id = r->id;
    s->name = r->name;
    s->owner = r->owner;
    s->state = (V1(JobState))job->state;
    s->reason = (char *)job_reason_name(job->reason);
    s->attempt = (uint32_t)job->attempt.number;
    s->submitted_ms = job->submitted_ms;
    s->started_ms = job->started_ms;
    s->ended_ms = job->ended_ms;
    s->priority = job->priority;
    s->ranks = (uint32_t)job->ranks;
    return true;
}

static void reply_page(struct rpc_call *call, struct page *page, int limit)
{
    V1(ListReply) reply = ESPALIER__V1__LIST_REPLY__INIT;
    char token[40] = "";
    int shown = page->n < limit ? page->n : limit;
    V1(JobSummary) **jobs = calloc((size_t)shown + 1, sizeof(V1(JobSummary) *));
    if (!jobs) {
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
        return;
    }
    for (int i = 0; i < shown; i++)
        jobs[i] = &page->rows[i].summary;
    /* One row more than asked for was read: it tells whether there is another page. */
    if (page->n > limit)
        snprintf(token, sizeof token, TOKEN_PREFIX "%" PRId64, page->rows[shown - 1].number);
    reply.jobs = jobs;
    reply.n_jobs = (size_t)shown;
    reply.next_page_token = token;
    rpc_call_reply(call, &reply.base);
    free(jobs);
}

static void send_list(struct daemon *d, struct rpc_call *call, void *arg)
{
    const struct page_query *q = arg;
    struct err err;
    struct page page = {.rows = calloc((size_t)q->limit + 1, sizeof *page.rows)};
    if (!page.rows) {
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
        return;
    }
    enum status st = store_jobs_page(d->store, q->before, access_only_owner(d->caller), q->states,
                                     q->limit + 1, add_row, &page, &err);
    if (st != ST_OK) {
        rpc_call_fail(call, st, err.text);
        free(page.rows);
        return;
    }
    for (int i = 0; i < page.n; i++) {
        wire_progress_load(d, page.rows[i].number, &page.rows[i].progress);
        page.rows[i].summary.progress = page.rows[i].progress.progress;
    }
    reply_page(call, &page, q->limit);
    for (int i = 0; i < page.n; i++)
        wire_progress_fini(&page.rows[i].progress);
    free(page.rows);
}

static enum status parse_token(const char *token, int64_t *ret_before, struct err *err)
{
    size_t n = strlen(TOKEN_PREFIX);
    char *end = NULL;
    *ret_before = INT64_MAX;
    if (!*token)
        return ST_OK;
    errno = 0;
    if (strncmp(token, TOKEN_PREFIX, n) == 0)
        *ret_before = strtoll(token + n, &end, 10);
    if (!end || *end || end == token + n || errno || *ret_before <= 0)
        return err_set(err, ST_INVALID,
                       "page_token '%.60s' is none of this daemon's; take it from the last reply",
                       token);
    return ST_OK;
}

static enum status parse_query(const V1(ListRequest) * request, struct page_query *q,
                               struct err *err)
{
    if (request->page_size > PAGE_MAX)
        return err_set(err, ST_INVALID, "page_size is %u; 1 to %d are allowed", request->page_size,
                       PAGE_MAX);
    q->limit = request->page_size ? (int)request->page_size : PAGE_DEFAULT;
    for (size_t i = 0; i < request->n_states; i++) {
        unsigned s = (unsigned)request->states[i];
        if (s == 0 || s >= JOB_STATE_COUNT)
            return err_set(err, ST_INVALID, "%u is no job state", s);
        q->states |= (uint64_t)1 << s;
    }
    return parse_token(request->page_token, &q->before, err);
}

enum status serve_list(struct daemon *d, struct rpc_call *call, const V1(ListRequest) * request,
                       struct err *err)
{
    struct page_query *q = calloc(1, sizeof *q);
    enum status st =
        q ? parse_query(request, q, err) : err_set(err, ST_NOMEM, "the daemon is out of memory");
    if (st == ST_OK && !loop_answer_read(d, call, send_list, q, free))
        st = err_set(err, ST_NOMEM, "the daemon is out of memory");
    if (st != ST_OK)
        free(q);
    return st;
}
