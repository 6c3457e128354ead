/* json.c - see json.h. */
#include "base/json.h"

#include "base/buf.h"
#include "base/file.h"

enum status json_parse(struct json_object **ret_obj, const char *text, size_t len, const char *what,
                       struct err *err)
{
    struct json_tokener *tok = json_tokener_new_ex(32);
    if (!tok)
        return err_set(err, ST_NOMEM, "out of memory parsing %s", what);
    if (len > INT32_MAX) {
        json_tokener_free(tok);
        return err_set(err, ST_LIMIT, "%s is too long to be parsed (%zu bytes)", what, len);
    }
    struct json_object *obj = json_tokener_parse_ex(tok, text, (int)len);
    enum json_tokener_error e = json_tokener_get_error(tok);
    size_t at = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    if (e == json_tokener_success && obj) {
        *ret_obj = obj;
        return ST_OK;
    }
    json_object_put(obj);
    if (e == json_tokener_continue)
        return err_set(err, ST_CORRUPT, "%s is not complete JSON: it ends at byte %zu", what, len);
    return err_set(err, ST_CORRUPT, "%s is not valid JSON at byte %zu: %s", what, at,
                   json_tokener_error_desc(e));
}

enum status json_read_file(struct json_object **ret_obj, const char *path, size_t max_bytes,
                           struct err *err)
{
    struct buf b;
    buf_init(&b, max_bytes);
    enum status st = file_read(&b, path, err);
    if (st == ST_OK)
        st = json_parse(ret_obj, buf_str(&b), b.len, path, err);
    buf_fini(&b);
    return st;
}

struct json_object *json_find(struct json_object *obj, const char *key)
{
    struct json_object *v = NULL;
    if (!json_object_is_type(obj, json_type_object) || !json_object_object_get_ex(obj, key, &v))
        return NULL;
    return v;
}

const char *json_get_str(struct json_object *obj, const char *key, const char *fallback)
{
    struct json_object *v = json_find(obj, key);
    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : fallback;
}

int64_t json_get_int(struct json_object *obj, const char *key, int64_t fallback)
{
    struct json_object *v = json_find(obj, key);
    return json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : fallback;
}

double json_get_num(struct json_object *obj, const char *key, double fallback)
{
    struct json_object *v = json_find(obj, key);
    bool number = json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int);
    return number ? json_object_get_double(v) : fallback;
}

bool json_get_bool(struct json_object *obj, const char *key, bool fallback)
{
    struct json_object *v = json_find(obj, key);
    return json_object_is_type(v, json_type_boolean) ? json_object_get_boolean(v) : fallback;
}
