/* tokenizer.c - dispatch, UTF-8, and the way from characters to tokens. See tokenizer.h. */
#include "engine/data/tokenizer.h"

#include <string.h>

void tokenizer_destroy(struct tokenizer *t)
{
    if (t)
        t->ops->destroy(t);
}

enum status tokenizer_encode(const struct tokenizer *t, struct tokens *ret_tokens, const char *text,
                             struct err *err)
{
    return t->ops->encode(t, ret_tokens, text, err);
}

int32_t tokenizer_size(const struct tokenizer *t)
{
    return t->ops->size(t);
}

const char *tokenizer_word(const struct tokenizer *t, int32_t id)
{
    return t->ops->word(t, id);
}

/* Length and smallest allowed code of a sequence by its first byte; 0 = no first byte. */
static int sequence_length(unsigned char first, uint32_t *ret_least)
{
    if (first < 0x80) {
        *ret_least = 0;
        return 1;
    }
    if (first >= 0xC2 && first < 0xE0) {
        *ret_least = 0x80;
        return 2;
    }
    if (first >= 0xE0 && first < 0xF0) {
        *ret_least = 0x800;
        return 3;
    }
    if (first >= 0xF0 && first < 0xF5) {
        *ret_least = 0x10000;
        return 4;
    }
    return 0;
}

int utf8_next(const char *text, uint32_t *ret_code)
{
    const unsigned char *s = (const unsigned char *)text;
    if (!s[0])
        return 0;
    uint32_t least;
    int n = sequence_length(s[0], &least);
    if (!n)
        return -1;
    uint32_t code = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return -1;
        code = code << 6 | (s[i] & 0x3Fu);
    }
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return -1;
    *ret_code = code;
    return n;
}

int64_t utf8_length(const char *text)
{
    int64_t length = 0;
    for (;;) {
        uint32_t code;
        int n = utf8_next(text, &code);
        if (n <= 0)
            return n < 0 ? -1 : length;
        text += n;
        length++;
    }
}

int32_t tokens_at(const struct tokens *tokens, int32_t c)
{
    for (int32_t i = 0; i < tokens->n; i++)
        if (tokens->at[i].begin <= c && c < tokens->at[i].end)
            return i;
    return -1;
}

/* The token at c, else at c+step, else at c+2*step; -1 if none. */
static int32_t tokens_near(const struct tokens *tokens, int32_t c, int32_t step)
{
    for (int tries = 0; tries < 3; tries++, c += step) {
        int32_t t = tokens_at(tokens, c);
        if (t >= 0)
            return t;
    }
    return -1;
}

int32_t tokens_positive(const struct tokens *tokens, const struct span *span, int32_t spans,
                        uint8_t *row)
{
    int32_t set = 0;
    for (int32_t k = 0; k < spans; k++) {
        int32_t first = tokens_near(tokens, span[k].begin, 1);
        int32_t last = tokens_near(tokens, span[k].end - 1, -1);
        if (first < 0 || last < 0)
            continue;
        for (int32_t t = first; t <= last; t++) {
            set += !row[t];
            row[t] = 1;
        }
    }
    return set;
}
