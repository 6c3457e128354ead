/* writer.h - one annotation file of a ShapeRef set while it grows, and the vocabulary. Private to
 * shaperef. */
#ifndef ENGINE_DATA_SHAPEREF_WRITER_H
#define ENGINE_DATA_SHAPEREF_WRITER_H

#include "base/buf.h"
#include "engine/data/shaperef/expression.h"

#define WRITER_NAME_MAX 64

struct writer {
    const struct shaperef_config *cfg;
    enum shaperef_split split;
    char name[WRITER_NAME_MAX];     /* "train_rec.json" */
    struct buf images, annotations; /* the lists' contents */
    int64_t records, boxes;
    struct blind blind[FAMILY_COUNT]; /* sums */
    int64_t asked[FAMILY_COUNT];
};

void writer_init(struct writer *w, const struct shaperef_config *cfg, enum shaperef_split split,
                 const char *kind);
void writer_fini(struct writer *w);

/* A failure (no room) is kept and reported by writer_commit(). family NULL = none. */
void writer_record(struct writer *w, const struct scene *s, const char *caption,
                   const char *family);
void writer_box(struct writer *w, const struct thing *t, struct span span); /* of the last record */
void writer_blind(struct writer *w, enum shaperef_family family, const struct blind *b);

enum status writer_remove_old(const struct writer *w, const char *dir, struct err *err);
enum status writer_commit(struct writer *w, const char *dir, struct err *err);

/* "train/000123.png" */
void writer_picture_name(char out[WRITER_NAME_MAX], const struct scene *s);
/* vocabulary.txt: every word that an expression or caption can hold. */
enum status writer_vocabulary(const char *dir, struct err *err);

#endif
