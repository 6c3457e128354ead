/* message.c - see message.h. */
#include "client/message.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *enum_text(const ProtobufCEnumDescriptor *type, int value, char out[16])
{
    const ProtobufCEnumValue *row = protobuf_c_enum_descriptor_get_value(type, value);
    if (!row) {
        snprintf(out, 16, "%d", value);
        return out;
    }
    /* JobState -> "JOB_STATE_": a "_" before every capital but the first. */
    const char *name = row->name;
    for (const char *c = type->short_name; *c; c++, name++) {
        if (c != type->short_name && isupper((unsigned char)*c) && *name == '_')
            name++;
        if (toupper((unsigned char)*c) != *name)
            return row->name;
    }
    return *name == '_' ? name + 1 : row->name;
}

static struct json_object *base64(const ProtobufCBinaryData *data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = (data->len + 2) / 3 * 4, at = 0;
    char *text = malloc(n + 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < data->len; i += 3) {
        size_t left = data->len - i;
        unsigned long bits = (unsigned long)data->data[i] << 16;
        bits |= left > 1 ? (unsigned long)data->data[i + 1] << 8 : 0;
        bits |= left > 2 ? data->data[i + 2] : 0;
        text[at++] = digits[bits >> 18];
        text[at++] = digits[bits >> 12 & 63];
        text[at++] = left > 1 ? digits[bits >> 6 & 63] : '=';
        text[at++] = left > 2 ? digits[bits & 63] : '=';
    }
    struct json_object *json = json_object_new_string_len(text, (int)at);
    free(text);
    return json;
}

/* Valid UTF-8 without NUL, as far as a JSON reader cares. */
static bool is_text(const ProtobufCBinaryData *data)
{
    size_t i = 0;
    while (i < data->len) {
        unsigned char c = data->data[i];
        size_t len = c == 0     ? 0
                     : c < 0x80 ? 1
                     : c < 0xc2 ? 0
                     : c < 0xe0 ? 2
                     : c < 0xf0 ? 3
                     : c < 0xf5 ? 4
                                : 0;
        if (len == 0 || i + len > data->len)
            return false;
        for (size_t j = 1; j < len; j++)
            if ((data->data[i + j] & 0xc0) != 0x80)
                return false;
        i += len;
    }
    return true;
}

static struct json_object *bytes_json(const ProtobufCBinaryData *data)
{
    return is_text(data) ? json_object_new_string_len((const char *)data->data, (int)data->len)
                         : base64(data);
}

static struct json_object *real_json(double value)
{
    /* The shortest decimal that reads back: 0.62, not 0.61999999999999999556. */
    char text[32];
    if (!isfinite(value))
        return NULL;
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return json_object_new_double_s(value, text);
}

static struct json_object *enum_json(const ProtobufCEnumDescriptor *type, int value)
{
    char number[16];
    return json_object_new_string(enum_text(type, value, number));
}

/* One value; `at` points to it. */
static struct json_object *value_json(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_object_new_int(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_object_new_int64(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return json_object_new_int64(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return json_object_new_uint64(*(const uint64_t *)at);
    case PROTOBUF_C_TYPE_FLOAT:
        return real_json((double)*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return real_json(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_object_new_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_json(field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        return json_object_new_string(*(char *const *)at);
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_json(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at ? message_json(*(ProtobufCMessage *const *)at) : NULL;
    }
    return NULL;
}

static size_t value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static struct json_object *list_json(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *base = (const char *)m;
    size_t n = *(const size_t *)(base + f->quantifier_offset);
    const char *at = *(const char *const *)(base + f->offset);
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < n; i++)
        json_object_array_add(list, value_json(f, at + i * value_size(f->type)));
    return list;
}

struct json_object *message_json(const ProtobufCMessage *message)
{
    struct json_object *object = json_object_new_object();
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; object && i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        const char *base = (const char *)message;
        bool oneof = f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
        if (oneof && *(const uint32_t *)(base + f->quantifier_offset) != f->id)
            continue;
        json_object_object_add(object, f->name,
                               f->label == PROTOBUF_C_LABEL_REPEATED
                                   ? list_json(message, f)
                                   : value_json(f, base + f->offset));
    }
    return object;
}
