/* structures.h - inside client/: the verbs of `espalier structure` beside show. */
#ifndef CLIENT_STRUCTURES_H
#define CLIENT_STRUCTURES_H

#include "client/cli.h"
#include "structure/structure.h"

/* A read-out as the daemon has it. */
struct readout {
    char id[24];                            /* the job's number */
    Espalier__V1__GetStructureReply *reply; /* owned */
    struct frame *frame;                    /* owned, as is the next */
    struct structure *structure;
};
/* which: "12", "last", "12:3", "last:3"; version > 0 goes before what it says. readout_fini() in every case. */
enum status readout_load(struct cli *cli, const char *which, int64_t version,
                         struct readout *ret_readout, struct err *err);
void readout_fini(struct readout *r);

/* Writes an SVG into a file, whole or not at all, and says so. Exit code. */
int drawing_save(struct cli *cli, const char *path, const struct buf *svg);

/* positional[0] is the verb. */
int run_history(struct cli *cli, const struct args *args);
int run_diff(struct cli *cli, const struct args *args);
int run_apply(struct cli *cli, const struct args *args);

#endif
