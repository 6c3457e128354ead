/* image_cache.c - see image_cache.h. */
#include "engine/data/image_cache.h"

#include <pthread.h>
#include <stdlib.h>

struct image_cache {
    const struct dataset *set;
    int side;
    size_t budget;
    pthread_mutex_t lock; /* of all below; a picture once kept stays where it is */
    size_t used;
    struct image *kept; /* [images]; rgb = NULL: not kept */
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
    pthread_mutex_init(&c->lock, NULL);
    *ret_cache = c;
    return ST_OK;
}

void image_cache_destroy(struct image_cache *cache)
{
    if (!cache)
        return;
    for (int32_t i = 0; i < dataset_images(cache->set); i++)
        image_fini(&cache->kept[i]);
    pthread_mutex_destroy(&cache->lock);
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

/* The picture if it is kept. */
static const struct image *find(struct image_cache *c, int32_t i)
{
    pthread_mutex_lock(&c->lock);
    const struct image *kept = c->kept[i].rgb ? &c->kept[i] : NULL;
    pthread_mutex_unlock(&c->lock);
    return kept;
}

/* Keeps the picture if there is room and no other thread was faster; it is the cache's then. */
static const struct image *keep(struct image_cache *c, int32_t i, const struct image *image)
{
    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    const struct image *kept = NULL;
    pthread_mutex_lock(&c->lock);
    if (!c->kept[i].rgb && bytes <= c->budget - c->used) {
        c->used += bytes;
        c->kept[i] = *image;
        kept = &c->kept[i];
    }
    pthread_mutex_unlock(&c->lock);
    return kept;
}

enum status image_cache_get(struct image_cache *cache, const struct record *record,
                            struct image *passing, const struct image **ret_image, struct err *err)
{
    const struct image *kept = find(cache, record->image);
    if (!kept) {
        struct image image;
        TRY(read_fitted(cache, record, &image, err));
        kept = keep(cache, record->image, &image);
        if (!kept) {
            image_fini(passing);
            *passing = image;
            kept = passing;
        }
    }
    *ret_image = kept;
    return ST_OK;
}

size_t image_cache_bytes(struct image_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t bytes = cache->used;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}
