/* writer.c - see writer.h. All texts are plain ASCII without quotes, so nothing needs escaping. */
#include "engine/data/shaperef/writer.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_MAX ((size_t)8 << 30)

void writer_init(struct writer *w, const struct shaperef_config *cfg, enum shaperef_split split,
                 const char *kind)
{
    *w = (struct writer){.cfg = cfg, .split = split};
    snprintf(w->name, sizeof w->name, "%s_%s.json", shaperef_split_name[split], kind);
    buf_init(&w->images, LIST_MAX);
    buf_init(&w->annotations, LIST_MAX);
}

void writer_fini(struct writer *w)
{
    buf_fini(&w->images);
    buf_fini(&w->annotations);
}

void writer_picture_name(char out[WRITER_NAME_MAX], const struct scene *s)
{
    snprintf(out, WRITER_NAME_MAX, "%s/%06llu.png", shaperef_split_name[s->split],
             (unsigned long long)s->number);
}

void writer_record(struct writer *w, const struct scene *s, const char *caption, const char *family)
{
    char picture[WRITER_NAME_MAX];
    writer_picture_name(picture, s);
    buf_printf(&w->images,
               "%s\n{\"id\": %lld, \"original_id\": %llu, \"file_name\": \"%s\", \"height\": %d, "
               "\"width\": %d, \"caption\": \"%s\", ",
               w->records ? "," : "", (long long)w->records, (unsigned long long)s->number, picture,
               s->size, s->size, caption);
    if (family)
        buf_printf(&w->images, "\"family\": \"%s\", ", family);
    buf_puts(&w->images, "\"dataset_name\": \"shaperef\", \"tokens_negative\": [[0, ");
    buf_printf(&w->images, "%zu]]}", strlen(caption));
    w->records++;
}

void writer_box(struct writer *w, const struct thing *t, struct span span)
{
    int width = t->x1 - t->x0, height = t->y1 - t->y0;
    buf_printf(&w->annotations,
               "%s\n{\"id\": %lld, \"image_id\": %lld, \"category_id\": 1, \"bbox\": [%d, %d, %d, "
               "%d], \"area\": %d, \"iscrowd\": 0, \"tokens_positive\": [[%d, %d]]}",
               w->boxes ? "," : "", (long long)w->boxes, (long long)(w->records - 1), t->x0, t->y0,
               width, height, width * height, span.begin, span.end);
    w->boxes++;
}

void writer_blind(struct writer *w, enum shaperef_family family, const struct blind *b)
{
    w->blind[family].random += b->random;
    w->blind[family].head_noun += b->head_noun;
    w->blind[family].attributes += b->attributes;
    w->asked[family]++;
}

static void put_info(const struct writer *w, struct buf *out)
{
    const struct shaperef_config *c = w->cfg;
    buf_printf(out,
               "{\"info\": {\"description\": \"ShapeRef\", \"split\": \"%s\", \"seed\": %llu, "
               "\"size\": %d, \"objects\": [%d, %d], \"scenes\": %lld, \"expressions\": %d, "
               "\"captions\": %d, \"pairs_held_out\": %s, \"blind\": {",
               shaperef_split_name[w->split], (unsigned long long)c->seed, c->size, c->objects_min,
               c->objects_max, (long long)c->scenes[w->split], c->expressions, c->captions,
               c->scenes[SHAPEREF_COMP] ? "true" : "false");
    const char *comma = "";
    for (int f = 0; f < FAMILY_COUNT; f++) {
        double n = (double)w->asked[f];
        if (!w->asked[f])
            continue;
        buf_printf(out,
                   "%s\n\"%s\": {\"n\": %lld, \"random\": %.4f, \"head_noun\": %.4f, "
                   "\"attributes\": %.4f}",
                   comma, shaperef_family_name[f], (long long)w->asked[f], w->blind[f].random / n,
                   w->blind[f].head_noun / n, w->blind[f].attributes / n);
        comma = ",";
    }
    buf_puts(out, "}},\n\"licenses\": [],\n\"images\": [");
}

static enum status write_parts(const struct writer *w, struct file_writer *file,
                               const struct buf *info, struct err *err)
{
    static const char middle[] = "],\n\"annotations\": [";
    static const char end[] = "],\n\"categories\": [{\"id\": 1, \"name\": \"object\"}]}\n";
    TRY(file_writer_add(file, buf_str(info), info->len, err));
    TRY(file_writer_add(file, buf_str(&w->images), w->images.len, err));
    TRY(file_writer_add(file, middle, sizeof middle - 1, err));
    TRY(file_writer_add(file, buf_str(&w->annotations), w->annotations.len, err));
    return file_writer_add(file, end, sizeof end - 1, err);
}

enum status writer_commit(struct writer *w, const char *dir, struct err *err)
{
    if (!buf_ok(&w->images) || !buf_ok(&w->annotations))
        return err_set(err, ST_LIMIT, "%s does not fit into memory; make fewer scenes", w->name);
    struct buf info;
    buf_init(&info, 65536);
    put_info(w, &info);
    struct file_writer file = {.fd = -1};
    char *path = path_join(dir, w->name);
    enum status st = path && buf_ok(&info)
                         ? file_writer_open(&file, path, 0666, err)
                         : err_set(err, ST_NOMEM, "out of memory writing %s", w->name);
    if (st == ST_OK)
        st = write_parts(w, &file, &info, err);
    if (st == ST_OK)
        st = file_writer_commit(&file, err);
    else
        file_writer_abandon(&file);
    buf_fini(&info);
    free(path);
    return st;
}

enum status writer_remove_old(const struct writer *w, const char *dir, struct err *err)
{
    char *path = path_join(dir, w->name);
    if (!path)
        return err_set(err, ST_NOMEM, "out of memory making %s", w->name);
    enum status st = ST_OK;
    if (unlink(path) && errno != ENOENT)
        st = err_errno(err, "removing the old %s", path);
    free(path);
    return st;
}

/* ---- vocabulary ------------------------------------------------------------------------------ */

/* Words that stand in no table of their own. */
static const char *const other_words[] = {"the", "of",   "from",   "that",    "is",
                                          "not", "than", "bigger", "smaller", ";"};

/* One line for each word of the text that is not there yet. */
static void put_words(struct buf *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, " ");
        char line[32];
        snprintf(line, sizeof line, "\n%.*s\n", (int)n, text);
        if (!strstr(buf_str(out), line))
            buf_puts(out, line + 1);
        text += n + (text[n] == ' ');
    }
}

enum status writer_vocabulary(const char *dir, struct err *err)
{
    struct buf out;
    buf_init(&out, 65536);
    buf_puts(&out, "\n"); /* so that every word stands between two line ends; not written */
    for (size_t i = 0; i < sizeof other_words / sizeof other_words[0]; i++)
        put_words(&out, other_words[i]);
    for (int k = 0; k < ATTRIBUTES; k++)
        for (int v = 0; v < attribute_values[k]; v++)
            put_words(&out, attribute_word[k][v]);
    for (int i = 0; i < ORDINALS; i++)
        put_words(&out, ordinal_word[i]);
    for (int i = 0; i < DIRECTIONS; i++)
        put_words(&out, direction_word[i]);
    for (int i = 0; i < RELATIONS; i++)
        put_words(&out, relation_word[i]);
    char *path = path_join(dir, "vocabulary.txt");
    enum status st = path && buf_ok(&out)
                         ? file_write_atomic(path, buf_str(&out) + 1, out.len - 1, 0666, err)
                         : err_set(err, ST_NOMEM, "out of memory writing the vocabulary");
    free(path);
    buf_fini(&out);
    return st;
}
