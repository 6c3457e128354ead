/* message.h - any protobuf message as JSON, from its descriptor: one rule for every `--json`.
 *
 * Field names are those of job.proto. 64-bit numbers are JSON numbers; enums are their names
 * without the type's prefix ("RUNNING"); bytes are text when they are UTF-8, else base64; of a
 * oneof only what is set appears; NaN and infinities are null. Everything else is always there, so
 * that readers need no defaults.
 */
#ifndef CLIENT_MESSAGE_H
#define CLIENT_MESSAGE_H

#include <json-c/json.h>
#include <protobuf-c/protobuf-c.h>

/* NULL when out of memory; the caller owns the result. */
struct json_object *message_json(const ProtobufCMessage *message);

/* "RUNNING" of JOB_STATE_RUNNING; "UNKNOWN(99)" is spelled "99". Borrowed or in out. */
const char *enum_text(const ProtobufCEnumDescriptor *type, int value, char out[16]);

#endif
