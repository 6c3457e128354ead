/* image_cache.h - the pictures of one data set at the model's size, decoded once and kept.
 *
 * One cache serves every loader of a rank that reads the same set. Pictures are kept as RGB8 until
 * the byte budget is spent; the rest are decoded each time they are asked for. Any number of threads may
 * ask at once: they wait for each other only to look and to keep, not while a picture is decoded.
 */
#ifndef ENGINE_DATA_IMAGE_CACHE_H
#define ENGINE_DATA_IMAGE_CACHE_H

#include "base/err.h"
#include "engine/data/dataset.h"
#include "engine/data/image.h"

#include <stddef.h>

struct image_cache;

/* set is borrowed. side: a picture is scaled until its long side is `side`; 0 = left as it is. */
enum status image_cache_create(struct image_cache **ret_cache, const struct dataset *set, int side,
                               size_t budget_bytes, struct err *err);
void image_cache_destroy(struct image_cache *cache); /* NULL allowed */

/* *ret_image lives as long as the cache, or is *passing, the caller's, where there was no room: what was there is freed
 * first. Checks that the file has the size that the record says. */
enum status image_cache_get(struct image_cache *cache, const struct record *record,
                            struct image *passing, const struct image **ret_image, struct err *err);
size_t image_cache_bytes(struct image_cache *cache); /* kept at present */

#endif
