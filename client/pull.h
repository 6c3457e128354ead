/* pull.h - one file of a job, fetched and checked against its SHA-256. */
#ifndef CLIENT_PULL_H
#define CLIENT_PULL_H

#include "client/cli.h"

/* Fetches the file to path unless it is there already with the right hash, and prints what was done. A broken transfer is
 * continued by the next call. Exit code. */
int pull_file(struct cli *cli, const char *id, const Espalier__V1__Artifact *file,
              const char *path);

#endif
