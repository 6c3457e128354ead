/* bind.c - see bind.h. */
#include "run/bind.h"

#include "base/file.h"
#include "base/json.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPT_MAX ((size_t)16 << 20)
#define CPUS CPU_SETSIZE

static int rank_from_environment(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                        "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        char *end;
        long rank = text ? strtol(text, &end, 10) : -1;
        if (text && *text && !*end && rank >= 0 && rank < 1 << 20)
            return (int)rank;
    }
    return -1;
}

/* ---- cores ------------------------------------------------------------------------------------ */

/* The CPUs that this process may use, ascending. */
static int allowed_cpus(int *ret_cpu)
{
    cpu_set_t set;
    int n = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    for (int i = 0; i < CPUS; i++)
        if (CPU_ISSET(i, &set))
            ret_cpu[n++] = i;
    return n;
}

static void print_cpus(const cpu_set_t *set, char *out, size_t size)
{
    size_t n = 0;
    *out = '\0';
    for (int i = 0, last; i < CPUS && n + 24 < size; i = last + 1) {
        for (last = i; last + 1 < CPUS && CPU_ISSET(i, set) && CPU_ISSET(last + 1, set);)
            last++;
        if (!CPU_ISSET(i, set))
            continue;
        n += (size_t)snprintf(out + n, size - n, "%s%d", n ? "," : "", i);
        if (last > i)
            n += (size_t)snprintf(out + n, size - n, "-%d", last);
    }
}

/* Libraries may have started threads when they were loaded. */
static enum status bind_threads(const cpu_set_t *set, struct err *err)
{
    DIR *tasks = opendir("/proc/self/task");
    int bad = 0;
    for (struct dirent *d; tasks && (d = readdir(tasks));) {
        pid_t tid = (pid_t)strtol(d->d_name, NULL, 10);
        if (tid > 0 && sched_setaffinity(tid, sizeof *set, set) != 0 && errno != ESRCH)
            bad = errno;
    }
    if (tasks)
        closedir(tasks);
    errno = bad;
    return !tasks || bad ? err_errno(err, "cannot bind to cores") : ST_OK;
}

enum status bind_to_cpus(const cpu_set_t *set, struct binding *b, struct err *err)
{
    TRY(bind_threads(set, err));
    b->pinned = true;
    print_cpus(set, b->cores, sizeof b->cores);
    return ST_OK;
}

static enum status bind_cores(struct json_object *list, struct binding *b, struct err *err)
{
    int cpu[CPUS], n = allowed_cpus(cpu);
    size_t want = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < want; i++) {
        int core = json_object_get_int(json_object_array_get_idx(list, i));
        if (core < 0 || core >= n) {
            snprintf(b->unbound, sizeof b->unbound,
                     "core %d was given, but this process may use %d; ranks may share cores", core,
                     n);
            return ST_OK;
        }
        CPU_SET(cpu[core], &set);
    }
    return want == 0 ? ST_OK : bind_to_cpus(&set, b, err);
}

/* ---- GPUs ------------------------------------------------------------------------------------- */

/* Entry k of a comma-separated list; false: it has no such entry. */
static bool list_entry(const char *list, int k, char *out, size_t size)
{
    while (k-- > 0 && list)
        list = (list = strchr(list, ',')) ? list + 1 : NULL;
    if (!list || !*list)
        return false;
    snprintf(out, size, "%.*s", (int)strcspn(list, ","), list);
    return true;
}

static enum status bind_gpus(struct json_object *list, struct binding *b, struct err *err)
{
    const char *given = getenv("CUDA_VISIBLE_DEVICES");
    size_t want = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    size_t n = 0;
    for (size_t i = 0; i < want && n + 64 < sizeof b->gpus; i++) {
        int gpu = json_object_get_int(json_object_array_get_idx(list, i));
        char name[60];
        snprintf(name, sizeof name, "%d", gpu);
        if (given && !list_entry(given, gpu, name, sizeof name))
            return err_set(err, ST_UNAVAILABLE,
                           "GPU %d was given to this rank, but CUDA_VISIBLE_DEVICES is '%.60s' on "
                           "this node; correct the node's gpus in the daemon's configuration",
                           gpu, given);
        n += (size_t)snprintf(b->gpus + n, sizeof b->gpus - n, "%s%s", n ? "," : "", name);
    }
    return setenv("CUDA_VISIBLE_DEVICES", b->gpus, 1) == 0
               ? ST_OK
               : err_set(err, ST_NOMEM, "out of memory for CUDA_VISIBLE_DEVICES");
}

/* ---- both ------------------------------------------------------------------------------------- */

static enum status bind_to(struct json_object *attempt, struct binding *b, struct err *err)
{
    struct json_object *ranks = json_find(attempt, "ranks");
    if (!json_object_is_type(ranks, json_type_array) || b->rank < 0 ||
        (size_t)b->rank >= json_object_array_length(ranks))
        return ST_OK;
    struct json_object *mine = json_object_array_get_idx(ranks, (size_t)b->rank);
    b->placed = true;
    TRY(bind_gpus(json_find(mine, "gpus"), b, err));
    if (json_get_bool(attempt, "pin", true))
        TRY(bind_cores(json_find(mine, "cores"), b, err));
    else
        snprintf(b->unbound, sizeof b->unbound, "pin_cores is false");
    /* A rank that waits for the others must not keep them from running. */
    if (!b->pinned)
        setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    return ST_OK;
}

enum status rank_bind(const char *job_dir, struct binding *ret_binding, struct err *err)
{
    struct binding b = {.rank = rank_from_environment()};
    struct json_object *attempt = NULL;
    char *path = path_join(job_dir, "attempt.json");
    enum status st = path ? ST_OK : err_set(err, ST_NOMEM, "out of memory opening %s", job_dir);
    if (st == ST_OK && file_exists(path))
        st = json_read_file(&attempt, path, ATTEMPT_MAX, err);
    if (st == ST_OK && attempt)
        st = bind_to(attempt, &b, err);
    json_object_put(attempt);
    free(path);
    if (st == ST_OK)
        *ret_binding = b;
    return st;
}
