/* image.h - pictures as 8-bit RGB: PNG in and out, and the one resize.
 *
 * Hostile files are expected: sizes are checked before memory is asked for, and libpng's errors
 * come back as a status that names the file.
 */
#ifndef ENGINE_DATA_IMAGE_H
#define ENGINE_DATA_IMAGE_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define IMAGE_SIDE_MAX 8192        /* pixels */
#define IMAGE_FILE_MAX (64u << 20) /* bytes of an encoded file */

struct image {
    int width, height;
    uint8_t *rgb; /* owned; [height,width,3] */
};

enum status image_create(struct image *ret_image, int width, int height,
                         struct err *err); /* black */
void image_fini(struct image *image);      /* zeroed and NULL allowed */

/* Any colour type and depth; alpha lies on black. ST_NOT_FOUND, ST_CORRUPT (empty, cut off,
 * damaged, not a PNG), ST_LIMIT (sides, file size). `what` names the picture in messages. */
enum status image_read_png(struct image *ret_image, const char *path, struct err *err);
enum status image_decode_png(struct image *ret_image, const void *data, size_t len,
                             const char *what, struct err *err);

/* The sides that the file's first bytes tell; nothing is decoded. Same errors. */
enum status image_peek_png(int *ret_width, int *ret_height, const char *path, struct err *err);

/* level: zlib's, 0..9. Appends to out; write_png does not fsync (callers write thousands). */
enum status image_encode_png(struct buf *out, const struct image *image, int level,
                             struct err *err);
enum status image_write_png(const char *path, const struct image *image, int level,
                            struct err *err);

/* Antialiased bilinear as PIL's resize(BILINEAR): a triangle filter whose support grows with the
 * down-scaling factor, horizontal pass first, 8-bit between the passes. */
enum status image_resize(struct image *ret_image, const struct image *image, int width, int height,
                         struct err *err);

#endif
