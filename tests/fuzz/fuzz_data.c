/* fuzz_data.c - any bytes as an annotation file, a picture, a vocabulary with a caption, or a checkpoint: the first
 * byte says which; a picture's sums are made right, so that what is behind them is reached. Built by tests/fuzz/build.sh; run by hand:
 *     fuzz_data -max_len=4096 CORPUS
 * Holds: no crash, no hang; what is accepted can be walked from end to end; a refusal has a sentence.
 */
#include "engine/ckpt/safetensors.h"
#include "engine/data/dataset.h"
#include "engine/data/image.h"
#include "engine/data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(const struct err *err)
{
    if (err->code == ST_OK || !err->text[0])
        abort();
}

static void as_annotations(const char *path)
{
    struct dataset *set;
    struct err err = {0};
    struct dataset_config cfg = {.path = path};
    if (dataset_open(&set, &cfg, &err) != ST_OK) {
        refused(&err);
        return;
    }
    int64_t boxes = 0;
    for (int64_t i = 0; i < dataset_count(set); i++) {
        struct record r;
        dataset_get(set, i, &r);
        for (int32_t k = 0; k < r.boxes; k++)
            if (!(r.box[k].x0 >= 0 && r.box[k].x1 <= (float)r.width && r.box[k].x0 < r.box[k].x1))
                abort();
        for (int32_t k = 0; k < r.boxes; k++)
            for (int32_t j = 0; j < r.box[k].spans; j++)
                if (r.box[k].span[j].end > utf8_length(r.caption))
                    abort();
        boxes += r.boxes;
    }
    if (boxes != dataset_boxes(set))
        abort();
    dataset_close(set);
}

/* The chunks' sums, written over whatever stands there. */
static void make_right(uint8_t *data, size_t size)
{
    for (size_t at = 8, len; size > at && size - at >= 12; at += 12 + len) {
        len = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 |
              data[at + 3];
        if (len > size - at - 12)
            return;
        unsigned long sum = crc32(0, data + at + 4, (unsigned)len + 4);
        for (int i = 0; i < 4; i++)
            data[at + 8 + len + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
    }
}

static void as_picture(const uint8_t *data, size_t size)
{
    struct image image;
    struct err err = {0};
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    make_right(copy, size);
    if (image_decode_png(&image, copy, size, "fuzz", &err) != ST_OK)
        refused(&err);
    else
        image_fini(&image);
    free(copy);
}

static void as_vocabulary(const char *path, const uint8_t *data, size_t size)
{
    struct tokenizer *t;
    struct err err = {0};
    if (tokenizer_open_words(&t, path, &err) != ST_OK) {
        refused(&err);
        return;
    }
    char *text = strndup((const char *)data, size); /* its own words as a caption */
    struct tokens tokens;
    if (text && tokenizer_encode(t, &tokens, text, &err) == ST_OK) {
        uint8_t row[TOKENS_MAX] = {0};
        struct span all = {0, (int32_t)utf8_length(text)};
        tokens_positive(&tokens, &all, 1, row);
        for (int32_t i = 0; i < tokens.n; i++)
            if (!tokenizer_word(t, tokens.id[i]) || tokens.at[i].end > all.end)
                abort();
    }
    free(text);
    tokenizer_destroy(t);
}

static void as_checkpoint(const char *path)
{
    struct safetensors *f;
    struct err err = {0};
    if (safetensors_open(&f, path, &err) != ST_OK) {
        refused(&err);
        return;
    }
    for (int i = 0; i < safetensors_count(f); i++) {
        const struct safetensor *t = safetensors_at(f, i);
        void *out = malloc((size_t)t->size * dtype_bytes(t->dtype) + 1);
        if (!out || safetensors_read(f, t, t->dtype, 0, t->size, out, &err) != ST_OK ||
            safetensors_find(f, t->name) != t)
            abort();
        free(out);
    }
    safetensors_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC), kind = data[0] & 3;
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (kind == 0)
        as_annotations(path);
    else if (kind == 1)
        as_picture(data + 1, size - 1);
    else if (kind == 2)
        as_vocabulary(path, data + 1, size - 1);
    else
        as_checkpoint(path);
    close(fd);
    return 0;
}
