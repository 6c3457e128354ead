/* shape_json.c - see shape_json.h. */
#include "engine/ckpt/shape_json.h"

#include "base/json.h"

#include <string.h>

/* clang-format off */
#define SHAPE_FIELDS(X)                                                                            \
    X(image) X(patch) X(width) X(heads) X(ffn) X(vision_layers) X(text_layers) X(fusion_width)     \
    X(fusion_heads) X(fusion_ffn) X(encoder_layers) X(decoder_layers) X(queries) X(slots)          \
    X(max_tokens) X(contrast) X(vocabulary)
/* clang-format on */

void shape_write_json(const struct model_shape *shape, struct buf *out)
{
    buf_printf(out, "{\"stem\":%d", shape->stem);
#define X(field) buf_printf(out, ",\"" #field "\":%lld", (long long)shape->field);
    SHAPE_FIELDS(X)
#undef X
    buf_puts(out, "}");
}

enum status shape_read_json(struct model_shape *ret_shape, const char *text, struct err *err)
{
    struct json_object *o = NULL;
    TRY(json_parse(&o, text, strlen(text), "the model's shape", err));
    struct model_shape shape = {.stem = (int)json_get_int(o, "stem", STEM_CONV)};
#define X(field) shape.field = json_get_int(o, #field, 0);
    SHAPE_FIELDS(X)
#undef X
    json_object_put(o);
    TRY(model_shape_check(&shape, err));
    *ret_shape = shape;
    return ST_OK;
}
