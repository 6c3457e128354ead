/* options.h - the command line and the configuration of espalierd, as values. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include "base/err.h"
#include "config/config.h"
#include "job/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct options {
    struct config config;                                /* owned: every key of config.def */
    const char *home, *store, *listen, *worker, *mpirun; /* of config; listen is "unix:/path" */
    char **argv;              /* borrowed: as the daemon was called; NULL where nobody did */
    char *launcher_path;      /* owned */
    bool fake;                /* --launcher fake */
    struct resources node;    /* how much may run at once */
    int retries;              /* new attempts after the first */
    int64_t term_ms, kill_ms; /* of the stop ladder, from the request on */
    int64_t pause_kill_ms;    /* its last rung after a pause */
    int64_t retry_wait_ms;    /* longest wait between attempts */
};

/* Reads file and command line, fills in defaults. *ret_exit >= 0: --help or --version was answered; end with that code.
 * ST_INVALID: faults; all of them were printed to stderr, err counts them. */
enum status options_parse(struct options *ret_options, int argc, char **argv, int *ret_exit,
                          struct err *err);
void options_fini(struct options *o);

/* `espalierd config ...`; argv from "config" on. Returns the exit code. */
int config_command(int argc, char **argv);

#endif
