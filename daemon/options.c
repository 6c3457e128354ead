/* options.c - see options.h. */
#include "options.h"

#include "base/file.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help_text[] =
    "usage: espalierd [options]\n"
    "\n"
    "The coordinator: takes jobs over gRPC, queues them, starts and watches their ranks.\n"
    "\n"
    "  --home DIR        where jobs and their store live (default $XDG_STATE_HOME/espalier or\n"
    "                    ~/.local/state/espalier); one daemon a home\n"
    "  --listen ADDRESS  unix:PATH; the folder of PATH must be closed to others (0700; made if\n"
    "                    missing). Default unix:$XDG_RUNTIME_DIR/espalier/espalierd.sock, or\n"
    "                    unix:HOME/run/espalierd.sock without XDG_RUNTIME_DIR\n"
    "  --cores N         cores that jobs may use together (default: all of this machine)\n"
    "  --memory MIB      memory that jobs may use together (default: all)\n"
    "  --gpus N          GPUs that jobs may use together (default 0)\n"
    "  --retries N       new attempts after one that ended badly (default 2)\n"
    "  --stop-term S     seconds from a stop request to SIGTERM (default 10)\n"
    "  --stop-kill S     seconds from a stop request to SIGKILL (default 30)\n"
    "  --worker PATH     espalier-worker (default: beside espalierd)\n"
    "  --mpirun PATH     mpirun (default: from PATH)\n"
    "  --launcher NAME   mpirun | fake (simulates jobs; for trying things out)\n"
    "  --version, --help\n"
    "\n"
    "Prints \"listening on ADDRESS\" once clients may connect. SIGTERM or SIGINT ends it; running "
    "jobs go\n"
    "on and are adopted by the next daemon of this home.\n"
    "\n"
    "Exit codes: 0 ended by a signal; 2 bad usage; 4 home or socket in use by another daemon;\n"
    "7 permission denied; 8 the job store is locked or read-only; 11 input/output error;\n"
    "12 the job store is damaged; 15 the job store was made by a newer version.\n"
    "\n"
    "Example: espalierd --home /data/espalier --cores 8 --memory 32768\n";

enum option_id {
    OPT_HOME = 256,
    OPT_LISTEN,
    OPT_CORES,
    OPT_MEMORY,
    OPT_GPUS,
    OPT_RETRIES,
    OPT_STOP_TERM,
    OPT_STOP_KILL,
    OPT_WORKER,
    OPT_MPIRUN,
    OPT_LAUNCHER,
    OPT_VERSION,
    OPT_HELP
};

static const struct option long_options[] = {{"home", required_argument, NULL, OPT_HOME},
                                             {"listen", required_argument, NULL, OPT_LISTEN},
                                             {"cores", required_argument, NULL, OPT_CORES},
                                             {"memory", required_argument, NULL, OPT_MEMORY},
                                             {"gpus", required_argument, NULL, OPT_GPUS},
                                             {"retries", required_argument, NULL, OPT_RETRIES},
                                             {"stop-term", required_argument, NULL, OPT_STOP_TERM},
                                             {"stop-kill", required_argument, NULL, OPT_STOP_KILL},
                                             {"worker", required_argument, NULL, OPT_WORKER},
                                             {"mpirun", required_argument, NULL, OPT_MPIRUN},
                                             {"launcher", required_argument, NULL, OPT_LAUNCHER},
                                             {"version", no_argument, NULL, OPT_VERSION},
                                             {"help", no_argument, NULL, OPT_HELP},
                                             {0}};

static enum status parse_number(const char *name, int64_t least, int64_t most, double scale,
                                int64_t *ret_value, struct err *err)
{
    char *end;
    errno = 0;
    double v = strtod(optarg, &end);
    if (errno || *end || end == optarg || !(v >= (double)least && v <= (double)most) ||
        (scale <= 1 && v != (double)(int64_t)v))
        return err_set(err, ST_INVALID, "--%s takes a number from %lld to %lld, not '%.40s'", name,
                       (long long)least, (long long)most, optarg);
    *ret_value = (int64_t)(v * scale);
    return ST_OK;
}

static enum status set_text(char **to, struct err *err)
{
    free(*to);
    *to = strdup(optarg);
    return *to ? ST_OK : err_set(err, ST_NOMEM, "out of memory for the command line");
}

static enum status set_launcher(struct options *o, struct err *err)
{
    if (strcmp(optarg, "mpirun") != 0 && strcmp(optarg, "fake") != 0)
        return err_set(err, ST_INVALID, "--launcher is mpirun or fake, not '%.40s'", optarg);
    o->fake = strcmp(optarg, "fake") == 0;
    return ST_OK;
}

#define MIB ((int64_t)1 << 20)

static enum status take_option(struct options *o, int id, struct err *err)
{
    int64_t n = 0;
    enum status st;
    switch (id) {
    case OPT_HOME:
        return set_text(&o->home, err);
    case OPT_LISTEN:
        return set_text(&o->listen, err);
    case OPT_WORKER:
        return set_text(&o->worker, err);
    case OPT_MPIRUN:
        return set_text(&o->mpirun, err);
    case OPT_LAUNCHER:
        return set_launcher(o, err);
    case OPT_CORES:
        return parse_number("cores", 1, 1 << 20, 1, &o->node.cores, err);
    case OPT_MEMORY:
        st = parse_number("memory", 1, 1 << 30, 1, &n, err);
        o->node.memory_bytes = n * MIB;
        return st;
    case OPT_GPUS:
        return parse_number("gpus", 0, 1 << 16, 1, &o->node.gpus, err);
    case OPT_RETRIES:
        st = parse_number("retries", 0, 1000, 1, &n, err);
        o->retries = (int)n;
        return st;
    case OPT_STOP_TERM:
        return parse_number("stop-term", 0, 86400, 1000, &o->term_ms, err);
    case OPT_STOP_KILL:
        return parse_number("stop-kill", 0, 86400, 1000, &o->kill_ms, err);
    default:
        return err_set(err, ST_INVALID, "see espalierd --help");
    }
}

/* ---- defaults ------------------------------------------------------------------------------- */

static char *format_path(const char *a, const char *b)
{
    char *out;
    return asprintf(&out, "%s%s", a, b) < 0 ? NULL : out;
}

static char *default_home(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        return format_path(state, "/espalier");
    return format_path(home && *home == '/' ? home : "/root", "/.local/state/espalier");
}

static char *default_listen(const char *home)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char *path = runtime && *runtime == '/' ? format_path(runtime, "/espalier/espalierd.sock")
                                            : format_path(home, "/run/espalierd.sock");
    char *out = path ? format_path("unix:", path) : NULL;
    free(path);
    return out;
}

/* A program that is installed beside this one. */
static char *beside(const char *name)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return strdup(name);
    self[n] = '\0';
    char *dir = path_dir(self), *out = dir ? path_join(dir, name) : NULL;
    free(dir);
    return out;
}

/* The store, the job folders and the ranks' command lines must not depend on a working directory. */
static enum status make_absolute(char **path, struct err *err)
{
    if (!*path || **path == '/')
        return ST_OK;
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd))
        return err_errno(err, "cannot tell the working directory");
    char *full = path_join(cwd, *path);
    free(*path);
    *path = full;
    return ST_OK;
}

static enum status fill_defaults(struct options *o, struct err *err)
{
    if (!o->home)
        o->home = default_home();
    TRY(make_absolute(&o->home, err));
    if (o->home && !o->listen)
        o->listen = default_listen(o->home);
    if (!o->worker)
        o->worker = beside("espalier-worker");
    TRY(make_absolute(&o->worker, err));
    if (!o->mpirun)
        o->mpirun = strdup("mpirun");
    o->launcher_path = beside("espalier-launcher");
    if (!o->node.cores)
        o->node.cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!o->node.memory_bytes)
        o->node.memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if (!o->home || !o->listen || !o->worker || !o->mpirun || !o->launcher_path)
        return err_set(err, ST_NOMEM, "out of memory for the command line");
    if (o->kill_ms < o->term_ms)
        return err_set(err, ST_INVALID, "--stop-kill (%g s) must not be below --stop-term (%g s)",
                       (double)o->kill_ms / 1e3, (double)o->term_ms / 1e3);
    if (strncmp(o->listen, "unix:/", 6) != 0)
        return err_set(err, ST_INVALID,
                       "--listen takes unix:/ABSOLUTE/PATH, not '%.100s'; there is no listening on "
                       "the network",
                       o->listen);
    return ST_OK;
}

enum status options_parse(struct options *ret_options, int argc, char **argv, int *ret_exit,
                          struct err *err)
{
    struct options o = {.retries = 2, .term_ms = 10000, .kill_ms = 30000};
    enum status st = ST_OK;
    int id;
    *ret_exit = -1;
    optind = 1;
    while (st == ST_OK && (id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == OPT_HELP || id == OPT_VERSION) {
            fputs(id == OPT_HELP ? help_text : "espalierd " ESPALIER_VERSION "\n", stdout);
            *ret_exit = 0;
            options_fini(&o);
            return ST_OK;
        }
        st = take_option(&o, id, err);
    }
    if (st == ST_OK && optind < argc)
        st = err_set(err, ST_INVALID, "espalierd takes no argument '%.100s'; see espalierd --help",
                     argv[optind]);
    if (st == ST_OK)
        st = fill_defaults(&o, err);
    if (st == ST_OK)
        *ret_options = o;
    else
        options_fini(&o);
    return st;
}

void options_fini(struct options *o)
{
    free(o->home);
    free(o->listen);
    free(o->worker);
    free(o->mpirun);
    free(o->launcher_path);
    *o = (struct options){0};
}
