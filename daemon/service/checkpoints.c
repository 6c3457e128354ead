/* checkpoints.c - ListCheckpoints, PinCheckpoint, CollectCheckpoints.
 *
 * A pin is a hard link in checkpoints/pinned/, with a row of its own: whoever removes the file in checkpoints/ at that very
 * moment removes a name, and the bytes stay. So the daemon and a worker that collects need not agree on anything.
 */
#include "base/file.h"
#include "base/log.h"
#include "job/collect.h"
#include "job/change.h"
#include "job/folder.h"
#include "loop.h"
#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN_MAX 2000
#define PINNED "checkpoints/pinned/"

/* ---- on the wire ----------------------------------------------------------------------------- */

struct wire_checkpoints {
    struct daemon *daemon;
    int64_t job_id;
    V1(Checkpoint) * *list; /* owned, with what they hold */
    size_t n;
    bool failed;
};

static void free_checkpoint(V1(Checkpoint) * c)
{
    free(c->name);
    free(c->phase);
    free(c->sha256);
    free(c->metric_name);
    free(c);
}

static void wire_fini(struct wire_checkpoints *w)
{
    for (size_t i = 0; i < w->n; i++)
        free_checkpoint(w->list[i]);
    free(w->list);
}

static void job_file(const struct daemon *d, int64_t job_id, const char *name,
                     char ret_path[FOLDER_PATH_MAX + JOB_FILE_MAX])
{
    char dir[FOLDER_PATH_MAX];
    folder_path(d, job_id, dir);
    snprintf(ret_path, FOLDER_PATH_MAX + JOB_FILE_MAX, "%s/%s", dir, name);
}

static bool is_present(const struct wire_checkpoints *w, const struct stored_checkpoint *c)
{
    char path[FOLDER_PATH_MAX + JOB_FILE_MAX];
    struct stat sb;
    job_file(w->daemon, w->job_id, c->path, path);
    return lstat(path, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size == c->size_bytes;
}

/* A checkpoint that is pinned and still in its place is one for a reader: the row with the same bytes. */
static V1(Checkpoint) * twin_of(const struct wire_checkpoints *w, const struct stored_checkpoint *c)
{
    const char *name = strrchr(c->path, '/');
    for (size_t i = 0; i < w->n; i++) {
        const char *other = strrchr(w->list[i]->name, '/');
        if (name && other && strcmp(name, other) == 0 && strcmp(w->list[i]->sha256, c->sha256) == 0)
            return w->list[i];
    }
    return NULL;
}

static V1(Checkpoint) *
    new_checkpoint(const struct wire_checkpoints *w, const struct stored_checkpoint *c)
{
    V1(Checkpoint) *to = malloc(sizeof *to);
    if (!to)
        return NULL;
    espalier__v1__checkpoint__init(to);
    to->name = strdup(c->path);
    to->phase = strdup(c->phase);
    to->sha256 = strdup(c->sha256);
    to->metric_name = strdup(c->metric_name);
    to->total_step = (uint64_t)c->total_step;
    to->attempt = (uint32_t)c->attempt;
    to->size_bytes = (uint64_t)c->size_bytes;
    to->metric = c->metric;
    to->pinned = c->pinned;
    to->present = is_present(w, c);
    to->time_ms = c->time_ms;
    if (to->name && to->phase && to->sha256 && to->metric_name)
        return to;
    free_checkpoint(to);
    return NULL;
}

static bool add_checkpoint(const struct stored_checkpoint *c, void *user)
{
    struct wire_checkpoints *w = user;
    V1(Checkpoint) *twin = twin_of(w, c);
    if (twin && !c->pinned && !is_present(w, c))
        return true;
    if (twin && !c->pinned) { /* it is shown where it has always been */
        char *name = strdup(c->path);
        w->failed = !name;
        free(name ? twin->name : NULL);
        twin->name = name ? name : twin->name;
        return name != NULL;
    }
    if (twin) {
        twin->pinned = true;
        return true;
    }
    void *more = reallocarray(w->list, w->n + 1, sizeof *w->list);
    if (more) {
        w->list = more;
        w->list[w->n] = new_checkpoint(w, c);
    }
    w->failed = !more || !w->list[w->n];
    w->n += !w->failed;
    return !w->failed && w->n < SHOWN_MAX;
}

/* A checkpoint of before schema 2 that is not there was collected, if a newer one is. */
static void forget_leftovers(struct wire_checkpoints *w)
{
    const char *newest = "";
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        if (w->list[i]->present && !w->list[i]->pinned)
            newest = w->list[i]->name;
    for (size_t i = 0; i < w->n; i++) {
        V1(Checkpoint) *c = w->list[i];
        if (!c->present && collect_is_leftover(c->name, c->time_ms, newest))
            free_checkpoint(c);
        else
            w->list[n++] = c;
    }
    w->n = n;
}

static enum status wire_load(struct wire_checkpoints *w, struct daemon *d, int64_t job_id,
                             struct err *err)
{
    *w = (struct wire_checkpoints){.daemon = d, .job_id = job_id};
    TRY(store_checkpoints(d->store, job_id, add_checkpoint, w, err));
    forget_leftovers(w);
    return w->failed ? err_set(err, ST_NOMEM, "the daemon is out of memory") : ST_OK;
}

static int64_t *keep_id(int64_t id)
{
    int64_t *p = malloc(sizeof *p);
    if (p)
        *p = id;
    return p;
}

/* ---- list ------------------------------------------------------------------------------------ */

static void send_list(struct daemon *d, struct rpc_call *call, void *arg)
{
    struct wire_checkpoints w;
    struct err err;
    if (wire_load(&w, d, *(int64_t *)arg, &err) == ST_OK) {
        V1(ListCheckpointsReply) reply = ESPALIER__V1__LIST_CHECKPOINTS_REPLY__INIT;
        reply.checkpoints = w.list;
        reply.n_checkpoints = w.n;
        rpc_call_reply(call, &reply.base);
    } else {
        rpc_call_fail(call, err.code, err.text);
    }
    wire_fini(&w);
}

enum status serve_list_checkpoints(struct daemon *d, struct rpc_call *call,
                                   const V1(ListCheckpointsRequest) * request, struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    int64_t *id = keep_id(job.id);
    if (!id || !loop_answer_read(d, call, send_list, id, free)) {
        free(id);
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    }
    return ST_OK;
}

/* ---- pin ------------------------------------------------------------------------------------- */

enum status find_checkpoint_file(struct daemon *d, int64_t job_id, const char *name,
                                 char ret_path[JOB_FILE_MAX], struct err *err)
{
    char path[FOLDER_PATH_MAX + JOB_FILE_MAX], pinned[JOB_FILE_MAX];
    struct stored_checkpoint row;
    enum status st =
        *name ? store_checkpoint_find(d->store, job_id, name, ret_path, err) : ST_NOT_FOUND;
    if (st == ST_NOT_FOUND)
        return err_set(err, st,
                       "job %lld has no checkpoint '%.80s'; `espalier ckpt ls %lld` lists them",
                       (long long)job_id, name, (long long)job_id);
    TRY(st);
    /* A worker may have collected it, and the pinned one is the same. */
    job_file(d, job_id, ret_path, path);
    if (!file_exists(path) &&
        snprintf(pinned, sizeof pinned, PINNED "%s", path_base(ret_path)) < (int)sizeof pinned &&
        store_checkpoint_load(d->store, job_id, pinned, &row, NULL) == ST_OK)
        snprintf(ret_path, JOB_FILE_MAX, "%s", pinned);
    return ST_OK;
}

/* The same file under another name of the job; one that is there already is right if it is the same file. */
static enum status link_file(struct daemon *d, int64_t job_id, const char *from, const char *to,
                             struct err *err)
{
    char a[FOLDER_PATH_MAX + JOB_FILE_MAX], b[FOLDER_PATH_MAX + JOB_FILE_MAX];
    struct stat x, y;
    job_file(d, job_id, from, a);
    job_file(d, job_id, to, b);
    if (link(a, b) == 0)
        return file_sync_parent(b, err);
    if (errno == EEXIST && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino)
        return ST_OK;
    if (errno == ENOENT)
        return err_set(err, ST_NOT_FOUND, "the file %s of job %lld is gone", from,
                       (long long)job_id);
    return err_errno(err, "cannot link %s to %s", a, to);
}

static enum status write_sum(struct daemon *d, int64_t job_id, const char *name, const char *sha,
                             struct err *err)
{
    char path[FOLDER_PATH_MAX + JOB_FILE_MAX + 16], line[JOB_FILE_MAX + 80];
    job_file(d, job_id, name, path);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, KEEP_SUM);
    int len = snprintf(line, sizeof line, "%s  %s\n", sha, path_base(name));
    return file_write_atomic(path, line, (size_t)len, 0600, err);
}

/* A row's text outlives the next call on the store. */
struct kept_row {
    struct stored_checkpoint row;
    char path[JOB_FILE_MAX], sha256[65], phase[64], metric_name[130];
};

static enum status load_row(struct daemon *d, int64_t job_id, const char *path, struct kept_row *k,
                            struct err *err)
{
    enum status st = store_checkpoint_load(d->store, job_id, path, &k->row, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "job %lld has no checkpoint %s any more", (long long)job_id, path);
    TRY(st);
    snprintf(k->path, sizeof k->path, "%s", k->row.path);
    snprintf(k->sha256, sizeof k->sha256, "%s", k->row.sha256);
    snprintf(k->phase, sizeof k->phase, "%s", k->row.phase);
    snprintf(k->metric_name, sizeof k->metric_name, "%s", k->row.metric_name);
    k->row.path = k->path;
    k->row.sha256 = k->sha256;
    k->row.phase = k->phase;
    k->row.metric_name = k->metric_name;
    return ST_OK;
}

/* File first, then row: a kill between leaves a link that the next pin finds right. */
static enum status pin(struct daemon *d, int64_t job_id, struct kept_row *k, struct err *err)
{
    char to[JOB_FILE_MAX], dir[FOLDER_PATH_MAX + JOB_FILE_MAX];
    if (k->row.pinned)
        return ST_OK;
    job_file(d, job_id, PINNED, dir);
    TRY(file_mkdirs(dir, 0700, err));
    if (snprintf(to, sizeof to, PINNED "%s", path_base(k->path)) >= (int)sizeof to)
        return err_set(err, ST_INVALID, "the name %s is too long to be pinned", k->path);
    TRY(link_file(d, job_id, k->path, to, err));
    TRY(write_sum(d, job_id, to, k->sha256, err));
    struct stored_checkpoint next = k->row;
    next.path = to;
    next.pinned = true;
    if (store_checkpoint_add(d->store, job_id, &next, err) != ST_OK)
        return group_fail(d, err);
    snprintf(k->path, sizeof k->path, "%s", to);
    k->row.pinned = true;
    return ST_OK;
}

/* Back into checkpoints/, where the rule may take it; nothing is deleted by unpinning. ret_pinned: the name that goes once
 * this is durable; "" = it was not pinned. */
static enum status unpin(struct daemon *d, int64_t job_id, struct kept_row *k,
                         char ret_pinned[JOB_FILE_MAX], struct err *err)
{
    char pinned[JOB_FILE_MAX], back[JOB_FILE_MAX];
    struct stored_checkpoint row;
    ret_pinned[0] = '\0';
    if (snprintf(pinned, sizeof pinned, PINNED "%s", path_base(k->path)) >= (int)sizeof pinned ||
        store_checkpoint_load(d->store, job_id, pinned, &row, err) == ST_NOT_FOUND)
        return ST_OK; /* it is not pinned */
    TRY(load_row(d, job_id, pinned, k, err));
    snprintf(back, sizeof back, "checkpoints/%.200s", path_base(pinned));
    enum status st = store_checkpoint_load(d->store, job_id, back, &row, err);
    if (st == ST_OK && strcmp(row.sha256, k->sha256) != 0)
        return err_set(err, ST_STATE,
                       "%s was written anew since; unpinning would leave no place for the pinned "
                       "one, which `espalier ckpt get %lld %s` fetches",
                       back, (long long)job_id, pinned);
    TRY(link_file(d, job_id, pinned, back, err));
    TRY(write_sum(d, job_id, back, k->sha256, err));
    struct stored_checkpoint next = k->row;
    next.path = back;
    next.pinned = false;
    if (store_checkpoint_add(d->store, job_id, &next, err) != ST_OK ||
        store_checkpoint_remove(d->store, job_id, pinned, err) != ST_OK)
        return group_fail(d, err);
    snprintf(ret_pinned, JOB_FILE_MAX, "%s", pinned);
    snprintf(k->path, sizeof k->path, "%s", back);
    k->row.pinned = false;
    return ST_OK;
}

struct pinned {
    int64_t job_id;
    char path[JOB_FILE_MAX], gone[JOB_FILE_MAX]; /* gone: the pinned name; "" = none goes */
};

static void drop_pinned(struct daemon *d, const struct pinned *p)
{
    char path[FOLDER_PATH_MAX + JOB_FILE_MAX + 16];
    if (!p->gone[0])
        return;
    job_file(d, p->job_id, p->gone, path);
    unlink(path);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, KEEP_SUM);
    unlink(path);
}

static void send_pin(struct daemon *d, struct rpc_call *call, void *arg)
{
    const struct pinned *p = arg;
    struct wire_checkpoints w = {.daemon = d, .job_id = p->job_id};
    struct kept_row k;
    struct err err;
    V1(PinCheckpointReply) reply = ESPALIER__V1__PIN_CHECKPOINT_REPLY__INIT;
    drop_pinned(d, p);
    enum status st = load_row(d, p->job_id, p->path, &k, &err);
    if (st == ST_OK)
        reply.checkpoint = new_checkpoint(&w, &k.row);
    if (st == ST_OK && !reply.checkpoint)
        st = err_set(&err, ST_NOMEM, "the daemon is out of memory");
    if (st == ST_OK)
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, st, err.text);
    if (reply.checkpoint)
        free_checkpoint(reply.checkpoint);
}

enum status serve_pin_checkpoint(struct daemon *d, struct rpc_call *call,
                                 const V1(PinCheckpointRequest) * request, struct err *err)
{
    struct job job;
    char path[JOB_FILE_MAX], gone[JOB_FILE_MAX] = "";
    struct kept_row k;
    TRY(lookup_job(d, request->id, &job, err));
    TRY(find_checkpoint_file(d, job.id, request->name, path, err));
    TRY(load_row(d, job.id, path, &k, err));
    TRY(request->pinned ? pin(d, job.id, &k, err) : unpin(d, job.id, &k, gone, err));
    struct pinned *p = malloc(sizeof *p);
    if (p) {
        p->job_id = job.id;
        snprintf(p->path, sizeof p->path, "%s", k.path);
        snprintf(p->gone, sizeof p->gone, "%s", gone);
    }
    if (!p || !loop_answer(d, call, send_pin, p, free)) {
        free(p);
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    }
    return ST_OK;
}

/* ---- collect --------------------------------------------------------------------------------- */

struct collecting {
    int64_t job_id;
    bool dry_run;
    struct collection c;
};

static void drop_collecting(void *arg)
{
    struct collecting *g = arg;
    collection_fini(&g->c);
    free(g);
}

/* Into ret_wire[] those that stay, or those that go; borrowed from c. */
static size_t wire_collected(const struct collection *c, bool stays, V1(Collected) * ret_wire,
                             V1(Collected) * *ret_list)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct collected *from = &c->list[i];
        if (from->stays != stays)
            continue;
        V1(Collected) *to = ret_list[n] = &ret_wire[n];
        espalier__v1__collected__init(to);
        to->name = (char *)from->path;
        to->size_bytes = (uint64_t)from->bytes;
        to->why = (char *)from->why;
        to->metric_name = (char *)(from->has_metric ? keep_metric_name(c->rule.by) : "");
        to->metric = from->has_metric ? from->metric : 0;
        n++;
    }
    return n;
}

static void send_collect(struct daemon *d, struct rpc_call *call, void *arg)
{
    const struct collecting *g = arg;
    size_t n = g->c.n;
    V1(Collected) *each = calloc(n + 1, sizeof *each), **list = calloc(n + 1, sizeof(void *));
    V1(CollectCheckpointsReply) reply = ESPALIER__V1__COLLECT_CHECKPOINTS_REPLY__INIT;
    reply.kept_bytes = (uint64_t)g->c.kept_bytes;
    if (each && list) {
        reply.collected = list;
        reply.n_collected = wire_collected(&g->c, false, each, list);
        reply.kept = list + reply.n_collected;
        reply.n_kept = wire_collected(&g->c, true, each + reply.n_collected, reply.kept);
    }
    if (!g->dry_run) {
        collection_drop_files(d, g->job_id, &g->c);
        log_info("job %lld: %zu checkpoints were collected by %s", (long long)g->job_id,
                 reply.n_collected, d->caller->name);
    }
    if (each && list)
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
    free(list);
    free(each);
}

enum status serve_collect_checkpoints(struct daemon *d, struct rpc_call *call,
                                      const V1(CollectCheckpointsRequest) * request,
                                      struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    if (!request->dry_run && job_state_holds(job.state))
        return err_set(err, ST_STATE,
                       "job %lld is %s: its worker collects by itself after each checkpoint; ask "
                       "again when it does not run, or with --dry-run",
                       (long long)job.id, job_state_name(job.state));
    struct collecting *g = calloc(1, sizeof *g);
    if (!g)
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    g->job_id = job.id;
    g->dry_run = request->dry_run;
    enum status st = collection_plan(d, job.id, &g->c, err);
    if (st == ST_OK && !g->dry_run)
        st = collection_drop_rows(d, job.id, &g->c, err);
    bool owed =
        st == ST_OK && (g->dry_run ? loop_answer_read(d, call, send_collect, g, drop_collecting)
                                   : loop_answer(d, call, send_collect, g, drop_collecting));
    if (st == ST_OK && !owed)
        st = err_set(err, ST_NOMEM, "the daemon is out of memory");
    if (!owed)
        drop_collecting(g);
    return st;
}
