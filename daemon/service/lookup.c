/* lookup.c - finding the job that a request means. See service.h. */
#include "service/access.h"
#include "service/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum status parse_id(struct daemon *d, const char *text, int64_t *ret_id, struct err *err)
{
    if (strcmp(text, "last") == 0) {
        if (store_job_newest(d->store, access_only_owner(d->caller), ret_id, err) == ST_OK)
            return ST_OK;
        return err->code == ST_NOT_FOUND
                   ? err_set(err, ST_NOT_FOUND, "there is no job yet; `espalier submit` makes one")
                   : err->code;
    }
    char *end;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || id <= 0)
        return err_set(err, ST_INVALID, "'%.40s' is no job id: give a number, or last", text);
    *ret_id = id;
    return ST_OK;
}

enum status lookup_job(struct daemon *d, const char *text, struct job *ret_job, struct err *err)
{
    int64_t id = 0;
    TRY(parse_id(d, text, &id, err));
    const struct active *a = jobs_find(d->jobs, id);
    enum status st = ST_OK;
    if (a)
        *ret_job = a->job;
    else
        st = store_job_load(d->store, id, ret_job, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "no job %lld; list them with `espalier jobs`", (long long)id);
    TRY(st);
    return access_check_job(d->caller, ret_job->id, ret_job->owner, err);
}

void wire_progress_load(struct daemon *d, int64_t job_id, struct wire_progress *ret_progress)
{
    struct event e;
    ret_progress->progress = NULL;
    if (store_event_newest(d->store, job_id, "", &e, NULL) == ST_OK)
        ret_progress->progress = espalier__v1__progress__unpack(NULL, e.body_len, e.body);
}

void wire_progress_fini(struct wire_progress *p)
{
    if (p->progress)
        espalier__v1__progress__free_unpacked(p->progress, NULL);
}
