/* start.c - a search that starts on a structure: given in the job file (method.structure), or laid into the job's folder by
 * the coordinator (start-structure.json). Nothing is searched: the structure is frozen at step 0 and the pull begins. */
#include "run/run.h"

#include "base/file.h"
#include "base/hash.h"

#include <string.h>

#define STRUCTURE_MAX (64u << 20)

/* The coordinator's file goes before the job file's. NULL: there is none. */
static char *structure_path(const struct run *r)
{
    char *path = job_folder_path(r->folder, "start-structure.json");
    if (path && file_exists(path))
        return path;
    free(path);
    const char *given = r->job->method_structure;
    return given && *given ? strdup(given) : NULL;
}

static enum status read_structure(struct run *r, const char *path, struct structure *to,
                                  char ret_sha[HASH_HEX_SIZE], struct err *err)
{
    struct buf text;
    struct frame *frame = NULL;
    struct structure *st = NULL;
    buf_init(&text, STRUCTURE_MAX);
    enum status rc = file_read(&text, path, err);
    if (rc == ST_OK)
        rc = structure_read_json(&frame, &st, buf_str(&text), text.len, err);
    if (rc == ST_OK)
        rc = frame_match(frame, r->frame, err);
    if (rc == ST_OK) {
        size_t n = (size_t)r->frame->ngroups;
        hash_bytes(ret_sha, buf_str(&text), text.len);
        memcpy(to->m, st->m, n);
        memcpy(to->s, st->s, n);
    }
    structure_destroy(st);
    frame_destroy(frame);
    buf_fini(&text);
    return rc == ST_OK ? rc : err_prefix(err, "cannot start on the structure %s", path);
}

enum status run_start_structure(struct run *r, struct structure *to, bool *ret_any, struct err *err)
{
    char sha[HASH_HEX_SIZE];
    char *path = structure_path(r);
    *ret_any = path != NULL;
    enum status st = path ? read_structure(r, path, to, sha, err) : ST_OK;
    st = run_agree(r, st, err);
    r->comm->broadcast(r->comm, ret_any, sizeof *ret_any, 0);
    if (st == ST_OK && path)
        run_note(r, REPORT_INFO, "the search starts frozen on the structure %s (SHA-256 %.12s...)",
                 path_base(path), sha);
    free(path);
    return st;
}
