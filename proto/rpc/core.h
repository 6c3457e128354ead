/* core.h - what the files of rpc/ share: gRPC's types, the events of a completion queue, a server's
 * method table and a call's life. Private to this folder.
 *
 * A tag of the completion queue is a struct rpc_event inside the object it concerns.
 */
#ifndef RPC_CORE_H
#define RPC_CORE_H

#include "rpc/munge.h"
#include "rpc/rpc.h"

#include <grpc/grpc.h>
#include <pthread.h>

#define RPC_METHOD_MAX 128  /* bytes of "/package.Service/Method" with the NUL */
#define RPC_CALLS_MAX 1024  /* live calls of a server; more end with RESOURCE_EXHAUSTED */
#define RPC_STREAMS_MAX 128 /* concurrent calls of one connection */
#define RPC_FIELDS_MAX                                                                             \
    (1u << 18)            /* fields in a message: bounds what a small message unpacks to           \
                           */
#define RPC_READ_MS 20000 /* a call whose request has not come by then is ended */
#define RPC_IDLE_MS                                                                                \
    600000 /* a connection without calls is closed after so long; its client opens another */
#define RPC_BEARER_MAX 256 /* bytes of a token with its NUL */

/* ---- gRPC as a whole (core.c) ------------------------------------------------------------- */

/* Before any other call of gRPC; silent unless GRPC_VERBOSITY asks. Once a process, and never undone. */
void rpc_core_start(void);

/* libgrpc is not instrumented: these tell ThreadSanitizer that a batch's start happens before its
 * end. */
void rpc_publish(void *tag);
void rpc_observe(void *tag);

/* ---- bytes (message.c) -------------------------------------------------------------------- */

/* NULL when out of memory. *ret_ok (NULL allowed) is false if a string is not valid UTF-8. */
grpc_byte_buffer *rpc_pack(const ProtobufCMessage *message, bool *ret_ok);
/* Frees the buffer. ST_INVALID: not such a message, bad UTF-8, a NUL in a string; ST_LIMIT: too
 * many fields. */
enum status rpc_unpack(ProtobufCMessage **ret_message, const ProtobufCMessageDescriptor *type,
                       grpc_byte_buffer *buffer, struct err *err);
/* The check alone, on wire bytes. */
enum status rpc_check_bytes(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                            struct err *err);
/* A message's bytes, field by field. Next returns false where they are no message; ask while p <
 * end. */
struct rpc_walk {
    const uint8_t *p, *end;
};
struct rpc_field {
    unsigned number;
    const uint8_t *data; /* NULL unless length-delimited */
    size_t len;
};
bool rpc_walk_next(struct rpc_walk *w, struct rpc_field *ret_field);

/* ---- server ------------------------------------------------------------------------------- */

struct rpc_event {
    void (*done)(struct rpc_event *e, bool ok);
    void *owner;
};

/* RPC_BIDI is for reflection alone: the handler runs for each message, the next is read after its
 * answer. */
enum { RPC_BIDI = RPC_SERVER_STREAM + 1 };

struct rpc_entry {
    char path[RPC_METHOD_MAX];
    int kind;     /* enum rpc_kind or RPC_BIDI */
    bool builtin; /* ended at once when the server stops */
    rpc_handler_f handler;
    void *user;
    const ProtobufCMessageDescriptor *input, *output;
};

struct rpc_accept;     /* one armed request for the next call (server.c) */
struct rpc_server_tls; /* tls.c */

/* What the guard said about a call. */
struct rpc_admission {
    enum status st;
    struct rpc_identity identity;
    struct err err;
};

/* A call that has just come in, and what it shows. */
struct rpc_knock {
    grpc_call *core;
    const struct rpc_entry *entry; /* NULL = no such method */
    char path[RPC_METHOD_MAX];
    bool has_bearer, has_munge; /* one of them at most */
    char bearer[RPC_BEARER_MAX], munge[MUNGE_CRED_MAX];
};

struct rpc_waiting;
/* Whom a call is shown to (guard.c). */
struct rpc_guard {
    rpc_guard_f ask; /* NULL = everybody may do everything */
    void *user;
    pthread_t thread; /* asks about MUNGE credentials */
    bool running;
    pthread_mutex_t lock; /* the fields below; nothing else is locked under it */
    pthread_cond_t wake;
    struct rpc_waiting *first, *last;
    int n;
    bool ending;
};

#define RPC_TLS_MAX 8 /* tls: addresses of a server */

struct rpc_server {
    grpc_server *core;
    grpc_completion_queue *queue;
    struct rpc_entry *entries;
    size_t n_entries;
    const char **services; /* names, borrowed from descriptors; for reflection and health */
    size_t n_services;
    struct rpc_accept *accepts;
    struct rpc_event stop_event;
    struct rpc_server_tls *tls; /* NULL = none was given */
    int tls_port[RPC_TLS_MAX];
    int n_tls_ports;
    struct rpc_guard guard;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* the fields below; taken after a call's lock */
    pthread_cond_t stopped_cond;
    bool stopped;
    struct rpc_call *live; /* every call whose core is not NULL */
    size_t n_live;
};

enum status rpc_server_add_entry(struct rpc_server *s, const struct rpc_entry *entry,
                                 struct err *err);
enum status rpc_server_note_service(struct rpc_server *s, const char *name, struct err *err);
enum status rpc_add_health(struct rpc_server *s, struct err *err);     /* health.c */
enum status rpc_add_reflection(struct rpc_server *s, struct err *err); /* reflection.c */

/* guard.c. Read: what the headers show. Pass: asks the guard, now or on its thread, and lets the call begin. */
void rpc_knock_read(struct rpc_knock *k, const grpc_metadata_array *headers);
void rpc_guard_pass(struct rpc_server *s, struct rpc_knock *k);
enum status rpc_guard_start(struct rpc_server *s, struct err *err);
/* Whoever waits is turned away, whoever comes later too; before the queue's end. */
void rpc_guard_end(struct rpc_server *s);

/* Makes a unix: address free to bind: ST_EXISTS if somebody serves it or it is another kind of file
 * (address.c). Other addresses pass. */
enum status rpc_address_prepare(const char *address, struct err *err);
const char *rpc_address_path(const char *address); /* borrowed path of a unix: address, else NULL */
const char *
rpc_address_tls(const char *address); /* borrowed HOST:PORT of a tls: address, else NULL */

/* ---- TLS (tls.c) -------------------------------------------------------------------------- */

struct grpc_channel_credentials;
struct grpc_server_credentials;
/* NULL, with a sentence, if a file cannot be used. */
struct grpc_channel_credentials *rpc_tls_channel_credentials(const struct rpc_tls *files,
                                                             struct err *err);
struct grpc_server_credentials *
rpc_tls_server_credentials(struct rpc_server_tls *tls); /* NULL: too many addresses */
bool rpc_tls_names(const struct rpc_server_tls *tls,
                   const char *host);             /* its certificate, of now, is for that host */
void rpc_tls_destroy(struct rpc_server_tls *tls); /* NULL allowed; after the server's end */

/* Takes over a call that has just come in; entry NULL = no such method (call.c). */
void rpc_call_begin(struct rpc_server *s, grpc_call *core, const struct rpc_entry *entry,
                    const char *path, const struct rpc_admission *admission);
/* Ends calls that wait too long for their request, or all of the built-in streams; under s->lock.
 */
void rpc_calls_sweep(struct rpc_server *s, int64_t now_ms, bool builtins);

#endif
