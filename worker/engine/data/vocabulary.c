/* vocabulary.c - see vocabulary.h. */
#include "engine/data/vocabulary.h"

#include "engine/data/tokenizer.h"
#include "engine/data/tokenizer_words.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

static enum status add_word(struct vocabulary *v, const char *text, size_t bytes, struct err *err)
{
    char lower[WORD_BYTES_MAX + 1];
    if (!word_lower(lower, text, bytes) || tfind(lower, &v->root, by_bytes))
        return ST_OK;
    char *word = strdup(lower);
    if (word && tsearch(word, &v->root, by_bytes))
        return ST_OK;
    free(word);
    return err_set(err, ST_NOMEM, "out of memory for the words of the captions");
}

enum status vocabulary_add(struct vocabulary *v, const struct dataset *set, struct err *err)
{
    for (int64_t i = 0; i < dataset_count(set); i++) {
        struct record r;
        int32_t points;
        dataset_get(set, i, &r);
        for (const char *at = r.caption; *at;) {
            int bytes = word_length(at, &points);
            if (bytes > 0)
                TRY(add_word(v, at, (size_t)bytes, err));
            uint32_t code;
            at += bytes > 0 ? bytes : utf8_next(at, &code); /* the reader saw to valid UTF-8 */
        }
    }
    return ST_OK;
}

static void print_word(const void *node, VISIT visit, void *out)
{
    if (visit != postorder && visit != leaf)
        return;
    buf_puts(out, *(const char *const *)node);
    buf_puts(out, "\n");
}

void vocabulary_print(const struct vocabulary *v, struct buf *out)
{
    twalk_r(v->root, print_word, out);
}

void vocabulary_fini(struct vocabulary *v)
{
    tdestroy(v->root, free);
    v->root = NULL;
}
