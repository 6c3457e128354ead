/* record.c - result.json, and reproduce.json: what one needs to run the job again and compare. */
#include "run/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include <openblas_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

enum status report_file(struct run *r, const char *name, struct err *err)
{
    char sha[HASH_HEX_SIZE];
    struct stat sb;
    char *path = job_folder_path(r->folder, name);
    enum status st = path ? hash_file(sha, path, err) : err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK && stat(path, &sb) < 0)
        st = err_errno(err, "cannot find %s after writing it", path);
    if (st == ST_OK && r->report)
        report_artifact(r->report, name, (uint64_t)sb.st_size, sha, NULL);
    free(path);
    return st;
}

static enum status write_json(struct run *r, const char *name, struct json_object *o,
                              struct err *err)
{
    const char *text =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
    char *path = job_folder_path(r->folder, name);
    enum status st = path ? job_folder_check_fence(r->folder, err)
                          : err_set(err, ST_NOMEM, "out of memory writing %s", name);
    if (st == ST_OK)
        st = file_write_atomic(path, text, strlen(text), 0600, err);
    free(path);
    return st == ST_OK ? report_file(r, name, err) : st;
}

static struct json_object *text_of(const char *s)
{
    return json_object_new_string(s ? s : "");
}

/* "model name" of /proc/cpuinfo. */
static void add_cpu(struct json_object *o)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            json_object_object_add(o, "cpu", text_of(colon + 2));
            break;
        }
    }
    if (f)
        fclose(f);
}

static struct json_object *machine(struct run *r)
{
    struct json_object *o = json_object_new_object();
    struct utsname u;
    if (uname(&u) == 0) {
        json_object_object_add(o, "host", text_of(u.nodename));
        json_object_object_add(o, "system", text_of(u.sysname));
        json_object_object_add(o, "kernel", text_of(u.release));
        json_object_object_add(o, "architecture", text_of(u.machine));
    }
    add_cpu(o);
    json_object_object_add(o, "kernel_set", text_of(backend_describe(r->backend)));
    json_object_object_add(o, "ranks", json_object_new_int(r->comm->size));
    json_object_object_add(o, "threads_per_rank", json_object_new_int64(r->job->resources_threads));
    return o;
}

enum status write_reproduce(struct run *r, struct err *err)
{
    struct json_object *o = json_object_new_object(), *versions = json_object_new_object();
    struct buf effective;
    char hash[HASH_HEX_SIZE], now[21];
    json_object_object_add(versions, "espalier", text_of(ESPALIER_VERSION));
    json_object_object_add(versions, "compiler", text_of(__VERSION__));
    json_object_object_add(versions, "blas", text_of(OPENBLAS_VERSION));
    json_object_object_add(o, "versions", versions);
    json_object_object_add(o, "machine", machine(r));
    json_object_object_add(o, "seed", json_object_new_int64(r->job->train_seed));
    json_object_object_add(o, "data_digest", text_of(r->corpus->digest));
    hash_bytes(hash, r->folder->yaml, r->folder->yaml_len);
    json_object_object_add(o, "job_file_sha256", text_of(hash));
    json_object_object_add(o, "job_file",
                           json_object_new_string_len(r->folder->yaml, (int)r->folder->yaml_len));
    struct jobfile asked = *r->job;
    asked.resources_threads = r->folder->threads_asked;
    buf_init(&effective, 1u << 20);
    jobfile_print(&asked, &effective);
    json_object_object_add(o, "effective_job_file", text_of(buf_str(&effective)));
    buf_fini(&effective);
    if (r->job->model_init && *r->job->model_init &&
        hash_file(hash, r->job->model_init, NULL) == ST_OK)
        json_object_object_add(o, "model_init_sha256", text_of(hash));
    json_object_object_add(o, "attempt", json_object_new_int(r->folder->attempt));
    json_object_object_add(o, "resumed_step", json_object_new_int64(r->resumed_step));
    clock_format(now, clock_system()->wall_ms(clock_system()));
    json_object_object_add(o, "written", text_of(now));
    enum status st = write_json(r, "reproduce.json", o, err);
    json_object_put(o);
    return st;
}

enum status write_result(struct run *r, struct err *err)
{
    struct json_object *seconds = json_object_new_object(), *job = json_object_new_object();
    for (int i = 0; i < STAGE_COUNT; i++)
        if (r->state.seconds[i] > 0)
            json_object_object_add(seconds, stage_name((enum stage)i),
                                   json_object_new_double(r->state.seconds[i]));
    json_object_object_add(r->result, "seconds_by_phase", seconds);
    json_object_object_add(job, "id", text_of(r->folder->job_id));
    json_object_object_add(job, "name", text_of(r->job->name));
    json_object_object_add(job, "attempt", json_object_new_int(r->folder->attempt));
    json_object_object_add(job, "ranks", json_object_new_int(r->comm->size));
    json_object_object_add(job, "seed", json_object_new_int64(r->job->train_seed));
    json_object_object_add(job, "weight_steps", json_object_new_int64(r->state.total_step));
    json_object_object_add(job, "skipped_steps", json_object_new_int64(r->state.skipped));
    json_object_object_add(r->result, "job", job);
    return write_json(r, "result.json", r->result, err);
}
