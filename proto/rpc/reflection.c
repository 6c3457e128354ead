/* reflection.c - server reflection, v1 and v1alpha (one wire format under two names).
 *
 * Answers from the FileDescriptorSet that the build embeds. A symbol is found by its package and
 * top-level name, since what is nested lies in the same file; a file comes with all that it
 * imports.
 */
#include "rpc/core.h"

#include "espalier/v1/descriptors.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

#include <stdio.h>
#include <string.h>

#define FILES_MAX 32 /* answered at a time; the contract has half a dozen */
#define INFO "/ServerReflectionInfo"

/* Field numbers of google/protobuf/descriptor.proto. */
enum { SET_FILE = 1, FILE_NAME = 1, FILE_PACKAGE = 2, FILE_DEPENDENCY = 3 };
enum { FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6, FILE_EXTENSION = 7, ANY_NAME = 1 };

struct bytes {
    const uint8_t *data;
    size_t len;
};

static bool equals(struct bytes b, const char *text, size_t len)
{
    return b.len == len && memcmp(b.data, text, len) == 0;
}

/* The next field of the given number, false at the end. */
static bool next_of(struct rpc_walk *w, unsigned number, struct bytes *ret_value)
{
    struct rpc_field f;
    while (w->p < w->end && rpc_walk_next(w, &f)) {
        if (f.number != number || !f.data)
            continue;
        *ret_value = (struct bytes){f.data, f.len};
        return true;
    }
    return false;
}

static struct rpc_walk walk_of(struct bytes b)
{
    return (struct rpc_walk){b.data, b.data + b.len};
}

static struct bytes first_of(struct bytes message, unsigned number)
{
    struct rpc_walk w = walk_of(message);
    struct bytes value = {(const uint8_t *)"", 0};
    next_of(&w, number, &value);
    return value;
}

static struct rpc_walk all_files(void)
{
    return (struct rpc_walk){espalier_descriptors,
                             espalier_descriptors + espalier_descriptors_size};
}

static bool find_file(const char *name, size_t len, struct bytes *ret_file)
{
    struct rpc_walk w = all_files();
    while (next_of(&w, SET_FILE, ret_file))
        if (equals(first_of(*ret_file, FILE_NAME), name, len))
            return true;
    return false;
}

/* Is one of the file's own things called name[0..len)? */
static bool file_has(struct bytes file, const char *name, size_t len)
{
    static const unsigned kinds[] = {FILE_MESSAGE, FILE_ENUM, FILE_SERVICE, FILE_EXTENSION};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct rpc_walk w = walk_of(file);
        struct bytes thing;
        while (next_of(&w, kinds[i], &thing))
            if (equals(first_of(thing, ANY_NAME), name, len))
                return true;
    }
    return false;
}

static bool find_symbol(const char *symbol, struct bytes *ret_file)
{
    struct rpc_walk w = all_files();
    while (next_of(&w, SET_FILE, ret_file)) {
        struct bytes package = first_of(*ret_file, FILE_PACKAGE);
        if (strlen(symbol) <= package.len || symbol[package.len] != '.' ||
            !equals(package, symbol, package.len))
            continue;
        const char *name = symbol + package.len + 1;
        if (file_has(*ret_file, name, strcspn(name, ".")))
            return true;
    }
    return false;
}

/* ---- the answers -------------------------------------------------------------------------- */

/* Each takes the half-made reply by value and points it at its own locals. */

/* Adds the file and what it imports, each once. */
static void add_file(ProtobufCBinaryData *files, size_t *n, struct bytes file)
{
    for (size_t i = 0; i < *n; i++)
        if (files[i].data == file.data)
            return;
    if (*n == FILES_MAX)
        return;
    files[(*n)++] = (ProtobufCBinaryData){file.len, (uint8_t *)file.data};
    struct rpc_walk w = walk_of(file);
    struct bytes name, import;
    while (next_of(&w, FILE_DEPENDENCY, &name))
        if (find_file((const char *)name.data, name.len, &import))
            add_file(files, n, import);
}

static void answer_file(struct rpc_call *call, Grpc__Reflection__V1__ServerReflectionResponse reply,
                        struct bytes file)
{
    ProtobufCBinaryData files[FILES_MAX];
    Grpc__Reflection__V1__FileDescriptorResponse found =
        GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    add_file(files, &found.n_file_descriptor_proto, file);
    found.file_descriptor_proto = files;
    reply.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    reply.file_descriptor_response = &found;
    rpc_call_send(call, &reply.base);
}

static void answer_error(struct rpc_call *call,
                         Grpc__Reflection__V1__ServerReflectionResponse reply, enum status st,
                         const char *text)
{
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    error.error_code = rpc_wire_code(st);
    error.error_message = (char *)text;
    reply.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    reply.error_response = &error;
    rpc_call_send(call, &reply.base);
}

static void answer_services(struct rpc_call *call,
                            Grpc__Reflection__V1__ServerReflectionResponse reply,
                            const struct rpc_server *s)
{
    Grpc__Reflection__V1__ServiceResponse rows[FILES_MAX], *pointers[FILES_MAX];
    Grpc__Reflection__V1__ListServiceResponse list =
        GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    for (size_t i = 0; i < s->n_services && i < FILES_MAX; i++) {
        grpc__reflection__v1__service_response__init(&rows[i]);
        rows[i].name = (char *)s->services[i];
        pointers[list.n_service++] = &rows[i];
    }
    list.service = pointers;
    reply.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    reply.list_services_response = &list;
    rpc_call_send(call, &reply.base);
}

/* A stream that has no answer to give: it only learns that its peer went away. */
static void info_ready(struct rpc_call *call, void *user)
{
    (void)user;
    if (rpc_call_gone(call))
        rpc_call_finish(call);
}

static void reflection_info(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    Grpc__Reflection__V1__ServerReflectionRequest *q =
        (Grpc__Reflection__V1__ServerReflectionRequest *)request;
    Grpc__Reflection__V1__ServerReflectionResponse reply =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    reply.valid_host = q->host;
    reply.original_request = q;
    struct bytes file;
    switch (q->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        if (find_file(q->file_by_filename, strlen(q->file_by_filename), &file))
            answer_file(call, reply, file);
        else
            answer_error(call, reply, ST_NOT_FOUND, "there is no such file");
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        if (find_symbol(q->file_containing_symbol, &file))
            answer_file(call, reply, file);
        else
            answer_error(call, reply, ST_NOT_FOUND, "there is no such symbol");
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        answer_services(call, reply, user);
        break;
    default:
        answer_error(call, reply, ST_NOT_FOUND, "the contract has no extensions");
    }
    rpc_call_on_ready(call, info_ready, NULL);
}

enum status rpc_add_reflection(struct rpc_server *s, struct err *err)
{
    static const char *const names[] = {"grpc.reflection.v1.ServerReflection",
                                        "grpc.reflection.v1alpha.ServerReflection"};
    for (size_t i = 0; i < 2; i++) {
        struct rpc_entry entry = {
            .kind = RPC_BIDI,
            .builtin = true,
            .handler = reflection_info,
            .user = s,
            .input = &grpc__reflection__v1__server_reflection_request__descriptor,
            .output = &grpc__reflection__v1__server_reflection_response__descriptor};
        snprintf(entry.path, sizeof entry.path, "/%s" INFO, names[i]);
        TRY(rpc_server_add_entry(s, &entry, err));
        TRY(rpc_server_note_service(s, names[i], err));
    }
    return ST_OK;
}
