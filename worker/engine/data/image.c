/* image.c - memory of a picture, and its PNG form through libpng. See image.h.
 *
 * libpng reports errors by longjmp. attempt() is the one jump target; what must survive the jump
 * lies in a struct of its caller, so that no local variable can be clobbered.
 */
#include "engine/data/image.h"

#include "base/file.h"

#include <fcntl.h>
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status image_create(struct image *ret_image, int width, int height, struct err *err)
{
    if (width < 1 || height < 1 || width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX)
        return err_set(err, ST_LIMIT, "a picture of %dx%d pixels: sides must be 1 to %d", width,
                       height, IMAGE_SIDE_MAX);
    uint8_t *rgb = calloc((size_t)width * (size_t)height, 3);
    if (!rgb)
        return err_set(err, ST_NOMEM, "out of memory for a picture of %dx%d pixels", width, height);
    *ret_image = (struct image){width, height, rgb};
    return ST_OK;
}

void image_fini(struct image *image)
{
    if (!image)
        return;
    free(image->rgb);
    *image = (struct image){0};
}

/* What survives a longjmp out of libpng. */
struct codec {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    char reason[128];
    enum status code;    /* of the failure; ST_CORRUPT unless set */
    const uint8_t *data; /* decoding */
    size_t len, at;
    struct buf *out; /* encoding */
    int level;
    struct image image;
    png_bytep *rows; /* owned */
};

static void on_error(png_structp png, png_const_charp message)
{
    struct codec *c = png_get_error_ptr(png);
    snprintf(c->reason, sizeof c->reason, "%s", message);
    longjmp(c->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep out, png_size_t n)
{
    struct codec *c = png_get_io_ptr(png);
    if (n > c->len - c->at)
        png_error(png, "the file is cut off");
    memcpy(out, c->data + c->at, n);
    c->at += n;
}

static void on_write(png_structp png, png_bytep data, png_size_t n)
{
    struct codec *c = png_get_io_ptr(png);
    buf_add(c->out, data, n);
    if (!buf_ok(c->out))
        png_error(png, "no room for the encoded picture");
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* Runs body; false when libpng gave up, with c->reason. */
static bool attempt(struct codec *c, void (*body)(struct codec *c))
{
    if (setjmp(c->jump))
        return false;
    body(c);
    return true;
}

static void make_rows(struct codec *c)
{
    size_t height = (size_t)c->image.height;
    c->rows = malloc(height * sizeof *c->rows);
    if (!c->rows) {
        c->code = ST_NOMEM;
        png_error(c->png, "out of memory");
    }
    for (size_t y = 0; y < height; y++)
        c->rows[y] = c->image.rgb + y * (size_t)c->image.width * 3;
}

/* Whatever the file holds becomes 8-bit RGB; alpha is composed on black. */
static void want_rgb(struct codec *c)
{
    png_color_16 black = {0};
    png_set_expand(c->png);
    png_set_scale_16(c->png);
    png_set_gray_to_rgb(c->png);
    png_set_background(c->png, &black, PNG_BACKGROUND_GAMMA_SCREEN, 0, 1.0);
    png_set_interlace_handling(c->png);
    png_read_update_info(c->png, c->info);
}

static void decode_all(struct codec *c)
{
    png_set_read_fn(c->png, c, on_read);
    png_set_user_limits(c->png, IMAGE_SIDE_MAX, IMAGE_SIDE_MAX);
    png_set_chunk_malloc_max(c->png, 8u << 20);
    png_read_info(c->png, c->info);
    want_rgb(c);
    int width = (int)png_get_image_width(c->png, c->info);
    int height = (int)png_get_image_height(c->png, c->info);
    if (png_get_rowbytes(c->png, c->info) != (size_t)width * 3)
        png_error(c->png, "the pixel format cannot be turned into RGB");
    struct err err = {0};
    c->code = image_create(&c->image, width, height, &err);
    if (c->code != ST_OK)
        png_error(c->png, err.text);
    make_rows(c);
    png_read_image(c->png, c->rows);
    png_read_end(c->png, NULL);
}

static enum status check_signature(const void *data, size_t len, const char *what, struct err *err)
{
    if (!len)
        return err_set(err, ST_CORRUPT, "picture %s is empty (0 bytes); fetch or make it again",
                       what);
    if (len < 8 || png_sig_cmp(data, 0, 8))
        return err_set(err, ST_CORRUPT,
                       "picture %s is not a PNG file, and no other kind is read; convert it, and "
                       "let file_name say the new name",
                       what);
    return ST_OK;
}

enum status image_peek_png(int *ret_width, int *ret_height, const char *path, struct err *err)
{
    uint8_t head[24]; /* signature, length and name of IHDR, width, height */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_errno(err, "picture %s", path);
    ssize_t n = read(fd, head, sizeof head);
    enum status st = n < 0 ? err_errno(err, "picture %s", path) : ST_OK;
    close(fd);
    TRY(st);
    TRY(check_signature(head, (size_t)n, path, err));
    if (n < (ssize_t)sizeof head)
        return err_set(err, ST_CORRUPT, "picture %s is cut off; fetch or make it again", path);
    png_uint_32 width = png_get_uint_32(head + 16), height = png_get_uint_32(head + 20);
    if (width < 1 || height < 1 || width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX)
        return err_set(err, ST_LIMIT, "picture %s has %ux%u pixels: sides must be 1 to %d", path,
                       (unsigned)width, (unsigned)height, IMAGE_SIDE_MAX);
    *ret_width = (int)width;
    *ret_height = (int)height;
    return ST_OK;
}

enum status image_decode_png(struct image *ret_image, const void *data, size_t len,
                             const char *what, struct err *err)
{
    TRY(check_signature(data, len, what, err));
    struct codec c = {.data = data, .len = len};
    c.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &c, on_error, on_warning);
    c.info = c.png ? png_create_info_struct(c.png) : NULL;
    enum status st = ST_OK;
    if (!c.info)
        st = err_set(err, ST_NOMEM, "out of memory decoding %s", what);
    else if (!attempt(&c, decode_all))
        st = err_set(err, c.code == ST_OK ? ST_CORRUPT : c.code,
                     "picture %s cannot be decoded: %s; fetch or make it again", what, c.reason);
    png_destroy_read_struct(&c.png, &c.info, NULL);
    free(c.rows);
    if (st == ST_OK)
        *ret_image = c.image;
    else
        image_fini(&c.image);
    return st;
}

static void encode_all(struct codec *c)
{
    png_set_write_fn(c->png, c, on_write, on_flush);
    png_set_IHDR(c->png, c->info, (png_uint_32)c->image.width, (png_uint_32)c->image.height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(c->png, c->level);
    png_set_filter(c->png, 0, PNG_FILTER_SUB);
    png_write_info(c->png, c->info);
    make_rows(c);
    png_write_image(c->png, c->rows);
    png_write_end(c->png, NULL);
}

enum status image_encode_png(struct buf *out, const struct image *image, int level, struct err *err)
{
    struct codec c = {.out = out, .level = level, .image = *image}; /* borrows the pixels */
    c.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &c, on_error, on_warning);
    c.info = c.png ? png_create_info_struct(c.png) : NULL;
    enum status st = ST_OK;
    if (!c.info)
        st = err_set(err, ST_NOMEM, "out of memory encoding a picture");
    else if (!attempt(&c, encode_all))
        st = err_set(err, c.code == ST_OK ? ST_LIMIT : c.code, "encoding a picture: %s", c.reason);
    png_destroy_write_struct(&c.png, &c.info);
    free(c.rows);
    return st;
}

enum status image_read_png(struct image *ret_image, const char *path, struct err *err)
{
    struct buf b;
    buf_init(&b, IMAGE_FILE_MAX);
    enum status st = file_read(&b, path, err);
    if (st == ST_OK)
        st = image_decode_png(ret_image, b.data, b.len, path, err);
    buf_fini(&b);
    return st;
}

enum status image_write_png(const char *path, const struct image *image, int level, struct err *err)
{
    struct buf b;
    buf_init(&b, IMAGE_FILE_MAX);
    enum status st = image_encode_png(&b, image, level, err);
    if (st == ST_OK) {
        FILE *f = fopen(path, "wbe");
        bool ok = f && fwrite(b.data, 1, b.len, f) == b.len;
        if (f)
            ok = !fclose(f) && ok;
        if (!ok)
            st = err_errno(err, "writing picture %s", path);
    }
    buf_fini(&b);
    return st;
}
