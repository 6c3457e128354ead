/* scratch.c - see scratch.h. */
#include "scratch.h"

#include "engine/data/image.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void scratch_init(struct scratch *s)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%.40s/espalier-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->dir));
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_fini(struct scratch *s)
{
    assert_int_equal(nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *scratch_path(struct scratch *s, const char *name)
{
    snprintf(s->path, sizeof s->path, "%s/%s", s->dir, name);
    return s->path;
}

const char *scratch_write(struct scratch *s, const char *name, const void *data, size_t len)
{
    FILE *f = fopen(scratch_path(s, name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return s->path;
}

const char *scratch_text(struct scratch *s, const char *name, const char *text)
{
    return scratch_write(s, name, text, strlen(text));
}

void scratch_png(struct scratch *s, const char *name, int width, int height, unsigned rgb)
{
    struct image image;
    assert_int_equal(image_create(&image, width, height, NULL), ST_OK);
    for (int i = 0; i < width * height; i++)
        for (int c = 0; c < 3; c++)
            image.rgb[3 * i + c] = (uint8_t)(rgb >> (16 - 8 * c));
    assert_int_equal(image_write_png(scratch_path(s, name), &image, 1, NULL), ST_OK);
    image_fini(&image);
}
