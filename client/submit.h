/* submit.h - `submit` for other commands. */
#ifndef CLIENT_SUBMIT_H
#define CLIENT_SUBMIT_H

#include "client/cli.h"

/* Checks and queues the job file args->positional[0] with --set, --follow, --hold and --json of args; its search starts
 * frozen on the structure (docs/spec/structure.md), NULL = none. Prints and gives the exit code. */
int submit_file(struct cli *cli, const struct args *args, const ProtobufCBinaryData *structure);

#endif
