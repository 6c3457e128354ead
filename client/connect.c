/* connect.c - cli.h's second half: the daemon's address, and calls. */
#include "client/access.h"

#include "base/file.h"
#include "rpc/munge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_TARGET "unix:/run/espalier/espalierd.sock"

/* docs/spec/wire.md: the run folder of the user's session, else the state folder, else the machine's service. */
static char *default_target(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *target = NULL;
    if (runtime && runtime[0] == '/') {
        if (asprintf(&target, "unix:%s/espalier/espalierd.sock", runtime) < 0)
            return NULL;
        if (file_exists(target + strlen("unix:")))
            return target;
        free(target);
    }
    bool given = state && state[0] == '/';
    if (asprintf(&target, "unix:%s%s/espalier/run/espalierd.sock",
                 given  ? state
                 : home ? home
                        : "",
                 given ? "" : "/.local/state") < 0)
        return NULL;
    if (file_exists(target + strlen("unix:")) || !file_exists(SERVICE_TARGET + strlen("unix:")))
        return target;
    free(target);
    return strdup(SERVICE_TARGET);
}

/* "/path" and "./path" are sockets too; anything else is looked at by access_open(). */
static char *given_target(const char *server)
{
    char *target = NULL;
    if (server[0] != '/' && server[0] != '.')
        return strdup(server);
    return asprintf(&target, "unix:%s", server) < 0 ? NULL : target;
}

enum status cli_connect(struct cli *cli, struct err *err)
{
    const char *server = cli->server ? cli->server : getenv("ESPALIER_SERVER");
    if (cli->rpc)
        return ST_OK;
    if (!cli->target)
        cli->target = server && server[0] ? given_target(server) : default_target();
    if (!cli->target)
        return err_set(err, ST_NOMEM, "out of memory for the daemon's address");
    return access_open(cli, err);
}

void cli_disconnect(struct cli *cli)
{
    rpc_client_close(cli->rpc);
    munge_close(cli->credentials);
    free(cli->target);
    cli->rpc = NULL;
    cli->credentials = NULL;
    cli->target = NULL;
}

bool cli_same_host(const struct cli *cli)
{
    return cli->target && !strncmp(cli->target, "unix:", 5);
}

enum status cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *reply_type, int deadline_ms, void *ret_reply,
                     struct err *err)
{
    char path[96];
    ProtobufCMessage *reply = NULL;
    TRY(cli_connect(cli, err));
    snprintf(path, sizeof path, "/%s/%s", espalier__v1__job_service__descriptor.name, method);
    TRY(rpc_client_call(cli->rpc, path, request, reply_type, deadline_ms, &reply, err));
    memcpy(ret_reply, &reply, sizeof reply);
    return ST_OK;
}

void reply_free(void *reply)
{
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
}

enum status cli_get_job(struct cli *cli, const char *id, Espalier__V1__GetReply **ret_reply,
                        struct err *err)
{
    Espalier__V1__GetRequest request = ESPALIER__V1__GET_REQUEST__INIT;
    Espalier__V1__GetReply *reply = NULL;
    bool digits = id[0] && strlen(id) < 20 && !id[strspn(id, "0123456789")];
    if (!digits && strcmp(id, "last") != 0)
        return err_set(err, ST_INVALID, "'%.40s' is no job id: ids are numbers, or `last`", id);
    request.id = (char *)id;
    TRY(cli_call(cli, "Get", &request.base, &espalier__v1__get_reply__descriptor, CALL_MS, &reply,
                 err));
    if (!reply->job) {
        reply_free(reply);
        return err_set(err, ST_CORRUPT, "the daemon's answer holds no job");
    }
    *ret_reply = reply;
    return ST_OK;
}
