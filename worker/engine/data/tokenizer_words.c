/* tokenizer_words.c - the word-level tokenizer (docs/spec/data.md 3): a word list and a hash table.
 */
#include "base/buf.h"
#include "base/file.h"
#include "engine/data/tokenizer.h"
#include "engine/data/tokenizer_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 1000000
#define FILE_BYTES_MAX (64u << 20)

static const char *const special_word[TOKEN_SPECIALS] = {"<s>", "<pad>", "</s>", "<unk>"};

struct words {
    struct tokenizer tokenizer; /* first member */
    char *text;                 /* the file, lines ended by NUL */
    const char **word;          /* [n] */
    int32_t n;
    int32_t *slot;  /* open addressing: index of the word + 1, 0 = free */
    uint32_t slots; /* power of two, at least twice n */
};

static uint32_t hash_word(const char *s, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h;
}

/* The slot that holds the word, or the free one where it belongs. */
static uint32_t find_slot(const struct words *w, const char *s, size_t len)
{
    uint32_t i = hash_word(s, len) & (w->slots - 1);
    while (w->slot[i]) {
        const char *word = w->word[w->slot[i] - 1];
        if (!strncmp(word, s, len) && !word[len])
            break;
        i = (i + 1) & (w->slots - 1);
    }
    return i;
}

static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static bool is_punctuation(uint32_t c)
{
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
}

/* ---- encode ---------------------------------------------------------------------------------- */

static enum status add(struct tokens *t, int32_t id, struct span at, struct err *err)
{
    if (t->n == TOKENS_MAX)
        return err_set(err, ST_LIMIT, "the caption has more than %d tokens; shorten it",
                       TOKENS_MAX);
    t->id[t->n] = id;
    t->at[t->n++] = at;
    return ST_OK;
}

bool word_lower(char ret_lower[WORD_BYTES_MAX + 1], const char *word, size_t bytes)
{
    if (bytes > WORD_BYTES_MAX)
        return false;
    for (size_t i = 0; i < bytes; i++)
        ret_lower[i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] + 32) : word[i];
    ret_lower[bytes] = '\0';
    return true;
}

static int32_t word_id(const struct words *w, const char *s, size_t len)
{
    char lower[WORD_BYTES_MAX + 1];
    if (!word_lower(lower, s, len))
        return TOKEN_UNK;
    uint32_t slot = find_slot(w, lower, len);
    return w->slot[slot] ? TOKEN_SPECIALS + w->slot[slot] - 1 : TOKEN_UNK;
}

int word_length(const char *text, int32_t *ret_points)
{
    int bytes = 0;
    *ret_points = 0;
    for (;;) {
        uint32_t c;
        int n = utf8_next(text + bytes, &c);
        if (n < 0)
            return -1;
        if (n == 0 || is_space(c))
            return bytes;
        if (is_punctuation(c)) {
            if (!bytes)
                *ret_points = 1;
            return bytes ? bytes : n;
        }
        bytes += n;
        ++*ret_points;
    }
}

static enum status words_encode(const struct tokenizer *t, struct tokens *ret_tokens,
                                const char *text, struct err *err)
{
    const struct words *w = (const struct words *)t;
    struct tokens *out = ret_tokens;
    out->n = 0;
    TRY(add(out, TOKEN_BOS, (struct span){0, 0}, err));
    int32_t at = 0;
    while (*text) {
        int32_t points;
        int bytes = word_length(text, &points);
        if (bytes < 0)
            return err_set(err, ST_INVALID, "the caption is not valid UTF-8 at character %d", at);
        if (bytes == 0) { /* one white space */
            uint32_t c;
            text += utf8_next(text, &c);
            at++;
            continue;
        }
        TRY(add(out, word_id(w, text, (size_t)bytes), (struct span){at, at + points}, err));
        text += bytes;
        at += points;
    }
    return add(out, TOKEN_EOS, (struct span){0, 0}, err);
}

static int32_t words_size(const struct tokenizer *t)
{
    return TOKEN_SPECIALS + ((const struct words *)t)->n;
}

static const char *words_word(const struct tokenizer *t, int32_t id)
{
    const struct words *w = (const struct words *)t;
    if (id < 0 || id >= TOKEN_SPECIALS + w->n)
        return NULL;
    return id < TOKEN_SPECIALS ? special_word[id] : w->word[id - TOKEN_SPECIALS];
}

static void words_destroy(struct tokenizer *t)
{
    struct words *w = (struct words *)t;
    free(w->text);
    free(w->word);
    free(w->slot);
    free(w);
}

static const struct tokenizer_ops words_ops = {
    .name = "words",
    .encode = words_encode,
    .size = words_size,
    .word = words_word,
    .destroy = words_destroy,
};

/* ---- the file -------------------------------------------------------------------------------- */

/* One line against the rules: a sentence's predicate, NULL when it is fine. */
static const char *line_fault(const char *s, size_t len)
{
    if (!len)
        return "is empty; every line must hold one word";
    if (len > WORD_BYTES_MAX)
        return "is longer than 128 bytes";
    if (strlen(s) != len)
        return "holds a NUL byte";
    uint32_t c;
    for (int n; (n = utf8_next(s, &c)) != 0; s += n) {
        if (n < 0)
            return "is not valid UTF-8";
        if (is_space(c))
            return "holds white space; every line must hold one word";
    }
    return NULL;
}

/* Cuts the text into lines, in place; *ret_lines = NULL when out of memory. */
static int64_t cut_lines(char *text, size_t len, const char ***ret_lines, size_t **ret_lengths)
{
    int64_t n = 0, k = 0;
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n' || i + 1 == len;
    *ret_lines = calloc((size_t)n + 1, sizeof **ret_lines);
    *ret_lengths = calloc((size_t)n + 1, sizeof **ret_lengths);
    if (!*ret_lines || !*ret_lengths)
        return 0;
    for (size_t begin = 0; begin < len; k++) {
        const char *end = memchr(text + begin, '\n', len - begin);
        size_t stop = end ? (size_t)(end - text) : len;
        size_t bytes = stop - begin;
        if (bytes && text[begin + bytes - 1] == '\r')
            bytes--;
        text[begin + bytes] = '\0';
        (*ret_lines)[k] = text + begin;
        (*ret_lengths)[k] = bytes;
        begin = stop + 1;
    }
    return k;
}

static enum status build(struct words *w, const size_t *length, const char *path, struct err *err)
{
    for (w->slots = 16; w->slots < 2u * (uint32_t)w->n; w->slots *= 2)
        ;
    w->slot = calloc(w->slots, sizeof *w->slot);
    if (!w->slot)
        return err_set(err, ST_NOMEM, "out of memory for the %d words of %s", w->n, path);
    for (int32_t i = 0; i < w->n; i++) {
        const char *fault = line_fault(w->word[i], length[i]);
        if (fault)
            return err_set(err, ST_INVALID, "vocabulary %s: line %d %s", path, i + 1, fault);
        uint32_t slot = find_slot(w, w->word[i], length[i]);
        if (w->slot[slot])
            return err_set(err, ST_INVALID, "vocabulary %s: line %d repeats \"%s\" of line %d",
                           path, i + 1, w->word[i], w->slot[slot]);
        w->slot[slot] = i + 1;
    }
    return ST_OK;
}

static enum status load(struct words *w, const char *path, struct err *err)
{
    struct buf b;
    buf_init(&b, FILE_BYTES_MAX);
    enum status st = file_read(&b, path, err);
    size_t len = b.len;
    if (st == ST_OK && !len)
        st = err_set(err, ST_INVALID, "vocabulary %s is empty; it needs one word a line", path);
    if (st == ST_OK && !(w->text = buf_take(&b)))
        st = err_set(err, ST_NOMEM, "out of memory reading %s", path);
    buf_fini(&b);
    if (st != ST_OK)
        return st;
    size_t *length = NULL;
    int64_t n = cut_lines(w->text, len, &w->word, &length);
    w->n = (int32_t)n;
    if (!w->word || !length)
        st = err_set(err, ST_NOMEM, "out of memory reading %s", path);
    else if (n > WORDS_MAX)
        st = err_set(err, ST_LIMIT, "vocabulary %s has %lld words, at most %d are allowed", path,
                     (long long)n, WORDS_MAX);
    else
        st = build(w, length, path, err);
    free(length);
    return st;
}

enum status tokenizer_open_words(struct tokenizer **ret_tokenizer, const char *path,
                                 struct err *err)
{
    struct words *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(err, ST_NOMEM, "out of memory opening %s", path);
    w->tokenizer.ops = &words_ops;
    enum status st = load(w, path, err);
    if (st == ST_OK)
        *ret_tokenizer = &w->tokenizer;
    else
        words_destroy(&w->tokenizer);
    return st;
}
