/* proc.c - see proc.h. */
#include "launch/proc.h"

#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status proc_boot_id(char ret_id[BOOT_ID_MAX], struct err *err)
{
    struct buf b;
    buf_init(&b, 256);
    enum status st = file_read(&b, "/proc/sys/kernel/random/boot_id", err);
    if (st == ST_OK)
        snprintf(ret_id, BOOT_ID_MAX, "%.*s", (int)strcspn(buf_str(&b), "\n"), buf_str(&b));
    buf_fini(&b);
    return st;
}

struct proc_stat {
    char state;
    pid_t session;
    uint64_t start_time;
};

/* From state, field 3, on: field 6 is the session, field 22 the start time. */
static bool parse_stat(char *fields, struct proc_stat *ret_stat)
{
    int n = 3;
    for (char *word; (word = strsep(&fields, " ")); n++) {
        if (n == 3)
            ret_stat->state = *word;
        else if (n == 6)
            ret_stat->session = (pid_t)strtol(word, NULL, 10);
        else if (n == 22)
            ret_stat->start_time = strtoull(word, NULL, 10);
    }
    return n > 22;
}

/* The command's name, field 2, may hold spaces and parentheses: fields are counted from its last
 * ')'. */
static bool read_stat(pid_t pid, struct proc_stat *ret_stat)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    struct buf b;
    buf_init(&b, 4096);
    char *at = file_read(&b, path, NULL) == ST_OK ? strrchr(b.data, ')') : NULL;
    bool ok = at && at[1] == ' ' && parse_stat(at + 2, ret_stat);
    buf_fini(&b);
    return ok && ret_stat->state != 'Z' && ret_stat->state != 'X';
}

uint64_t proc_start_time(pid_t pid)
{
    struct proc_stat stat;
    return pid > 0 && read_stat(pid, &stat) ? stat.start_time : 0;
}

bool proc_is_alive(pid_t pid, uint64_t start_time)
{
    return start_time != 0 && proc_start_time(pid) == start_time;
}

/* signal 0: counts only. */
static int session_each(pid_t session, pid_t except, int signal)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return 0;
    int n = 0;
    for (struct dirent *d; (d = readdir(dir));) {
        if (!isdigit((unsigned char)d->d_name[0]))
            continue;
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        struct proc_stat stat;
        if (pid == except || !read_stat(pid, &stat) || stat.session != session)
            continue;
        n += kill(pid, signal) == 0;
    }
    closedir(dir);
    return n;
}

int proc_session_count(pid_t session, pid_t except)
{
    return session_each(session, except, 0);
}

int proc_session_kill(pid_t session, pid_t except, int signal)
{
    return session_each(session, except, signal);
}
