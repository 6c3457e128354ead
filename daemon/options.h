/* options.h - the command line of espalierd, as values. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include "base/err.h"
#include "job/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct options {
    char *home, *listen, *worker, *mpirun, *launcher_path; /* owned; listen is "unix:/path" */
    bool fake;                                             /* --launcher fake */
    struct resources node;                                 /* how much may run at once */
    int retries;                                           /* new attempts after the first */
    int64_t term_ms, kill_ms; /* of the stop ladder, from the request on */
};

/* Fills in defaults. *ret_exit >= 0: --help or --version was answered; end with that code. ST_INVALID: usage. */
enum status options_parse(struct options *ret_options, int argc, char **argv, int *ret_exit,
                          struct err *err);
void options_fini(struct options *o);

#endif
