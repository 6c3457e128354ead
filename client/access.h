/* access.h - as whom, and how, the daemon is called. */
#ifndef CLIENT_ACCESS_H
#define CLIENT_ACCESS_H

#include "client/cli.h"

/* Opens cli->rpc to cli->target. Over TLS with the CA and the client's certificate of the options or of
 * ESPALIER_CA_FILE, ESPALIER_CERT_FILE and ESPALIER_KEY_FILE, and with the token if there is one, or with MUNGE
 * credentials (--munge, ESPALIER_MUNGE; munged's socket is ESPALIER_MUNGE_SOCKET); plain TCP is refused. */
enum status access_open(struct cli *cli, struct err *err);

/* The token of $ESPALIER_TOKEN_FILE, else of $XDG_CONFIG_HOME/espalier/token (~/.config), else NULL. ST_DENIED: the file
 * is open to others. The caller frees it, which wipes it. */
enum status access_token(char **ret_token, struct err *err);
void access_token_free(char *token); /* NULL allowed */

#endif
