/* vocabulary.h - the words of captions, for people who bring their own (docs/spec/data.md 3).
 *
 * Words are cut as the word-level tokenizer cuts them, so that a tokenizer opened on the list knows every one. Words
 * that it could never know, of more than 128 bytes, are left out.
 */
#ifndef ENGINE_DATA_VOCABULARY_H
#define ENGINE_DATA_VOCABULARY_H

#include "base/buf.h"
#include "engine/data/dataset.h"

/* A set of words; zeroed: the empty one. */
struct vocabulary {
    void *root; /* of tsearch() */
};

/* Adds what the set's captions say. */
enum status vocabulary_add(struct vocabulary *v, const struct dataset *set, struct err *err);
/* One word a line, in the order of their bytes. */
void vocabulary_print(const struct vocabulary *v, struct buf *out);
void vocabulary_fini(struct vocabulary *v);

#endif
