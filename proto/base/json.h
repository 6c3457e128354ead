/* json.h - small helpers over json-c for files and messages of at most a few megabytes.
 * Annotation files of a gigabyte go through the streaming reader of engine/data instead. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* Parses text; the error names `what` and the byte offset. The caller owns the result (json_object_put). */
enum status json_parse(struct json_object **ret_obj, const char *text, size_t len, const char *what,
                       struct err *err);
enum status json_read_file(struct json_object **ret_obj, const char *path, size_t max_bytes,
                           struct err *err);

/* Borrowed lookups; the fallback is returned when the key is absent or of another type. */
const char *json_get_str(struct json_object *obj, const char *key, const char *fallback);
int64_t json_get_int(struct json_object *obj, const char *key, int64_t fallback);
double json_get_num(struct json_object *obj, const char *key, double fallback);
bool json_get_bool(struct json_object *obj, const char *key, bool fallback);
struct json_object *json_find(struct json_object *obj, const char *key); /* NULL if none */

#endif
