/* image_cache.c - see image_cache.h. */
#include "engine/data/image_cache.h"

#include <stdlib.h>

struct image_cache {
    const struct dataset *set;
    int side;
    size_t budget, used;
    struct image *kept;   /* [images]; rgb = NULL: not kept */
    struct image passing; /* the last picture that found no room */
};

enum status image_cache_create(struct image_cache **ret_cache, const struct dataset *set, int side,
                               size_t budget_bytes, struct err *err)
{
    struct image_cache *c = calloc(1, sizeof *c);
    if (c)
        c->kept = calloc((size_t)dataset_images(set) + 1, sizeof *c->kept);
    if (!c || !c->kept) {
        free(c);
        return err_set(err, ST_NOMEM, "out of memory for the pictures of %s", dataset_path(set));
    }
    c->set = set;
    c->side = side;
    c->budget = budget_bytes;
    *ret_cache = c;
    return ST_OK;
}

void image_cache_destroy(struct image_cache *cache)
{
    if (!cache)
        return;
    for (int32_t i = 0; i < dataset_images(cache->set); i++)
        image_fini(&cache->kept[i]);
    image_fini(&cache->passing);
    free(cache->kept);
    free(cache);
}

static enum status read_checked(const struct image_cache *c, const struct record *record,
                                struct image *ret_image, struct err *err)
{
    char *path = dataset_image_path(c->set, record->image);
    if (!path)
        return err_set(err, ST_NOMEM, "out of memory reading a picture of %s",
                       dataset_path(c->set));
    struct image image;
    enum status st = image_read_png(&image, path, err);
    if (st != ST_OK) {
        err_prefix(err, "%s: record %lld", dataset_path(c->set), (long long)record->id);
    } else if (image.width != record->width || image.height != record->height) {
        st = err_set(err, ST_INVALID, "%s: record %lld says %dx%d pixels, but picture %s has %dx%d",
                     dataset_path(c->set), (long long)record->id, record->width, record->height,
                     path, image.width, image.height);
        image_fini(&image);
    } else {
        *ret_image = image;
    }
    free(path);
    return st;
}

/* Sides after scaling the long one to `side`. */
static void fit(int side, int *width, int *height)
{
    int longer = *width > *height ? *width : *height;
    *width = (int)(((int64_t)*width * side + longer / 2) / longer);
    *height = (int)(((int64_t)*height * side + longer / 2) / longer);
    *width += *width == 0;
    *height += *height == 0;
}

static enum status read_fitted(const struct image_cache *c, const struct record *record,
                               struct image *ret_image, struct err *err)
{
    struct image image;
    TRY(read_checked(c, record, &image, err));
    int width = image.width, height = image.height;
    if (c->side)
        fit(c->side, &width, &height);
    if (width == image.width && height == image.height) {
        *ret_image = image;
        return ST_OK;
    }
    enum status st = image_resize(ret_image, &image, width, height, err);
    image_fini(&image);
    return st;
}

enum status image_cache_get(struct image_cache *cache, const struct record *record,
                            const struct image **ret_image, struct err *err)
{
    struct image *kept = &cache->kept[record->image];
    if (kept->rgb) {
        *ret_image = kept;
        return ST_OK;
    }
    struct image image;
    TRY(read_fitted(cache, record, &image, err));
    size_t bytes = (size_t)image.width * (size_t)image.height * 3;
    if (bytes <= cache->budget - cache->used) {
        cache->used += bytes;
        *kept = image;
        *ret_image = kept;
        return ST_OK;
    }
    image_fini(&cache->passing);
    cache->passing = image;
    *ret_image = &cache->passing;
    return ST_OK;
}

size_t image_cache_bytes(const struct image_cache *cache)
{
    return cache->used;
}
