/* access.c - as whom, and how, the daemon is called: cli_connect() asks here. Secrets come from files alone: a command
 * line is for all to see, and an environment is dumped and inherited. */
#include "client/access.h"

#include "base/file.h"
#include "rpc/munge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN_MAX 256

/* The file's path; owned. *ret_asked: somebody named it, so it must be there. */
static char *token_path(bool *ret_asked)
{
    const char *named = getenv("ESPALIER_TOKEN_FILE"), *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    *ret_asked = named && named[0];
    if (*ret_asked)
        return strdup(named);
    if (config && config[0] == '/')
        return asprintf(&path, "%s/espalier/token", config) < 0 ? NULL : path;
    return asprintf(&path, "%s/.config/espalier/token", home ? home : "") < 0 ? NULL : path;
}

static enum status check_mode(const char *path, struct err *err)
{
    struct stat sb;
    if (stat(path, &sb) < 0)
        return err_errno(err, "cannot look at the token file %s", path);
    if (sb.st_mode & 077)
        return err_set(err, ST_DENIED,
                       "the token file %s is open to others (mode %03o): chmod 600 it; if others "
                       "have seen it, have the token revoked",
                       path, sb.st_mode & 0777);
    return ST_OK;
}

static enum status read_token(const char *path, char **ret_token, struct err *err)
{
    struct buf text;
    buf_init(&text, TOKEN_MAX);
    enum status st = check_mode(path, err);
    if (st == ST_OK)
        st = file_read(&text, path, err);
    size_t n = strcspn(buf_str(&text), " \t\r\n");
    if (st == ST_OK && (n == 0 || strspn(buf_str(&text) + n, " \t\r\n") != text.len - n))
        st = err_set(err, ST_INVALID, "the token file %s must hold one line, the token", path);
    if (st == ST_OK && !(*ret_token = strndup(buf_str(&text), n)))
        st = err_set(err, ST_NOMEM, "out of memory for the token");
    if (text.data)
        explicit_bzero(text.data, text.len);
    buf_fini(&text);
    return st;
}

enum status access_token(char **ret_token, struct err *err)
{
    bool asked;
    char *path = token_path(&asked);
    if (!path)
        return err_set(err, ST_NOMEM, "out of memory for the token file's path");
    enum status st = ST_OK;
    *ret_token = NULL;
    if (asked || file_exists(path))
        st = read_token(path, ret_token, err);
    free(path);
    return st;
}

void access_token_free(char *token)
{
    if (token)
        explicit_bzero(token, strlen(token));
    free(token);
}

static const char *given(const char *option, const char *variable)
{
    const char *value = option ? option : getenv(variable);
    return value && value[0] ? value : NULL;
}

static bool wants_munge(const struct cli *cli)
{
    const char *wish = getenv("ESPALIER_MUNGE");
    return cli->munge || (wish && wish[0] && strcmp(wish, "0") != 0);
}

enum status access_open(struct cli *cli, struct err *err)
{
    struct rpc_access a = {.target = cli->target};
    char *token = NULL;
    if (strncmp(cli->target, "tls:", 4) != 0) {
        if (strncmp(cli->target, "unix:", 5) != 0)
            return err_set(
                err, ST_INVALID,
                "'%.100s' is no address of a daemon: give a socket's path, unix:/PATH, or "
                "tls:HOST:PORT; nothing is sent over a network without TLS",
                cli->target);
        return rpc_client_open_as(&cli->rpc, &a, err);
    }
    a.tls.ca_file = given(cli->ca, "ESPALIER_CA_FILE");
    a.tls.cert_file = given(cli->cert, "ESPALIER_CERT_FILE");
    a.tls.key_file = given(cli->key, "ESPALIER_KEY_FILE");
    if (wants_munge(cli))
        TRY(munge_open(&cli->credentials, getenv("ESPALIER_MUNGE_SOCKET"), err));
    else
        TRY(access_token(&token, err));
    a.munge = cli->credentials;
    a.token = token;
    enum status st = rpc_client_open_as(&cli->rpc, &a, err);
    access_token_free(token);
    return st;
}
