/* rpc.h - gRPC without gRPC's types: a server of protobuf-c services, and a client.
 *
 * The only code that includes <grpc/...> is in this folder. Messages are protobuf-c's; methods are
 * found through the generated ProtobufCServiceDescriptor, so that one loop registers a service and
 * a method without a handler is refused at start.
 *
 * Threads. The server owns one completion-queue thread. Handlers and call hooks run on it and must
 * not block: they hand the call on (the daemon posts it to its inbox). Every rpc_call_* function
 * may be called from any thread. A call is a counted reference: the handler gets one and gives it
 * up by rpc_call_reply / rpc_call_fail / rpc_call_finish, exactly once.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include "base/err.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_MESSAGE_MAX (8u << 20) /* bytes; larger requests end with RESOURCE_EXHAUSTED */

/* ---- server ------------------------------------------------------------------------------- */

struct rpc_server;
struct rpc_call;

/* `request` is valid until the call is replied to, failed or finished (the rpc frees it then). */
typedef void (*rpc_handler_f)(struct rpc_call *call, const ProtobufCMessage *request, void *user);

enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM };

struct rpc_method {
    const char *name; /* as in the .proto, e.g. "Submit" */
    enum rpc_kind kind;
    rpc_handler_f handler;
};

/* Nothing listens yet. Also serves grpc.health.v1.Health and server reflection (v1 and v1alpha). */
enum status rpc_server_create(struct rpc_server **ret_server, struct err *err);
/* ST_INVALID if the descriptor has a method without a row or a row without a method. */
enum status rpc_server_add(struct rpc_server *s, const ProtobufCServiceDescriptor *service,
                           const struct rpc_method *methods, size_t n, void *user, struct err *err);

/* PEM files of one side of a TLS connection. A server needs certificate and key; its CA, if given, makes a
 * client certificate from it compulsory. A client needs none: no CA means the system's. Key files must be
 * closed to others (0600). Versions below TLS 1.2 are refused by gRPC. */
struct rpc_tls {
    const char *cert_file, *key_file, *ca_file; /* NULL = not given */
};
/* Before listening on a tls: address. The files are read and checked now (readable, a pair, not expired), and
 * again when they change: a renewed certificate needs no restart, an unusable one is passed over. */
enum status rpc_server_use_tls(struct rpc_server *s, const struct rpc_tls *files, struct err *err);

/* Several addresses may be listened on: "unix:/path", "tls:HOST:PORT", or for tests on loopback "127.0.0.1:0" without
 * any protection. *ret_port (NULL allowed) is the port chosen, 0 for unix. */
enum status rpc_server_listen(struct rpc_server *s, const char *address, int *ret_port,
                              struct err *err);
/* Whether a client may mean this server by that address: one of its tls: ports, and a host that its certificate names.
 * Reads the certificate's file. */
bool rpc_server_is_at(const struct rpc_server *s, const char *address);

/* Who calls, as the guard found out; what a role means is the guard's affair. */
#define RPC_NAME_MAX 64
struct rpc_identity {
    char name[RPC_NAME_MAX]; /* "" = unknown */
    int role;
    int64_t expires_ms; /* when it ends to be valid, on the guard's clock; 0 = never */
};
struct rpc_arrival {
    const char *method; /* as it was called, whether it exists or not */
    const char *peer;   /* host of a network peer without its port, e.g. "ipv4:10.0.0.7" */
    bool local;         /* over a unix socket */
    const char *bearer; /* "authorization: Bearer ..."; NULL = none */
    const char *munge;  /* "authorization: MUNGE ..." (munge.h); NULL = none */
};
/* Runs for every call, before anything of its request is read: on a thread of its own where the arrival has a MUNGE
 * credential, else on the server's thread, where it must not block. Two may run at a time. ST_DENIED with *ret_identity untouched
 * ends the call with UNAUTHENTICATED, with a name in it with PERMISSION_DENIED. */
typedef enum status (*rpc_guard_f)(const struct rpc_arrival *arrival,
                                   struct rpc_identity *ret_identity, void *user, struct err *err);
void rpc_server_guard(struct rpc_server *s, rpc_guard_f guard, void *user); /* before start */
enum status rpc_server_start(struct rpc_server *s, struct err *err);
/* No new calls; live ones have grace_ms, then are cancelled. Joins the thread. */
void rpc_server_stop(struct rpc_server *s, int grace_ms);
void rpc_server_destroy(struct rpc_server *s); /* NULL allowed; after stop */

/* ---- a call, seen by its handler ---------------------------------------------------------- */

/* Valid as long as the call is held; all zero without a guard. */
const struct rpc_identity *rpc_call_identity(const struct rpc_call *call);

/* Sends the reply of a unary call with status OK; gives up the call. */
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *reply);
/* Ends a unary or streaming call with a status and a sentence (UTF-8); gives up the call.
 * ST_OK is not allowed. Codes translate by rpc_wire_code().                              */
void rpc_call_fail(struct rpc_call *call, enum status st, const char *text);

/* Server streams: one message in flight. rpc_call_send packs the message at once (the caller keeps it)
 * and returns false if one is in flight or the peer is gone. A message that cannot be sent (bad UTF-8,
 * over RPC_MESSAGE_MAX) ends the call with INTERNAL or RESOURCE_EXHAUSTED; the peer counts as gone.
 *
 * `ready` runs on the server's thread after each completed send and once when the peer goes away (then
 * rpc_call_gone() is true); if the peer is gone already, it runs at once, in rpc_call_on_ready. Register
 * it after the first send, else both may send. Once the call is given up no hook runs any more, so do
 * not give up a call while holding a lock that the hook takes. A call may outlive its server: it is
 * gone then. */
typedef void (*rpc_ready_f)(struct rpc_call *call, void *user);
void rpc_call_on_ready(struct rpc_call *call, rpc_ready_f ready, void *user);
bool rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message);
bool rpc_call_gone(struct rpc_call *call);   /* cancelled, deadline passed or peer lost */
void rpc_call_finish(struct rpc_call *call); /* ends a stream with OK; gives up the call */

/* ---- client ------------------------------------------------------------------------------- */

struct rpc_client;
struct rpc_stream;

struct munge;
/* How to reach a server, and as whom. Borrowed. */
struct rpc_access {
    const char *target; /* "unix:/path", "tls:HOST:PORT", or "host:port" without any protection */
    struct rpc_tls tls; /* for tls: */
    const char *token;  /* sent as bearer token, over TLS alone; NULL = none */
    /* Sends a new credential of it with every call instead, over TLS alone; lives as long as the client; NULL = none. */
    const struct munge *munge;
};
/* Does not connect yet, but reads the files. Proxy variables are ignored for unix:. */
enum status rpc_client_open_as(struct rpc_client **ret_client, const struct rpc_access *access,
                               struct err *err);
enum status rpc_client_open(struct rpc_client **ret_client, const char *target, struct err *err);
void rpc_client_close(struct rpc_client *c); /* NULL allowed */

/* method: "/espalier.v1.JobService/Submit". *ret_reply belongs to the caller, who frees it by
 * protobuf_c_message_free_unpacked(reply, NULL). deadline_ms > 0. Errors carry the server's
 * sentence; no server is ST_UNAVAILABLE with the target in the sentence. */
enum status rpc_client_call(struct rpc_client *c, const char *method,
                            const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *reply_type, int deadline_ms,
                            ProtobufCMessage **ret_reply, struct err *err);

/* A server stream. rpc_stream_next blocks until a message (ret_message, the caller frees), the end
 * (ST_OK with *ret_message = NULL) or an error.                                               */
enum status rpc_stream_open(struct rpc_stream **ret_stream, struct rpc_client *c,
                            const char *method, const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *reply_type, struct err *err);
enum status rpc_stream_next(struct rpc_stream *s, ProtobufCMessage **ret_message, struct err *err);
void rpc_stream_cancel(struct rpc_stream *s); /* any thread; next() then fails with ST_CANCELLED */
void rpc_stream_close(struct rpc_stream *s);  /* NULL allowed */

/* ---- status translation, the only switch between the two worlds --------------------------- */

int rpc_wire_code(enum status st);        /* enum status -> grpc_status_code */
enum status rpc_status_of(int wire_code); /* the way back */

/* True if every `string` field of the message, at any depth, is valid UTF-8 (protobuf-c does not
 * check). */
bool rpc_message_valid_utf8(const ProtobufCMessage *message);
/* Copies text, with what is not UTF-8 replaced by '?' and cut at a character's border. */
void rpc_clean_text(char *out, size_t size, const char *text);

#endif
