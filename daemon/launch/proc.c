/* proc.c - see proc.h. */
#include "launch/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* What another account hides from us is no process of ours. */
static bool is_gone(int error)
{
    return error == ENOENT || error == ESRCH || error == EACCES || error == EPERM;
}

/* ST_NOT_FOUND, or ST_IO where it cannot be told. */
static enum status read_text(pid_t pid, char *out, size_t size)
{
    snprintf(out, size, "/proc/%ld/stat", (long)pid);
    int fd = open(out, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return is_gone(errno) ? ST_NOT_FOUND : ST_IO;
    ssize_t n = read(fd, out, size - 1);
    enum status st = n > 0 ? ST_OK : n < 0 && is_gone(errno) ? ST_NOT_FOUND : ST_IO;
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return st;
}

/* The command's name, field 2, may hold spaces and parentheses: fields are counted from its last
 * ')'. */
static enum status read_stat(pid_t pid, struct proc_stat *ret_stat)
{
    char text[2048];
    TRY(read_text(pid, text, sizeof text));
    char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || !parse_stat(at + 2, ret_stat))
        return ST_IO;
    return ret_stat->state == 'Z' || ret_stat->state == 'X' ? ST_NOT_FOUND : ST_OK;
}

enum status proc_look(pid_t pid, uint64_t *ret_start_time)
{
    struct proc_stat stat;
    TRY(pid > 0 ? read_stat(pid, &stat) : ST_NOT_FOUND);
    *ret_start_time = stat.start_time;
    return ST_OK;
}

uint64_t proc_start_time(pid_t pid)
{
    uint64_t start_time;
    return proc_look(pid, &start_time) == ST_OK ? start_time : 0;
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
        return -1;
    int n = 0;
    bool all = true;
    for (struct dirent *d; (d = readdir(dir));) {
        if (!isdigit((unsigned char)d->d_name[0]))
            continue;
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        struct proc_stat stat;
        enum status st = pid == except ? ST_NOT_FOUND : read_stat(pid, &stat);
        all = all && (st == ST_OK || st == ST_NOT_FOUND);
        if (st == ST_OK && stat.session == session)
            n += kill(pid, signal) == 0;
    }
    closedir(dir);
    return all ? n : -1;
}

int proc_session_count(pid_t session, pid_t except)
{
    return session_each(session, except, 0);
}

int proc_session_kill(pid_t session, pid_t except, int signal)
{
    return session_each(session, except, signal);
}
