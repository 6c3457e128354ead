/* verb_probe.c - `espalier-worker probe`: what a rank would find where it is started, as one JSON object on one line. The
 * coordinator's doctor runs it here, under mpirun, on other nodes and on compute nodes. Changes nothing. */
#include "run/verbs.h"

#include "base/clock.h"
#include "base/err.h"
#include "comm/comm.h"
#include "engine/backend/backend.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_MS 3000
#define TEXT_MAX 160

static int cpus_seen(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

/* By the driver's own library, as CUDA programs find it; 0 without one. CUDA_VISIBLE_DEVICES counts. */
static int gpus_seen(void)
{
    int n = 0;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!driver)
        return 0;
    int (*init)(unsigned) = NULL, (*count)(int *) = NULL;
    *(void **)&init = dlsym(driver, "cuInit");
    *(void **)&count = dlsym(driver, "cuDeviceGetCount");
    if (!init || !count || init(0) != 0 || count(&n) != 0)
        n = 0;
    return n;
}

static void look_at_home(const char *home, char out[TEXT_MAX])
{
    char path[4200];
    struct stat sb;
    snprintf(path, sizeof path, "%s/jobs", home);
    if (stat(path, &sb) != 0)
        snprintf(out, TEXT_MAX, "%s", strerror(errno));
    else if (access(path, R_OK | W_OK | X_OK) != 0)
        snprintf(out, TEXT_MAX, "account %u may not write there", geteuid());
    else
        snprintf(out, TEXT_MAX, "ok");
}

/* ---- the way back ----------------------------------------------------------------------------- */

/* errno of the attempt; 0 = somebody listens there. */
static int try_connect(const struct sockaddr *address, socklen_t len)
{
    int e = 0;
    socklen_t size = sizeof e;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, address, len) != 0) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        e = errno;
        if (e == EINPROGRESS)
            e = poll(&p, 1, CONNECT_MS) != 1                           ? ETIMEDOUT
                : getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) != 0 ? errno
                                                                       : e;
    }
    close(fd);
    return e;
}

static int try_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    return try_connect((const struct sockaddr *)&address, sizeof address);
}

static void try_name(const char *host_port, char out[TEXT_MAX])
{
    char host[256];
    const char *colon = strrchr(host_port, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    snprintf(host, sizeof host, "%.*s", (int)(colon ? colon - host_port : 0), host_port);
    int bad = colon ? getaddrinfo(host, colon + 1, &hints, &list) : EAI_NONAME;
    if (bad) {
        snprintf(out, TEXT_MAX, "%.100s: %s", host_port, gai_strerror(bad));
        return;
    }
    int e = ECONNREFUSED;
    for (const struct addrinfo *i = list; i && e; i = i->ai_next)
        e = try_connect(i->ai_addr, i->ai_addrlen);
    freeaddrinfo(list);
    snprintf(out, TEXT_MAX, "%s", e ? strerror(e) : "ok");
}

static void look_back(const char *address, char out[TEXT_MAX])
{
    if (strncmp(address, "unix:", 5) == 0) {
        int e = try_unix(address + 5);
        snprintf(out, TEXT_MAX, "%s", e ? strerror(e) : "ok");
    } else {
        try_name(strncmp(address, "tls:", 4) == 0 ? address + 4 : address, out);
    }
}

/* ---- the verb --------------------------------------------------------------------------------- */

struct wishes {
    const char *home, *report;
    bool mpi;
};

static bool read_wishes(int argc, char **argv, struct wishes *w)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mpi") == 0)
            w->mpi = true;
        else if (strcmp(argv[i], "--home") == 0 && i + 1 < argc)
            w->home = argv[++i];
        else if (strcmp(argv[i], "--report") == 0 && i + 1 < argc)
            w->report = argv[++i];
        else
            return false;
    }
    return true;
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, json_object_new_string(text));
}

static void print_probe(const struct wishes *w, const struct comm *comm)
{
    char host[256] = "", text[TEXT_MAX];
    struct json_object *o = json_object_new_object();
    gethostname(host, sizeof host - 1);
    json_object_object_add(o, "rank", json_object_new_int(comm->rank));
    json_object_object_add(o, "ranks", json_object_new_int(comm->size));
    add_text(o, "host", host);
    add_text(o, "version", ESPALIER_VERSION);
    json_object_object_add(o, "cpus", json_object_new_int(cpus_seen()));
    json_object_object_add(o, "gpus", json_object_new_int(gpus_seen()));
    json_object_object_add(o, "bf16", json_object_new_boolean(backend_find("cpu-bf16") != NULL));
    json_object_object_add(o, "time_ms",
                           json_object_new_int64(clock_system()->wall_ms(clock_system())));
    if (w->home) {
        look_at_home(w->home, text);
        add_text(o, "home", text);
    }
    if (w->report) {
        look_back(w->report, text);
        add_text(o, "report", text);
    }
    /* One write, so that lines of ranks do not mix. */
    dprintf(STDOUT_FILENO, "%s\n",
            json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}

int verb_probe(int argc, char **argv)
{
    struct wishes w = {0};
    struct comm *comm = comm_self();
    struct err err;
    if (!read_wishes(argc, argv, &w)) {
        fputs("usage: espalier-worker probe [--mpi] [--home DIR] [--report ADDRESS]\n", stderr);
        return status_exit_code(ST_INVALID);
    }
    if (w.mpi && comm_mpi_open(&comm, &argc, &argv, &err) != ST_OK) {
        fprintf(stderr, "espalier-worker: %s\n", err.text);
        return status_exit_code(err.code);
    }
    print_probe(&w, comm);
    comm->close(comm);
    return 0;
}
