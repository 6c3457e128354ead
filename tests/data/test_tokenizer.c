/* test_tokenizer.c - words, their places in code points, and the positive map. */
#include "engine/data/tokenizer.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tokenizer *open_words(struct scratch *s, const char *text)
{
    struct tokenizer *t = NULL;
    struct err err = {0};
    if (tokenizer_open_words(&t, scratch_text(s, "v.txt", text), &err) != ST_OK)
        fail_msg("%s", err.text);
    return t;
}

static void expect(const struct tokenizer *t, const char *text, int n, const int32_t *id,
                   const struct span *at)
{
    struct tokens got;
    struct err err = {0};
    if (tokenizer_encode(t, &got, text, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(got.n, n + 2);
    assert_int_equal(got.id[0], TOKEN_BOS);
    assert_int_equal(got.id[n + 1], TOKEN_EOS);
    for (int i = 0; i < n; i++) {
        assert_int_equal(got.id[i + 1], id[i]);
        assert_int_equal(got.at[i + 1].begin, at[i].begin);
        assert_int_equal(got.at[i + 1].end, at[i].end);
    }
}

static void words_carry_their_places(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct tokenizer *t = open_words(&s, "the\nred\r\ncaf\xC3\xA9\ndog\n'\n;\n\xF0\x9F\x90\xB6");
    assert_int_equal(tokenizer_size(t), 11);
    assert_string_equal(tokenizer_word(t, 5), "red");
    assert_string_equal(tokenizer_word(t, TOKEN_PAD), "<pad>");
    assert_null(tokenizer_word(t, 11));
    assert_null(tokenizer_word(t, -1));
    expect(t, "", 0, NULL, NULL);
    expect(t, "  ", 0, NULL, NULL);
    expect(t, "The RED  dog", 3, (int32_t[]){4, 5, 7}, (struct span[]){{0, 3}, {4, 7}, {9, 12}});
    expect(t, " caf\xC3\xA9 dog", 2, (int32_t[]){6, 7}, (struct span[]){{1, 5}, {6, 9}});
    expect(t,
           "\xF0\x9F\x90\xB6\xC2\xA0"
           "dog",
           2, (int32_t[]){10, 7}, (struct span[]){{0, 1}, {2, 5}});
    expect(t, "dog's;", 4, (int32_t[]){7, 8, TOKEN_UNK, 9},
           (struct span[]){{0, 3}, {3, 4}, {4, 5}, {5, 6}});
    expect(t, "caf", 1, (int32_t[]){TOKEN_UNK}, (struct span[]){{0, 3}}); /* a prefix is no word */
    tokenizer_destroy(t);
    scratch_fini(&s);
}

static void bad_captions_are_refused(void **state)
{
    (void)state;
    struct scratch s;
    struct tokens out;
    struct err err = {0};
    scratch_init(&s);
    struct tokenizer *t = open_words(&s, "a\n");
    assert_int_equal(tokenizer_encode(t, &out, "a \xFF", &err), ST_INVALID);
    assert_non_null(strstr(err.text, "character 2"));
    char many[2 * TOKENS_MAX + 1];
    for (int i = 0; i < TOKENS_MAX; i++)
        memcpy(many + 2 * i, "a ", 3);
    assert_int_equal(tokenizer_encode(t, &out, many, &err), ST_LIMIT);
    many[2 * (TOKENS_MAX - 2)] = '\0';
    assert_int_equal(tokenizer_encode(t, &out, many, &err), ST_OK);
    assert_int_equal(out.n, TOKENS_MAX);
    tokenizer_destroy(t);
    scratch_fini(&s);
}

static void bad_vocabularies_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "is empty"},
        {"a\n\nb\n", "line 2 is empty"},
        {"a\nb\na\n", "line 3 repeats \"a\" of line 1"},
        {"a b\n", "line 1 holds white space"},
        {"a\n\xFF\n", "line 2 is not valid UTF-8"},
    };
    struct scratch s;
    scratch_init(&s);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tokenizer *t;
        struct err err = {0};
        assert_int_equal(tokenizer_open_words(&t, scratch_text(&s, "v", cases[i].text), &err),
                         ST_INVALID);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
    }
    struct tokenizer *t;
    struct err err = {0};
    assert_int_equal(tokenizer_open_words(&t, scratch_write(&s, "v", "a\0b\n", 4), &err),
                     ST_INVALID);
    char word[200];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_int_equal(tokenizer_open_words(&t, scratch_text(&s, "v", word), &err), ST_INVALID);
    assert_non_null(strstr(err.text, "longer than 128 bytes"));
    assert_int_equal(tokenizer_open_words(&t, scratch_path(&s, "none"), &err), ST_NOT_FOUND);
    scratch_fini(&s);
}

static int32_t positive(const struct tokenizer *t, const char *text, struct span span, char *row)
{
    struct tokens tokens;
    uint8_t set[TOKENS_MAX] = {0};
    assert_int_equal(tokenizer_encode(t, &tokens, text, NULL), ST_OK);
    int32_t n = tokens_positive(&tokens, &span, 1, set);
    for (int32_t i = 0; i < tokens.n; i++)
        row[i] = set[i] ? '1' : '0';
    row[tokens.n] = '\0';
    return n;
}

static void spans_find_their_tokens(void **state)
{
    (void)state;
    struct scratch s;
    char row[TOKENS_MAX + 1];
    scratch_init(&s);
    struct tokenizer *t = open_words(&s, "a\nred\ndog\n");
    static const struct {
        const char *text;
        struct span span;
        const char *row;
    } cases[] = {
        {"a red dog", {2, 9}, "00110"},      {"a red dog", {2, 5}, "00100"},
        {"a red dog", {1, 9}, "00110"},      /* begins on the space: next character */
        {"a red dog", {2, 6}, "00100"},      /* ends on the space: the one before */
        {"a  red dog", {1, 6}, "00100"},     /* two spaces: the second fallback */
        {"a   red dog", {1, 7}, "00000"},    /* three: none */
        {"a red dog", {3, 4}, "00100"},      /* inside a word */
        {"caf\xC3\xA9 red", {5, 8}, "0010"}, /* code points, not bytes */
        {"a red dog ", {5, 10}, "00010"},    {"a red dog", {0, 9}, "01110"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t n = positive(t, cases[i].text, cases[i].span, row);
        if (strcmp(row, cases[i].row))
            fail_msg("case %zu: %s, expected %s", i, row, cases[i].row);
        int32_t ones = 0;
        for (const char *p = row; *p; p++)
            ones += *p == '1';
        assert_int_equal(n, ones);
    }
    struct tokens tokens;
    assert_int_equal(tokenizer_encode(t, &tokens, "a red", NULL), ST_OK);
    assert_int_equal(tokens_at(&tokens, 0), 1); /* bos and eos have (0,0) and cover nothing */
    assert_int_equal(tokens_at(&tokens, 1), -1);
    assert_int_equal(tokens_at(&tokens, 99), -1);
    tokenizer_destroy(t);
    scratch_fini(&s);
}

static void utf8_is_checked(void **state)
{
    (void)state;
    assert_int_equal(utf8_length("caf\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x90\xB6"), 8);
    static const char *const bad[] = {
        "\x80",         "\xC0\x80",     "\xC1\xBF",         "\xC3",
        "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80",
        "\xE4\xB8"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(utf8_length(bad[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_carry_their_places),
        cmocka_unit_test(bad_captions_are_refused),
        cmocka_unit_test(bad_vocabularies_name_the_line),
        cmocka_unit_test(spans_find_their_tokens),
        cmocka_unit_test(utf8_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
