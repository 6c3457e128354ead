/* record.c - see record.h. */
#include "launch/record.h"

#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX (1u << 20)
#define RECORD_PATH_MAX 4096

static const char *path_in(char out[RECORD_PATH_MAX], const char *dir, const char *name)
{
    snprintf(out, RECORD_PATH_MAX, "%s/%s", dir, name);
    return out;
}

/* Takes over obj. */
static enum status write_json(const char *dir, const char *name, struct json_object *obj,
                              struct err *err)
{
    char path[RECORD_PATH_MAX];
    const char *text = obj ? json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN) : NULL;
    enum status st =
        text ? file_write_atomic(path_in(path, dir, name), text, strlen(text), 0600, err)
             : err_set(err, ST_NOMEM, "out of memory writing %s/%s", dir, name);
    json_object_put(obj);
    return st;
}

static enum status read_json(const char *dir, const char *name, struct json_object **ret_obj,
                             struct err *err)
{
    char path[RECORD_PATH_MAX];
    path_in(path, dir, name);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return err_set(err, ST_NOT_FOUND, "%s is not there", path);
    enum status st = json_read_file(ret_obj, path, RECORD_MAX, err);
    /* Missing is an answer of its own; a file that cannot be read must not pass for it. */
    return st == ST_NOT_FOUND ? ST_IO : st;
}

static struct json_object *json_list(const char *const *list)
{
    struct json_object *a = json_object_new_array();
    for (int i = 0; list[i]; i++)
        json_object_array_add(a, json_object_new_string(list[i]));
    return a;
}

enum status record_write_command(const char *attempt_dir, const char *const *argv,
                                 const char *const *env, struct err *err)
{
    struct json_object *obj = json_object_new_object();
    json_object_object_add(obj, "argv", json_list(argv));
    json_object_object_add(obj, "env", json_list(env));
    return write_json(attempt_dir, "command.json", obj, err);
}

static char **copy_list(struct json_object *array)
{
    size_t n = json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
    char **list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        const char *s = json_object_get_string(json_object_array_get_idx(array, i));
        list[i] = strdup(s ? s : "");
        if (!list[i]) {
            record_free_list(list);
            return NULL;
        }
    }
    return list;
}

enum status record_read_command(const char *attempt_dir, char ***ret_argv, char ***ret_env,
                                struct err *err)
{
    struct json_object *obj = NULL;
    TRY(read_json(attempt_dir, "command.json", &obj, err));
    char **argv = copy_list(json_find(obj, "argv"));
    char **env = copy_list(json_find(obj, "env"));
    json_object_put(obj);
    if (!argv || !env || !argv[0]) {
        enum status st = argv && env ? ST_CORRUPT : ST_NOMEM;
        record_free_list(argv);
        record_free_list(env);
        return err_set(err, st, "%s/command.json names no program to run", attempt_dir);
    }
    *ret_argv = argv;
    *ret_env = env;
    return ST_OK;
}

void record_free_list(char **list)
{
    for (int i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static void add_int(struct json_object *obj, const char *key, int64_t v)
{
    json_object_object_add(obj, key, json_object_new_int64(v));
}

enum status record_write_launcher(const char *attempt_dir, const struct launcher_record *r,
                                  struct err *err)
{
    struct json_object *obj = json_object_new_object();
    add_int(obj, "pid", r->pid);
    add_int(obj, "start_time", (int64_t)r->start_time);
    add_int(obj, "child", r->child);
    add_int(obj, "child_start_time", (int64_t)r->child_start_time);
    if (r->slurm_id)
        add_int(obj, "slurm_id", r->slurm_id);
    json_object_object_add(obj, "boot_id", json_object_new_string(r->boot_id));
    return write_json(attempt_dir, "launcher.json", obj, err);
}

enum status record_read_launcher(const char *attempt_dir, struct launcher_record *ret_r,
                                 struct err *err)
{
    struct json_object *obj = NULL;
    TRY(read_json(attempt_dir, "launcher.json", &obj, err));
    *ret_r = (struct launcher_record){
        .pid = (pid_t)json_get_int(obj, "pid", 0),
        .start_time = (uint64_t)json_get_int(obj, "start_time", 0),
        .child = (pid_t)json_get_int(obj, "child", 0),
        .child_start_time = (uint64_t)json_get_int(obj, "child_start_time", 0),
        .slurm_id = json_get_int(obj, "slurm_id", 0),
    };
    snprintf(ret_r->boot_id, sizeof ret_r->boot_id, "%s", json_get_str(obj, "boot_id", ""));
    json_object_put(obj);
    return ST_OK;
}

bool record_remove_launcher(const char *attempt_dir)
{
    char path[RECORD_PATH_MAX];
    return unlink(path_in(path, attempt_dir, "launcher.json")) == 0;
}

enum status record_write_exit(const char *attempt_dir, const struct exit_record *r, struct err *err)
{
    struct json_object *obj = json_object_new_object();
    add_int(obj, "exit_code", r->exit_code);
    add_int(obj, "signal", r->signal);
    add_int(obj, "ended_ms", r->ended_ms);
    if (r->asked[0])
        json_object_object_add(obj, "asked", json_object_new_string(r->asked));
    if (r->lost[0])
        json_object_object_add(obj, "lost", json_object_new_string(r->lost));
    if (r->refused[0])
        json_object_object_add(obj, "refused", json_object_new_string(r->refused));
    return write_json(attempt_dir, "exit.json", obj, err);
}

enum status record_read_exit(const char *attempt_dir, struct exit_record *ret_r, struct err *err)
{
    struct json_object *obj = NULL;
    TRY(read_json(attempt_dir, "exit.json", &obj, err));
    *ret_r = (struct exit_record){
        .exit_code = (int)json_get_int(obj, "exit_code", -1),
        .signal = (int)json_get_int(obj, "signal", 0),
        .ended_ms = json_get_int(obj, "ended_ms", 0),
    };
    snprintf(ret_r->asked, sizeof ret_r->asked, "%s", json_get_str(obj, "asked", ""));
    snprintf(ret_r->lost, sizeof ret_r->lost, "%s", json_get_str(obj, "lost", ""));
    snprintf(ret_r->refused, sizeof ret_r->refused, "%s", json_get_str(obj, "refused", ""));
    json_object_put(obj);
    return ST_OK;
}

static int open_lock(const char *attempt_dir)
{
    char path[RECORD_PATH_MAX];
    return open(path_in(path, attempt_dir, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

enum status record_lock(const char *attempt_dir, int *ret_fd, struct err *err)
{
    int fd = open_lock(attempt_dir);
    if (fd < 0)
        return err_errno(err, "cannot open %s/lock", attempt_dir);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) == 0) {
        *ret_fd = fd;
        return ST_OK;
    }
    bool held = errno == EACCES || errno == EAGAIN;
    enum status st = held ? ST_OK : err_errno(err, "cannot lock %s/lock", attempt_dir);
    if (held)
        *ret_fd = -1;
    close(fd);
    return st;
}

bool record_is_locked(const char *attempt_dir)
{
    int fd = open_lock(attempt_dir);
    if (fd < 0)
        return false;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return held;
}

void record_forbid_start(const char *attempt_dir)
{
    int lock = -1;
    struct exit_record never = {.exit_code = -1, .refused = "stopped before it was started"};
    struct launcher_record r;
    if (record_lock(attempt_dir, &lock, NULL) != ST_OK || lock < 0)
        return;
    if (record_read_launcher(attempt_dir, &r, NULL) == ST_NOT_FOUND)
        record_write_exit(attempt_dir, &never, NULL);
    close(lock);
}
