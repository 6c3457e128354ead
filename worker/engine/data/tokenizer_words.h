/* tokenizer_words.h - how the word-level tokenizer cuts a text, for the one other part that must cut alike. */
#ifndef ENGINE_DATA_TOKENIZER_WORDS_H
#define ENGINE_DATA_TOKENIZER_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORD_BYTES_MAX 128

/* Bytes and code points of the token at text; 0: white space, or the end. -1: not UTF-8. */
int word_length(const char *text, int32_t *ret_points);
/* ASCII letters made small, NUL-terminated; false: longer than any word that a vocabulary may hold. */
bool word_lower(char ret_lower[WORD_BYTES_MAX + 1], const char *word, size_t bytes);

#endif
