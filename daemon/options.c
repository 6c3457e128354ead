/* options.c - see options.h. */
#include "options.h"

#include "base/file.h"
#include "metrics/metrics.h"
#include "webhook/webhook.h"
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help_head[] =
    "usage: espalierd [options]\n"
    "       espalierd config show [--origin] | check | help [--markdown | --man | --completion] | "
    "example [options]\n"
    "       espalierd doctor [options]         says what is wrong with the ground it would stand "
    "on\n"
    "       espalierd backup FILE [options]    copies the job store, also while the daemon runs\n"
    "       espalierd restore FILE [options]   puts a copy back; the daemon must be stopped\n"
    "\n"
    "The coordinator: takes jobs over gRPC, queues them, starts and watches their ranks.\n"
    "\n"
    "Options, each also a key of the configuration file (`espalierd config help`):\n";

static const char help_tail[] =
    "  --config FILE           the configuration file; else "
    "$XDG_CONFIG_HOME/espalier/espalierd.yaml,\n"
    "                          else /etc/espalier/espalierd.yaml, else none\n"
    "  --version, --help\n"
    "\n"
    "Prints \"listening on ADDRESS\" once clients may connect. SIGTERM or SIGINT ends it; running "
    "jobs go\n"
    "on and are adopted by the next daemon of this home.\n"
    "\n"
    "Exit codes: 0 ended by a signal; 2 bad usage or configuration; 4 home or socket in use by "
    "another\n"
    "daemon; 7 permission denied; 8 the job store is locked or read-only; 11 input/output error;\n"
    "12 the job store is damaged; 15 the job store was made by a newer version.\n"
    "\n"
    "Example: espalierd --home /data/espalier --cores 8 --memory 32768\n";

/* ---- defaults that are computed --------------------------------------------------------------- */

static char *format_path(const char *a, const char *b)
{
    char *out;
    return asprintf(&out, "%s%s", a, b) < 0 ? NULL : out;
}

/* $VARIABLE/espalier, or HOME's own folder of that kind. */
static char *xdg_path(const char *variable, const char *below_home, const char *rest)
{
    const char *set = getenv(variable), *home = getenv("HOME");
    if (set && *set == '/')
        return format_path(set, rest);
    char *base = format_path(home && *home == '/' ? home : "/root", below_home);
    char *out = base ? format_path(base, rest) : NULL;
    free(base);
    return out;
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

/* Puts a computed text in the place of an empty one. */
static void fill(char **text, char *computed, bool *nomem)
{
    if (*text && **text) {
        free(computed);
        return;
    }
    free(*text);
    *text = computed;
    *nomem = *nomem || !computed;
}

static bool is_unix(const char *address)
{
    return strncmp(address, "unix:", 5) == 0;
}

/* The Unix socket comes first, and is there whether it is asked for or not: ranks report over it, and the first token
 * is made over it. */
static void fill_listen(struct config_source *s)
{
    struct config *c = &s->config;
    int at = 0;
    while (at < c->n_listen && !is_unix(c->listen[at]))
        at++;
    char **list = s->nomem ? NULL : calloc((size_t)c->n_listen + 1, sizeof *list);
    s->nomem = !list;
    if (!list)
        return;
    list[0] = at < c->n_listen ? c->listen[at] : default_listen(c->home);
    s->nomem = !list[0];
    for (int i = 0, n = 1; i < c->n_listen; i++)
        if (i != at)
            list[n++] = c->listen[i];
    c->n_listen += at == c->n_listen;
    free(c->listen);
    c->listen = list;
}

static void fill_defaults(struct config_source *s)
{
    struct config *c = &s->config;
    fill(&c->home, xdg_path("XDG_STATE_HOME", "/.local/state", "/espalier"), &s->nomem);
    fill(&c->store, format_path(c->home, "/espalier.db"), &s->nomem);
    fill(&c->worker, beside("espalier-worker"), &s->nomem);
    fill(&c->mpirun, strdup("mpirun"), &s->nomem);
    fill_listen(s);
    if (!c->cores)
        c->cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!c->memory_mib)
        c->memory_mib = ((int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)) >> 20;
}

static void check_address(struct config_source *s, const char *address, bool first)
{
    const char *host = strncmp(address, "tls:", 4) == 0 ? address + 4 : "";
    const char *port = strrchr(host, ':');
    if (is_unix(address) && address[5] != '/')
        config_complain(s, CONFIG_listen, "takes unix:/ABSOLUTE/PATH, not '%.100s'", address);
    else if (is_unix(address) && !first)
        config_complain(s, CONFIG_listen, "takes one unix: address; '%.100s' is a second one",
                        address);
    else if (!is_unix(address) && (!port || port == host || !port[1]))
        config_complain(s, CONFIG_listen,
                        "takes unix:/PATH or tls:HOST:PORT, not '%.100s'; there is no listening on "
                        "the network without TLS",
                        address);
}

/* What must be said before the network is let in. */
static void check_network(struct config_source *s)
{
    const struct config *c = &s->config;
    if (!c->tls_cert[0])
        config_complain(s, CONFIG_tls_cert, "is not set; a tls: address needs a certificate");
    if (!c->tls_key[0])
        config_complain(s, CONFIG_tls_key, "is not set; a tls: address needs a private key");
    if (!c->n_roots)
        config_complain(s, CONFIG_roots,
                        "is not set; over the network every bearer of a token could have any file "
                        "read that this account may read: name the folders that hold data");
}

static void check_reports(struct config_source *s, bool network)
{
    const struct config *c = &s->config;
    if (strncmp(c->tls_report_address, "tls:", 4) != 0)
        config_complain(s, CONFIG_tls_report_address, "takes tls:HOST:PORT, not '%.100s'",
                        c->tls_report_address);
    else if (!network)
        config_complain(s, CONFIG_tls_report_address,
                        "is %.100s, but listen has no tls: address to be reached there",
                        c->tls_report_address);
    else if (c->tls_client_ca[0])
        config_complain(s, CONFIG_tls_report_address,
                        "ranks have no certificate that tls.client_ca would ask them for; use one "
                        "of the two");
}

/* What needs several keys, or more than a type. */
static void check(struct config_source *s)
{
    const struct config *c = &s->config;
    struct err err;
    if (c->metrics_listen[0] && metrics_check_address(c->metrics_listen, &err) != ST_OK)
        config_complain(s, CONFIG_metrics_listen, "%s", err.text);
    if (webhook_check(c, &err) != ST_OK)
        config_complain(s, CONFIG_webhook_url, "%s", err.text);
    if (c->stop_kill_s < c->stop_term_s)
        config_complain(s, CONFIG_stop_kill_s, "%g must not be below stop_term_s (%g)",
                        c->stop_kill_s, c->stop_term_s);
    bool network = false;
    for (int i = 0; i < c->n_listen; i++) {
        check_address(s, c->listen[i], i == 0);
        network |= strncmp(c->listen[i], "tls:", 4) == 0;
    }
    if (network)
        check_network(s);
    if (c->munge && !network)
        config_complain(s, CONFIG_munge,
                        "is true, but listen has no tls: address on which a credential could come");
    if (c->tls_report_address[0])
        check_reports(s, network);
}

/* ---- the file --------------------------------------------------------------------------------- */

static enum status read_file(struct config_source *s, const char *path, struct err *err)
{
    struct buf text;
    buf_init(&text, CONFIG_MAX_BYTES);
    enum status st = file_read(&text, path, err);
    if (st == ST_OK)
        config_read(s, path, buf_str(&text), text.len);
    buf_fini(&text);
    return st;
}

/* The first of the usual places where there is one. */
static enum status find_file(struct config_source *s, struct err *err)
{
    static const char system_file[] = "/etc/espalier/espalierd.yaml";
    char *own = xdg_path("XDG_CONFIG_HOME", "/.config", "/espalier/espalierd.yaml");
    if (!own)
        return err_set(err, ST_NOMEM, "out of memory for the configuration");
    const char *path = file_exists(own) ? own : file_exists(system_file) ? system_file : NULL;
    enum status st = path ? read_file(s, path, err) : ST_OK;
    free(own);
    return st;
}

/* ---- the command line ------------------------------------------------------------------------- */

enum {
    OPT_ROW = 256,
    OPT_CONFIG = OPT_ROW + CONFIG_ROWS,
    OPT_VERSION,
    OPT_HELP,
    OPT_ORIGIN,
    OPT_MARKDOWN,
    OPT_MAN,
    OPT_COMPLETION,
    OPT_END
};

struct command_line {
    struct option options[CONFIG_ROWS + OPT_END - OPT_CONFIG + 1];
    char name[CONFIG_ROWS][64];
    const char *file;
    bool help, version, origin, markdown, man, completion;
};

static void list_options(struct command_line *l, bool command)
{
    int n = 0;
    for (; n < CONFIG_ROWS; n++) {
        config_option_name((enum config_row)n, l->name[n]);
        l->options[n] = (struct option){l->name[n], required_argument, NULL, OPT_ROW + n};
    }
    l->options[n++] = (struct option){"config", required_argument, NULL, OPT_CONFIG};
    l->options[n++] = (struct option){"version", no_argument, NULL, OPT_VERSION};
    l->options[n++] = (struct option){"help", no_argument, NULL, OPT_HELP};
    if (command) {
        l->options[n++] = (struct option){"origin", no_argument, NULL, OPT_ORIGIN};
        l->options[n++] = (struct option){"markdown", no_argument, NULL, OPT_MARKDOWN};
        l->options[n++] = (struct option){"man", no_argument, NULL, OPT_MAN};
        l->options[n++] = (struct option){"completion", no_argument, NULL, OPT_COMPLETION};
    }
    l->options[n] = (struct option){0};
}

static enum status unknown_option(const char *given, struct err *err)
{
    char name[64], nearest[64];
    snprintf(name, sizeof name, "%.*s",
             (int)strcspn(given + (given[0] && given[1] == '-' ? 2 : 0), "="),
             given + (given[0] && given[1] == '-' ? 2 : 0));
    if (config_option_nearest(name, nearest))
        return err_set(err, ST_INVALID, "unknown option '%.60s'; did you mean --%s?", given,
                       nearest);
    return err_set(err, ST_INVALID, "unknown option '%.60s'; see espalierd --help", given);
}

/* One walk over argv: set = false looks for FILE and flags, set = true stores the options' values. */
static enum status walk(struct command_line *l, struct config_source *s, bool set, int argc,
                        char **argv, struct err *err)
{
    int id;
    optind = 1;
    opterr = 0;
    while ((id = getopt_long(argc, argv, ":", l->options, NULL)) != -1) {
        if (id == ':')
            return err_set(err, ST_INVALID, "%.60s needs a value", argv[optind - 1]);
        if (id == '?')
            return unknown_option(argv[optind - 1], err);
        if (id == OPT_CONFIG)
            l->file = optarg;
        else if (id < OPT_CONFIG && set)
            config_set_option(s, l->name[id - OPT_ROW], optarg);
        l->help |= id == OPT_HELP;
        l->version |= id == OPT_VERSION;
        l->origin |= id == OPT_ORIGIN;
        l->markdown |= id == OPT_MARKDOWN;
        l->man |= id == OPT_MAN;
        l->completion |= id == OPT_COMPLETION;
    }
    if (optind < argc)
        return err_set(err, ST_INVALID,
                       "espalierd takes no argument '%.100s'; see espalierd --help", argv[optind]);
    return ST_OK;
}

/* Everything into s, faults into its findings. */
static enum status read_all(struct command_line *l, struct config_source *s, bool command, int argc,
                            char **argv, struct err *err)
{
    list_options(l, command);
    TRY(walk(l, s, false, argc, argv, err));
    if (l->help || l->version)
        return ST_OK;
    TRY(l->file ? read_file(s, l->file, err) : find_file(s, err));
    TRY(walk(l, s, true, argc, argv, err));
    fill_defaults(s);
    if (!s->nomem)
        check(s);
    return s->nomem ? err_set(err, ST_NOMEM, "out of memory for the configuration") : ST_OK;
}

static void print_help(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_puts(&text, help_head);
    config_option_help(&text);
    buf_puts(&text, help_tail);
    fputs(buf_str(&text), stdout);
    buf_fini(&text);
}

/* Prints the findings; ST_INVALID if there are errors. */
static enum status verdict(const struct config_source *s, struct err *err)
{
    int n = s->file_findings.errors + s->option_findings.errors;
    struct term t;
    struct buf text;
    term_init(&t, STDERR_FILENO, COLOUR_AUTO);
    buf_init(&text, 1 << 20);
    config_print_findings(s, &t, &text);
    fputs(buf_str(&text), stderr);
    buf_fini(&text);
    return n == 0 ? ST_OK
                  : err_set(err, ST_INVALID,
                            "the configuration has %d %s; see `espalierd config help`", n,
                            n == 1 ? "fault" : "faults");
}

/* ---- the daemon's options --------------------------------------------------------------------- */

static enum status take(struct options *o, struct config_source *s, struct err *err)
{
    o->launcher_path = beside("espalier-launcher");
    if (!o->launcher_path)
        return err_set(err, ST_NOMEM, "out of memory for the configuration");
    o->config = config_take(s);
    const struct config *c = &o->config;
    o->home = c->home;
    o->store = c->store;
    o->listen = c->listen[0];
    o->worker = c->worker;
    o->mpirun = c->mpirun;
    o->fake = c->launcher == CONFIG_LAUNCHER_FAKE;
    o->node =
        (struct resources){.cores = c->cores, .memory_bytes = c->memory_mib << 20, .gpus = c->gpus};
    o->retries = (int)c->retries;
    o->term_ms = (int64_t)(c->stop_term_s * 1000);
    o->kill_ms = (int64_t)(c->stop_kill_s * 1000);
    o->pause_kill_ms = (int64_t)(c->pause_kill_s * 1000);
    o->retry_wait_ms = (int64_t)(c->retry_wait_s * 1000);
    return ST_OK;
}

enum status options_parse(struct options *ret_options, int argc, char **argv, int *ret_exit,
                          struct err *err)
{
    struct command_line line = {0};
    struct config_source source;
    struct options o = {0};
    config_init(&source);
    *ret_exit = -1;
    enum status st = read_all(&line, &source, false, argc, argv, err);
    if (st == ST_OK && (line.help || line.version)) {
        line.help ? print_help() : (void)puts("espalierd " ESPALIER_VERSION);
        *ret_exit = 0;
    } else if (st == ST_OK) {
        st = verdict(&source, err);
        if (st == ST_OK)
            st = take(&o, &source, err);
        if (st == ST_OK)
            *ret_options = o;
    }
    config_fini(&source);
    return st;
}

void options_fini(struct options *o)
{
    config_free(&o->config);
    free(o->launcher_path);
    *o = (struct options){0};
}

/* ---- espalierd config ------------------------------------------------------------------------- */

static int show(const struct config_source *s, const char *verb, const struct command_line *l)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    if (!strcmp(verb, "show"))
        config_print(s, l->origin, &text);
    else if (l->man)
        config_manual(&text, ESPALIER_VERSION);
    else if (l->completion)
        config_completion(&text);
    else if (!strcmp(verb, "help"))
        config_help(&text, l->markdown);
    else if (!strcmp(verb, "example"))
        config_example(&text);
    else
        buf_printf(&text, "%s: no faults\n",
                   s->file ? s->file : "no configuration file; defaults and command line");
    int code =
        fputs(buf_str(&text), stdout) < 0 || fflush(stdout) != 0 ? status_exit_code(ST_IO) : 0;
    buf_fini(&text);
    return code;
}

static bool is_verb(const char *verb)
{
    static const char *const verbs[] = {"show", "check", "help", "example"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verb, verbs[i]))
            return true;
    return false;
}

int config_command(int argc, char **argv)
{
    struct command_line line = {0};
    struct config_source source;
    struct err err;
    int code = 0;
    if (argc < 2 || !is_verb(argv[1])) {
        fprintf(stderr, "espalierd config: say show, check, help or example\n");
        return status_exit_code(ST_INVALID);
    }
    config_init(&source);
    enum status st = ST_OK;
    /* Help and example do not depend on a file that may have faults. */
    if (!strcmp(argv[1], "show") || !strcmp(argv[1], "check")) {
        st = read_all(&line, &source, true, argc - 1, argv + 1, &err);
        st = st == ST_OK ? verdict(&source, &err) : st;
    } else {
        list_options(&line, true);
        st = walk(&line, &source, false, argc - 1, argv + 1, &err);
    }
    if (st != ST_OK) {
        fprintf(stderr, "espalierd: %s\n", err.text);
        code = status_exit_code(st);
    } else if (line.help)
        print_help();
    else
        code = show(&source, argv[1], &line);
    config_fini(&source);
    return code;
}
