/* hosts.c - see hosts.h. */
#include "launch/hosts.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "launch/spawn.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_MS 5000   /* until every process that was killed is gone */
#define THERE_MS 30000 /* until every node has answered */
#define ENVIRON_MAX (256u << 10)
#define HOSTS_MAX 1024
#define AGENT_WORDS 32
#define CANNOT_REACH 255 /* ssh(1), "EXIT STATUS" */

/* ---- the hostfile ----------------------------------------------------------------------------- */

bool hosts_are_needed(const struct launch_spec *spec)
{
    const struct placement *p = spec->placement;
    for (int i = 0; p && spec->nodes && i < p->ranks; i++)
        if (p->node[i] >= 0 && !spec->nodes->list[p->node[i]].local)
            return true;
    return false;
}

enum status hosts_write(const char *path, const struct launch_spec *spec, struct err *err)
{
    const struct placement *p = spec->placement;
    struct buf text;
    buf_init(&text, 1u << 20);
    for (int i = 0, n; i < p->ranks; i += n) {
        for (n = 1; i + n < p->ranks && p->node[i + n] == p->node[i];)
            n++;
        if (p->node[i] >= 0)
            buf_printf(&text, "%s slots=%d\n", spec->nodes->list[p->node[i]].host, n);
    }
    enum status st = buf_ok(&text) ? file_write_atomic(path, buf_str(&text), text.len, 0600, err)
                                   : err_set(err, ST_NOMEM, "out of memory for the hostfile");
    buf_fini(&text);
    return st;
}

/* ---- which host ------------------------------------------------------------------------------- */

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return a->sa_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool is_ours(const struct sockaddr *address)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next)
        found = i->ifa_addr && same_address(i->ifa_addr, address);
    freeifaddrs(all);
    return found;
}

bool host_is_here(const char *host)
{
    char name[256] = "";
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    bool here = false;
    if (strcmp(host, "localhost") == 0 ||
        (gethostname(name, sizeof name - 1) == 0 && strcmp(host, name) == 0))
        return true;
    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *i = list; i && !here; i = i->ai_next)
        here = is_ours(i->ai_addr);
    freeaddrinfo(list);
    return here;
}

/* ---- what is left here ------------------------------------------------------------------------ */

enum found { FOUND_NOT, FOUND_PERHAPS, FOUND };

/* FOUND_PERHAPS: for want of memory or descriptors it could not be looked at. */
static enum found carries(pid_t pid, const char *setting)
{
    char path[64], *text = malloc(ENVIRON_MAX);
    struct stat sb;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%ld/environ", (long)pid);
    int fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool blind = !text || (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM));
    if (fd >= 0 && fstat(fd, &sb) == 0 && sb.st_uid == geteuid()) {
        ssize_t n = 0, got;
        while (n < (ssize_t)ENVIRON_MAX - 1 &&
               (got = read(fd, text + n, (size_t)(ENVIRON_MAX - 1 - n))) > 0)
            n += got;
        text[n] = '\0';
        for (char *at = text; !found && at < text + n; at += strlen(at) + 1)
            found = strcmp(at, setting) == 0;
    }
    if (fd >= 0)
        close(fd);
    free(text);
    return found ? FOUND : blind ? FOUND_PERHAPS : FOUND_NOT;
}

/* Whether there may be more. This process and its parent, which the shell of an agent may have given the variable, are
 * no ranks. */
static bool kill_carriers(const char *setting)
{
    DIR *proc = opendir("/proc");
    bool left = !proc;
    for (struct dirent *d; proc && (d = readdir(proc));) {
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        if (pid <= 1 || pid == getpid() || pid == getppid())
            continue;
        enum found found = carries(pid, setting);
        if (found == FOUND)
            kill(pid, SIGKILL);
        left |= found != FOUND_NOT;
    }
    if (proc)
        closedir(proc);
    return left;
}

bool reap_here(const char *attempt_dir)
{
    char setting[1200];
    int64_t deadline = clock_mono_ns() + REAP_MS * (int64_t)1000000;
    snprintf(setting, sizeof setting, HOSTS_ATTEMPT_VARIABLE "=%s", attempt_dir);
    while (kill_carriers(setting)) {
        if (clock_mono_ns() > deadline)
            return false;
        usleep(50000);
    }
    return true;
}

/* ---- what is left there ----------------------------------------------------------------------- */

struct reach reach_of(char *const *argv)
{
    struct reach r = {NULL, "ssh"};
    for (int i = 0; argv[i] && argv[i + 1]; i++) {
        if (strcmp(argv[i], "--hostfile") == 0)
            r.hostfile = argv[i + 1];
        if (strcmp(argv[i], "plm_rsh_agent") == 0)
            r.agent = argv[i + 1];
    }
    return r;
}

extern char **environ;

/* 0 = it could not be started. */
static pid_t ask_node(const struct reach *reach, char *host, const char *launcher,
                      const char *attempt_dir)
{
    char agent[1024], *rest = agent, *word;
    const char *argv[AGENT_WORDS + 5];
    int n = 0;
    snprintf(agent, sizeof agent, "%s", reach->agent);
    while (n < AGENT_WORDS && (word = strsep(&rest, " ")))
        if (*word)
            argv[n++] = word;
    if (n == 0)
        return 0;
    argv[n++] = host;
    argv[n++] = launcher;
    argv[n++] = "--reap";
    argv[n++] = attempt_dir;
    argv[n] = NULL;
    pid_t pid = 0;
    return child_spawn(&(struct child){.argv = argv, .out = 1, .err = 2}, &pid) == 0 ? pid : 0;
}

enum answer { NODE_CLEAR, NODE_UNCLEAR, NODE_SILENT };

/* At the deadline it is killed. What failed here, or there, is no sign of a node that is gone. */
static enum answer wait_node(pid_t pid, int64_t deadline_ns)
{
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_mono_ns() > deadline_ns) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return NODE_SILENT;
        }
        usleep(20000);
    }
    int code = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return code == 0 ? NODE_CLEAR : code == CANNOT_REACH ? NODE_SILENT : NODE_UNCLEAR;
}

static enum status judge_node(enum answer answer, const char *host, char ret_silent[NODE_HOST_MAX],
                              struct err *err)
{
    if (answer == NODE_CLEAR)
        return ST_OK;
    if (answer == NODE_UNCLEAR)
        return err_set(err, ST_UNAVAILABLE,
                       "node %s could not say that no ranks of the attempt are left there", host);
    snprintf(ret_silent, NODE_HOST_MAX, "%s", host);
    return err_set(err, ST_UNAVAILABLE,
                   "node %s did not say whether ranks of the attempt are left there", host);
}

enum status reap_there(const struct reach *reach, const char *launcher, const char *attempt_dir,
                       char ret_silent[NODE_HOST_MAX], struct err *err)
{
    struct buf text;
    pid_t pid[HOSTS_MAX];
    char *host[HOSTS_MAX], *rest, *line;
    int n = 0;
    enum status st;
    ret_silent[0] = '\0';
    buf_init(&text, 1u << 20);
    st = file_read(&text, reach->hostfile, err);
    rest = st == ST_OK ? text.data : NULL;
    while (n < HOSTS_MAX && (line = strsep(&rest, "\n"))) {
        line[strcspn(line, " ")] = '\0';
        if (*line && !host_is_here(line)) {
            pid[n] = ask_node(reach, line, launcher, attempt_dir);
            host[n++] = line;
        }
    }
    int64_t deadline = clock_mono_ns() + THERE_MS * (int64_t)1000000;
    for (int i = 0; i < n; i++) {
        enum answer answer = wait_node(pid[i], deadline);
        if (st == ST_OK || (answer == NODE_SILENT && !ret_silent[0]))
            st = judge_node(answer, host[i], ret_silent, err);
    }
    buf_fini(&text);
    return st;
}
