/* cli.h - what every command has: the streams, the daemon, and how to fail.
 *
 * A command returns the program's exit code. Data goes to stdout, everything else to stderr; with
 * --json stdout holds JSON and nothing else.
 */
#ifndef CLIENT_CLI_H
#define CLIENT_CLI_H

#include "client/args.h"
#include "client/exits.h"
#include "rpc/rpc.h"
#include "term/table.h"
#include "base/term.h"

#include <json-c/json.h>

struct cli {
    const char *server;          /* --server, or NULL */
    const char *ca, *cert, *key; /* --ca, --cert, --key, or NULL */
    bool munge;                  /* --munge */
    struct munge *credentials;   /* owned; NULL = a token is shown, or nothing */
    char *target;                /* owned; the address in use once connected */
    struct rpc_client *rpc;      /* owned; NULL until cli_connect() */
    struct term out, err;        /* stdout, stderr */
    bool json;
};

struct command {
    const char *name, *summary;
    const char *usage;    /* after the name: "ID [--json]" */
    const char *details;  /* help's text below the usage; may be "" */
    const char *examples; /* one a line */
    const struct option_row *options;
    int min_args, max_args;
    bool raw; /* arguments are passed on as they are; options and counts are not looked at */
    int (*run)(struct cli *cli, const struct args *args);
};

/* What the first argument of a command like `ckpt` may be. */
struct verb {
    const char *name;
    int least, most;   /* arguments, the verb counted */
    const char *needs; /* in words: "ID NAME" */
    int (*run)(struct cli *cli, const struct args *args);
};
/* verbs end with a name NULL. NULL if there is none. */
const struct verb *verb_find(const struct verb *verbs, const char *name);
/* Runs the one that is named, or says which there are. Exit code. */
int verb_run(struct cli *cli, const struct args *args, const char *command,
             const struct verb *verbs);

/* The commands in the order of the help: number i, or NULL behind the last. main.c */
const struct command *command_at(int i);
const struct command *command_find(const char *name);

/* Prints "espalier: <sentence>" and gives the exit code. */
int cli_fail(struct cli *cli, const struct err *err);
/* Prints text or JSON to stdout, with a newline behind JSON; the object is consumed. Exit code. */
int cli_print(struct cli *cli, const struct buf *text);
int cli_print_json(struct cli *cli, struct json_object *object);
/* Prints the table to stdout and ends it. Exit code. */
int cli_print_table(struct cli *cli, struct table *t);
/* Help of one command, or of all in one screen. help.c */
void command_help(struct buf *out, const struct term *t, const struct command *command);
void overview(struct buf *out, const struct term *t);
extern const struct option_row global_options[];

/* A note on stderr: "espalier: text". */
void cli_note(struct cli *cli, const char *fmt, ...) BASE_PRINTF(2, 3);

/* ---- the daemon ------------------------------------------------------------------------------ */

#define CALL_MS 10000   /* deadline of an ordinary call */
#define SUBMIT_MS 60000 /* of one that reads data files */

/* Opens the client; does not talk yet. Address: --server, $ESPALIER_SERVER, the default socket. */
enum status cli_connect(struct cli *cli, struct err *err);
void cli_disconnect(struct cli *cli);
/* Paths mean the same to both sides. */
bool cli_same_host(const struct cli *cli);

/* One call of JobService by name ("Get"). *ret_reply is freed with reply_free(). Connects when
 * needed. */
enum status cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *reply_type, int deadline_ms, void *ret_reply,
                     struct err *err);
void reply_free(void *reply); /* NULL allowed */

/* The job of an id or `last`. The caller frees *ret_reply, whose job is never NULL. */
enum status cli_get_job(struct cli *cli, const char *id, Espalier__V1__GetReply **ret_reply,
                        struct err *err);

#endif
