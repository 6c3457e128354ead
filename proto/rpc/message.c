/* message.c - messages to bytes and back, and the check that protobuf-c leaves out.
 *
 * protobuf-c takes any bytes for a string and cuts it at its first NUL. The check therefore walks
 * the wire bytes beside the descriptors, before unpacking; it also bounds the number of fields,
 * because a field of two bytes can unpack to a hundred. Message types of the contract do not
 * contain themselves, so the walk's depth is the schema's.
 */
#include "rpc/core.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <stdlib.h>
#include <string.h>

/* Length of the UTF-8 character at p, 0 if there is none (overlong, surrogate, > U+10FFFF, cut). */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf8 ? 0 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    if (n == 0 || n > left)
        return 0;
    uint32_t c = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

static enum status check_string(const ProtobufCFieldDescriptor *field, const uint8_t *p, size_t len,
                                struct err *err)
{
    for (size_t i = 0, n; i < len; i += n) {
        if (p[i] == 0)
            return err_set(err, ST_INVALID, "field '%s' has a NUL character at byte %zu",
                           field->name, i);
        n = utf8_length(p + i, len - i);
        if (n == 0)
            return err_set(err, ST_INVALID, "field '%s' is not valid UTF-8 at byte %zu",
                           field->name, i);
    }
    return ST_OK;
}

static bool walk_varint(struct rpc_walk *w, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 70 && w->p < w->end; shift += 7) {
        uint8_t byte = *w->p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = v;
            return true;
        }
    }
    return false;
}

/* The size of a value of this wire type; a varint is stepped over here and leaves 0. */
static bool walk_size(struct rpc_walk *w, unsigned wire_type, uint64_t *ret_size)
{
    uint64_t ignored;
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        *ret_size = 0;
        return walk_varint(w, &ignored);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        *ret_size = 8;
        return true;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        *ret_size = 4;
        return true;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        return walk_varint(w, ret_size);
    default:
        return false;
    }
}

bool rpc_walk_next(struct rpc_walk *w, struct rpc_field *ret_field)
{
    uint64_t key, size;
    if (!walk_varint(w, &key) || key > UINT32_MAX || !walk_size(w, key & 7, &size) ||
        size > (uint64_t)(w->end - w->p))
        return false;
    bool delimited = (key & 7) == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    *ret_field = (struct rpc_field){(unsigned)(key >> 3), delimited ? w->p : NULL, (size_t)size};
    w->p += size;
    return true;
}

static enum status check_message(const ProtobufCMessageDescriptor *type, struct rpc_walk *w,
                                 unsigned *fields, struct err *err)
{
    struct rpc_field f;
    while (w->p < w->end) {
        if (!rpc_walk_next(w, &f))
            return err_set(err, ST_INVALID, "the bytes are not a message of type %s", type->name);
        if ((*fields)-- == 0)
            return err_set(err, ST_LIMIT, "the message has more than %u fields", RPC_FIELDS_MAX);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, f.number);
        if (!field || !f.data)
            continue;
        struct rpc_walk inner = {f.data, f.data + f.len};
        if (field->type == PROTOBUF_C_TYPE_STRING)
            TRY(check_string(field, f.data, f.len, err));
        else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            TRY(check_message(field->descriptor, &inner, fields, err));
    }
    return ST_OK;
}

enum status rpc_check_bytes(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                            struct err *err)
{
    unsigned fields = RPC_FIELDS_MAX;
    struct rpc_walk w = {data,
                         len ? data + len : data}; /* an empty message may have no bytes at all */
    return check_message(type, &w, &fields, err);
}

bool rpc_message_valid_utf8(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *data = malloc(len + 1);
    if (!data)
        return false;
    protobuf_c_message_pack(message, data);
    enum status st = rpc_check_bytes(message->descriptor, data, len, NULL);
    free(data);
    return st != ST_INVALID;
}

grpc_byte_buffer *rpc_pack(const ProtobufCMessage *message, bool *ret_ok)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(len);
    uint8_t *data = GRPC_SLICE_START_PTR(slice);
    protobuf_c_message_pack(message, data);
    if (ret_ok)
        *ret_ok = rpc_check_bytes(message->descriptor, data, len, NULL) != ST_INVALID;
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

enum status rpc_unpack(ProtobufCMessage **ret_message, const ProtobufCMessageDescriptor *type,
                       grpc_byte_buffer *buffer, struct err *err)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, buffer)) {
        grpc_byte_buffer_destroy(buffer);
        return err_set(err, ST_INVALID, "the bytes are not a message of type %s", type->name);
    }
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(buffer);

    const uint8_t *data = GRPC_SLICE_START_PTR(slice);
    size_t len = GRPC_SLICE_LENGTH(slice);
    enum status st = rpc_check_bytes(type, data, len, err);
    if (st == ST_OK) {
        ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL, len, data);
        if (message)
            *ret_message = message;
        else
            st = err_set(err, ST_INVALID, "the bytes are not a message of type %s", type->name);
    }
    grpc_slice_unref(slice);
    return st;
}

void rpc_clean_text(char *out, size_t size, const char *text)
{
    size_t len = strlen(text), used = 0;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_length((const uint8_t *)text + i, len - i);
        size_t step = n ? n : 1;
        if (used + step + 1 > size)
            break;
        if (n)
            memcpy(out + used, text + i, n);
        else
            out[used] = '?';
        used += step;
        i += step;
    }
    out[used] = '\0';
}
