/* rewind.c - `espalier retry --from`: an attempt that goes back to a named checkpoint.
 *
 * What earlier attempts wrote behind it does not count any more and is moved to checkpoints/set-aside. Later
 * attempts find behind it only what was written since, so this may be done at every start.
 */
#include "run/run.h"

#include "base/file.h"
#include "base/json.h"
#include "engine/ckpt/state.h"
#include "jobfile/keep.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE 64
#define ENDING ".safetensors"

/* Which attempt wrote it; 0 if the file does not say. */
static int writer_of(const struct run *r, const char *name)
{
    char relative[512];
    snprintf(relative, sizeof relative, "checkpoints/%.255s", name);
    char *path = job_folder_path(r->folder, relative);
    struct safetensors *f = NULL;
    struct json_object *o = NULL;
    const char *json;
    int attempt = 0;
    if (path && state_open(&f, &json, path, NULL) == ST_OK &&
        json_parse(&o, json, strlen(json), path, NULL) == ST_OK)
        attempt = (int)json_get_int(o, "attempt", 0);
    json_object_put(o);
    safetensors_close(f);
    free(path);
    return attempt;
}

static enum status set_aside(const struct run *r, const char *name, struct err *err)
{
    static const char *const parts[] = {KEEP_SUM, ""};
    for (int k = 0; k < 2; k++) {
        char from[512], to[512];
        snprintf(from, sizeof from, "checkpoints/%.255s%s", name, parts[k]);
        snprintf(to, sizeof to, "checkpoints/set-aside/%.255s%s", name, parts[k]);
        char *source = job_folder_path(r->folder, from), *target = job_folder_path(r->folder, to);
        enum status st = source && target ? ST_OK : err_set(err, ST_NOMEM, "out of memory");
        if (st == ST_OK && file_exists(source) && rename(source, target) < 0)
            st = err_errno(err, "cannot set %s aside", source);
        free(source);
        free(target);
        TRY(st);
    }
    return ST_OK;
}

/* step-N.safetensors, N twelve digits: names sort by age. */
static bool is_behind(const char *name, const char *from)
{
    size_t len = strlen(name), end = strlen(ENDING);
    return strncmp(name, "step-", 5) == 0 && len > end && len < NAME_SIZE &&
           strcmp(name + len - end, ENDING) == 0 && strcmp(name, from) > 0;
}

static enum status rewind_to(struct run *r, const char *folder, const char *from, struct err *err)
{
    DIR *dir = opendir(folder);
    enum status st = dir ? ST_OK : err_errno(err, "cannot list %s", folder);
    for (struct dirent *e; st == ST_OK && (e = readdir(dir));)
        if (is_behind(e->d_name, from) && writer_of(r, e->d_name) < r->folder->resume_since) {
            run_note(r, REPORT_INFO, "%s is set aside: this attempt goes back to %s", e->d_name,
                     from);
            st = set_aside(r, e->d_name, err);
        }
    if (dir)
        closedir(dir);
    return st;
}

enum status run_rewind(struct run *r, struct err *err)
{
    const char *from = r->folder->resume_from;
    if (!from || !run_root(r))
        return ST_OK;
    char *path = job_folder_path(r->folder, from);
    char *folder = job_folder_path(r->folder, "checkpoints");
    char *aside = job_folder_path(r->folder, "checkpoints/set-aside");
    enum status st = path && folder && aside ? file_mkdirs(aside, 0700, err)
                                             : err_set(err, ST_NOMEM, "out of memory");
    /* Later attempts go on from what was written since; the one it began with may have been collected. */
    if (st == ST_OK && !file_exists(path) && r->folder->attempt <= r->folder->resume_since)
        st = err_set(err, ST_NOT_FOUND, "the checkpoint %s to go back to is not there any more",
                     from);
    if (st == ST_OK)
        st = rewind_to(r, folder, path_base(from), err);
    free(path);
    free(folder);
    free(aside);
    return st;
}
