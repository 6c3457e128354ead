/* tokenizer.h - captions to token ids with their place in the text, and the positive map.
 *
 * A tokenizer is a small vtable so that byte-level BPE and WordPiece can stand beside the
 * word-level one. Offsets count code points of the original caption, as tokens_positive does.
 */
#ifndef ENGINE_DATA_TOKENIZER_H
#define ENGINE_DATA_TOKENIZER_H

#include "base/err.h"
#include "engine/data/dataset.h"

#include <stdint.h>

enum { TOKEN_BOS = 0, TOKEN_PAD = 1, TOKEN_EOS = 2, TOKEN_UNK = 3, TOKEN_SPECIALS = 4 };

#define TOKENS_MAX 512 /* of one caption, bos and eos included */

struct tokens {
    int32_t n;
    int32_t id[TOKENS_MAX];
    struct span at[TOKENS_MAX]; /* (0,0) for bos and eos */
};

struct tokenizer {
    const struct tokenizer_ops *ops;
};
struct tokenizer_ops {
    const char *name;
    enum status (*encode)(const struct tokenizer *t, struct tokens *ret_tokens, const char *text,
                          struct err *err);
    int32_t (*size)(const struct tokenizer *t);                 /* V, specials included */
    const char *(*word)(const struct tokenizer *t, int32_t id); /* borrowed; NULL: no such id */
    void (*destroy)(struct tokenizer *t);
};

/* Word level, from a vocabulary file (docs/spec/data.md 3). Errors name file and line. */
enum status tokenizer_open_words(struct tokenizer **ret_tokenizer, const char *path,
                                 struct err *err);
void tokenizer_destroy(struct tokenizer *t); /* NULL allowed */

/* bos words eos. ST_LIMIT: more than TOKENS_MAX tokens; ST_INVALID: not UTF-8. Thread-safe. */
enum status tokenizer_encode(const struct tokenizer *t, struct tokens *ret_tokens, const char *text,
                             struct err *err);
int32_t tokenizer_size(const struct tokenizer *t);
const char *tokenizer_word(const struct tokenizer *t, int32_t id);

/* Index of the first token that covers code point c, -1 if none (white space, past the end). */
int32_t tokens_at(const struct tokens *tokens, int32_t c);
/* Sets row[first..last] = 1 for every span, with the fallbacks of docs/spec/data.md 3. row has at
 * least tokens->n places and is not cleared. Returns the number of tokens set. */
int32_t tokens_positive(const struct tokens *tokens, const struct span *span, int32_t spans,
                        uint8_t *row);

/* Code points of valid UTF-8; -1 when it is not valid. */
int64_t utf8_length(const char *text);
/* Next code point and its length in bytes (1..4); length 0 at the end, -1 when not valid. */
int utf8_next(const char *text, uint32_t *ret_code);

#endif
