/* cmd_pull.c - `espalier pull`: a job's result files, checked against their SHA-256.
 *
 * A file arrives as NAME.<first 12 digits of its hash>.part beside its place, which a broken transfer leaves there and the
 * next one continues; only a whole file with the right hash gets its name. So a file under its name is right, and
 * one that is there already with the right hash is not fetched again.
 */
#include "client/commands.h"
#include "client/message.h"
#include "client/pull.h"

#include "base/file.h"
#include "base/hash.h"
#include "term/bar.h"
#include "term/format.h"
#include "term/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct transfer {
    struct cli *cli;
    const char *id;
    const Espalier__V1__Artifact *file;
    char *path, *part; /* owned */
    int fd;
    struct hash *hash;
    uint64_t have; /* bytes in the part file */
    struct live live;
};

/* A name stays below the folder it is pulled into, whatever the daemon says. */
static bool name_is_safe(const char *name)
{
    if (!name[0] || name[0] == '/')
        return false;
    for (const char *c = name; c; c = strchr(c, '/')) {
        c += *c == '/';
        size_t n = strcspn(c, "/");
        if (n == 0 || (n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.'))
            return false;
    }
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static enum status make_parent(const char *path, struct err *err)
{
    char *dir = path_dir(path);
    if (!dir)
        return err_set(err, ST_NOMEM, "out of memory for the path %s", path);
    enum status st = file_mkdirs(dir, 0777, err);
    free(dir);
    return st;
}

/* Takes what an earlier transfer left into the hash. */
static enum status open_part(struct transfer *t, struct err *err)
{
    char chunk[65536];
    ssize_t n;
    t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t->fd < 0)
        return err_errno(err, "cannot create %s", t->part);
    while ((n = read(t->fd, chunk, sizeof chunk)) > 0) {
        hash_add(t->hash, chunk, (size_t)n);
        t->have += (uint64_t)n;
    }
    if (n < 0)
        return err_errno(err, "cannot read %s", t->part);
    if (t->have <= t->file->size_bytes)
        return ST_OK;
    unlink(t->part);
    return err_set(err, ST_CORRUPT, "%s was longer than the file and is removed; pull again",
                   t->part);
}

static void show_progress(struct transfer *t)
{
    char have[FORMAT_MAX], whole[FORMAT_MAX];
    struct buf out;
    if (!t->cli->err.tty || t->cli->json)
        return;
    buf_init(&out, 65536);
    buf_puts(&out, "  ");
    bar_draw(&out, &t->cli->err, 24,
             (double)t->have / (double)(t->file->size_bytes + !t->file->size_bytes), STYLE_CYAN);
    buf_printf(&out, "  %s / %s  ", format_size(have, t->have),
               format_size(whole, t->file->size_bytes));
    term_clean(&out, t->file->name, strlen(t->file->name));
    buf_puts(&out, "\n");
    live_draw(&t->live, buf_str(&out));
    buf_fini(&out);
}

static enum status add_chunk(struct transfer *t, const Espalier__V1__DownloadChunk *chunk,
                             struct err *err)
{
    const uint8_t *data = chunk->data.data;
    size_t left = chunk->data.len;
    hash_add(t->hash, data, left);
    while (left > 0) {
        ssize_t n = write(t->fd, data, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "cannot write %s", t->part);
        data += n;
        left -= (size_t)n;
        t->have += (uint64_t)n;
    }
    show_progress(t);
    return ST_OK;
}

static enum status receive(struct transfer *t, struct err *err)
{
    Espalier__V1__DownloadRequest request = ESPALIER__V1__DOWNLOAD_REQUEST__INIT;
    struct rpc_stream *stream = NULL;
    request.id = (char *)t->id;
    request.name = t->file->name;
    request.offset_bytes = t->have;
    TRY(rpc_stream_open(&stream, t->cli->rpc, "/espalier.v1.JobService/Download", &request.base,
                        &espalier__v1__download_chunk__descriptor, err));
    enum status st = ST_OK;
    bool more = true;
    while (more) {
        ProtobufCMessage *message = NULL;
        st = rpc_stream_next(stream, &message, err);
        more = st == ST_OK && message;
        if (more) {
            st = add_chunk(t, (Espalier__V1__DownloadChunk *)message, err);
            more = st == ST_OK;
        }
        reply_free(message);
    }
    rpc_stream_close(stream);
    return st;
}

/* The whole file under its name, durably, or nothing. */
static enum status finish(struct transfer *t, struct err *err)
{
    char hex[HASH_HEX_SIZE];
    hash_finish(t->hash, hex);
    if (t->have != t->file->size_bytes || strcmp(hex, t->file->sha256) != 0) {
        unlink(t->part);
        return err_set(
            err, ST_CORRUPT,
            "%s arrived with %llu of %llu bytes and SHA-256 %.12s... instead of %.12s...; "
            "it is removed, pull again",
            t->file->name, (unsigned long long)t->have, (unsigned long long)t->file->size_bytes,
            hex, t->file->sha256);
    }
    if (fsync(t->fd) < 0)
        return err_errno(err, "cannot sync %s", t->part);
    if (rename(t->part, t->path) < 0)
        return err_errno(err, "cannot rename %s to %s", t->part, t->path);
    return file_sync_parent(t->path, err);
}

static bool is_there(const struct transfer *t)
{
    struct stat sb;
    char hex[HASH_HEX_SIZE];
    return stat(t->path, &sb) == 0 && (uint64_t)sb.st_size == t->file->size_bytes &&
           hash_file(hex, t->path, NULL) == ST_OK && !strcmp(hex, t->file->sha256);
}

static enum status fetch(struct transfer *t, bool *ret_fetched, struct err *err)
{
    TRY(make_parent(t->path, err));
    *ret_fetched = !is_there(t);
    if (!*ret_fetched)
        return ST_OK;
    t->hash = hash_create();
    if (!t->hash || asprintf(&t->part, "%s.%.12s.part", t->path, t->file->sha256) < 0)
        return err_set(err, ST_NOMEM, "out of memory for %s", t->file->name);
    TRY(open_part(t, err));
    if (t->have < t->file->size_bytes || t->file->size_bytes == 0)
        TRY(receive(t, err));
    return finish(t, err);
}

/* ---- one file, then all --------------------------------------------------------------------------- */

static int report(struct cli *cli, const struct transfer *t, bool fetched)
{
    char size[FORMAT_MAX];
    struct buf out;
    buf_init(&out, 1 << 16);
    if (cli->json) {
        struct json_object *json = message_json(&t->file->base);
        json_object_object_add(json, "path", json_object_new_string(t->path));
        json_object_object_add(json, "fetched", json_object_new_boolean(fetched));
        buf_printf(&out, "%s\n",
                   json_object_to_json_string_ext(json, JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(json);
    } else {
        buf_puts(&out, t->path);
        term_style(&out, &cli->out, STYLE_DIM, "  %s%s", format_size(size, t->file->size_bytes),
                   fetched ? "" : ", was there already");
        buf_puts(&out, "\n");
    }
    int code = cli_print(cli, &out);
    buf_fini(&out);
    return code;
}

int pull_file(struct cli *cli, const char *id, const Espalier__V1__Artifact *file, const char *path)
{
    struct err err;
    struct transfer t = {.cli = cli, .id = id, .file = file, .fd = -1};
    bool fetched = false;
    enum status st;
    live_init(&t.live, &cli->err);
    t.path = strdup(path);
    st = t.path ? fetch(&t, &fetched, &err)
                : err_set(&err, ST_NOMEM, "out of memory for %s", file->name);
    if (t.live.hidden) /* the bar gives way to the line that report() prints */
        live_draw(&t.live, "");
    live_end(&t.live);
    if (t.fd >= 0)
        close(t.fd);
    int code = st == ST_OK ? report(cli, &t, fetched) : cli_fail(cli, &err);
    hash_destroy(t.hash);
    free(t.path);
    free(t.part);
    return code;
}

static int pull_one(struct cli *cli, const char *id, const char *dir,
                    const Espalier__V1__Artifact *file)
{
    struct err err;
    if (!name_is_safe(file->name)) {
        err_set(&err, ST_CORRUPT, "the job names a file '%.80s' outside its folder", file->name);
        return cli_fail(cli, &err);
    }
    char *path = path_join(dir, file->name);
    if (!path) {
        err_set(&err, ST_NOMEM, "out of memory for %s", file->name);
        return cli_fail(cli, &err);
    }
    int code = pull_file(cli, id, file, path);
    free(path);
    return code;
}

static bool wanted(const struct args *args, const char *name)
{
    bool any = false;
    for (int i = 1; i < args->npositionals; i++) {
        const char *want = args->positional[i];
        size_t n = strlen(want);
        /* The file, or the folder it lies in. */
        any |= !strcmp(want, name) ||
               (n > 0 && !strncmp(want, name, n) && (name[n] == '/' || want[n - 1] == '/'));
    }
    return any || args->npositionals == 1;
}

/* A name that matches nothing is said before anything is fetched. */
static enum status check_names(const struct args *args, const Espalier__V1__Job *job,
                               struct err *err)
{
    for (int i = 1; i < args->npositionals; i++) {
        struct args one = {.npositionals = 2, .positional = {"", args->positional[i]}};
        bool found = false;
        for (size_t j = 0; j < job->n_artifacts; j++)
            found |= wanted(&one, job->artifacts[j]->name);
        if (!found)
            return err_set(err, ST_NOT_FOUND,
                           "job %s has no result '%.80s'; `espalier show %s` lists them", job->id,
                           args->positional[i], job->id);
    }
    if (job->n_artifacts == 0)
        return err_set(err, ST_NOT_FOUND, "job %s has no results yet", job->id);
    return ST_OK;
}

static int pull_all(struct cli *cli, const struct args *args, const Espalier__V1__Job *job)
{
    struct err err;
    char standard[32];
    int code = 0;
    if (check_names(args, job, &err) != ST_OK)
        return cli_fail(cli, &err);
    snprintf(standard, sizeof standard, "job-%.20s", job->id);
    const char *dir = args_value(args, "output", standard);
    for (size_t i = 0; i < job->n_artifacts; i++)
        if (wanted(args, job->artifacts[i]->name)) {
            int one = pull_one(cli, job->id, dir, job->artifacts[i]);
            code = one > code ? one : code;
        }
    return code;
}

static int run_pull(struct cli *cli, const struct args *args)
{
    struct err err;
    Espalier__V1__GetReply *reply = NULL;
    if (cli_get_job(cli, args->positional[0], &reply, &err) != ST_OK)
        return cli_fail(cli, &err);
    int code = pull_all(cli, args, reply->job);
    if (code == 0 && reply->job->ended_ms == 0)
        cli_note(cli, "job %s is not over: this is what there was so far", reply->job->id);
    reply_free(reply);
    return code;
}

static const struct option_row options[] = {
    {'o', "output", "DIR", "into DIR (default job-ID)"},
    {0, "json", NULL, "one JSON object a line and file"},
    {0, NULL, NULL, NULL},
};

const struct command command_pull = {
    .name = "pull",
    .summary = "fetch a job's results and check their SHA-256",
    .usage = "ID [NAME...] [-o DIR] [--json]",
    .details = "NAME is a file or a folder of `espalier show ID`; all results when none is given. "
               "A broken transfer\n"
               "is continued by the next pull; a file that is there already with the right hash is "
               "not fetched\n"
               "again. ID may be `last`.\n",
    .examples = "espalier pull 12\nespalier pull last shared/ -o model\n",
    .options = options,
    .min_args = 1,
    .max_args = ARGS_MAX,
    .run = run_pull,
};
