/* shape_json.h - a model's shape as JSON, for the metadata of exported files. */
#ifndef ENGINE_SHAPE_JSON_H
#define ENGINE_SHAPE_JSON_H

#include "base/buf.h"
#include "structure/shape.h"

void shape_write_json(const struct model_shape *shape, struct buf *out);
/* Checks the numbers too (model_shape_check). */
enum status shape_read_json(struct model_shape *ret_shape, const char *text, struct err *err);

#endif
