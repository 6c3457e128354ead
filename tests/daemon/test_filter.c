/* test_filter.c - what of a log passes, and what a hostile expression may cost; how a log is held to its limit. */
#include "base/clock.h"
#include "job/log_limit.h"
#include "service/filter.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void heads_are_read(void **state)
{
    (void)state;
    struct line_head h;
    const char *line = "2026-01-31T12:34:56Z WARN  worker.12: text: more";
    assert_true(line_head_read(line, strlen(line), &h));
    assert_int_equal(h.level, LOG_WARN);
    assert_int_equal(h.rank, 12);
    char back[21];
    clock_format(back, h.time_ms);
    assert_string_equal(back, "2026-01-31T12:34:56Z");
    line = "2026-01-31T12:34:56Z INFO  espalier-launcher: text.3: no rank";
    assert_true(line_head_read(line, strlen(line), &h));
    assert_int_equal(h.rank, -1);
    static const char *const none[] = {
        "",
        "2026-01-31T12:34:56Z",
        "2026-01-31T12:34:56Z LOUD  worker.1: x",
        "2026-13-31T12:34:56Z INFO  worker.1: x",
        "2026-01-31 12:34:56Z INFO  worker.1: x",
        "[node:123] *** Process received signal ***",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(line_head_read(none[i], strlen(none[i]), &h));
}

static bool line_passes(struct filter *f, const char *line)
{
    return filter_line(f, line, strlen(line));
}

static void lines_without_a_head_follow_the_last_one(void **state)
{
    (void)state;
    struct filter f;
    struct err err;
    int64_t since;
    assert_true(clock_parse("2026-01-31T12:00:00Z", 20, &since));
    assert_int_equal(filter_init(&f, NULL, 0, LOG_WARN + 1, since + 999, "", &err), ST_OK);
    assert_false(line_passes(&f, "of unknown age"));
    assert_false(line_passes(&f, "2026-01-31T11:59:59Z ERROR worker.0: early"));
    assert_false(line_passes(&f, "as old as that"));
    assert_false(line_passes(&f, "2026-01-31T12:00:00Z INFO  worker.0: quiet"));
    assert_true(line_passes(&f, "Segmentation fault"));
    assert_true(line_passes(&f, "2026-01-31T12:00:00Z WARN  worker.0: loud"));
    filter_fini(&f);
    const uint32_t ranks[] = {3, 5};
    assert_int_equal(filter_init(&f, ranks, 2, 0, 0, "", &err), ST_OK);
    assert_true(line_passes(&f, "2026-01-31T12:00:00Z INFO  worker.5: x"));
    assert_false(line_passes(&f, "2026-01-31T12:00:00Z INFO  worker.50: x"));
    assert_false(line_passes(&f, "nobody's"));
    filter_fini(&f);
}

static void expressions_match(void **state)
{
    (void)state;
    static const struct {
        const char *grep, *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"b", "abc", true},
        {"^b", "abc", false},
        {"^a.c$", "abc", true},
        {"^a.c$", "abcd", false},
        {"ab*c", "ac", true},
        {"ab+c", "ac", false},
        {"ab?c", "abbc", false},
        {"a(b|cd)*e", "abcdbe", true},
        {"a(b|cd)*e", "abce", false},
        {"one|two|three", "a three b", true},
        {"(one|two|)x", "x", true},
        {"[0-9]{3,4}z", "12z", false},
        {"[0-9]{3,4}z", "1234z", true},
        {"^[0-9]{2}$", "123", false},
        {"^a{2,}$", "aaaaa", true},
        {"^(ab){0,1}$", "abab", false},
        {"[^a-c]", "abc", false},
        {"[]x]y", "]y", true},
        {"[a-]", "-", true},
        {"\\d+ms", "took 17ms", true},
        {"a\\.b", "axb", false},
        {"a\\|b", "a|b", true},
        {"\\w+\\s\\w", "ab\tc", true},
        {"(a*)*$", "aaaa", true},
        {"((a|b)*|c)+d", "abcabd", true},
        {"x$", "xy", false},
        {"a|^b|c$", "xc", true},
        {"}", "}", true},
    };
    struct match m;
    struct err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(match_compile(&m, cases[i].grep, &err), ST_OK);
        if (match_text(&m, cases[i].text, strlen(cases[i].text)) != cases[i].matches)
            fail_msg("'%s' on '%s'", cases[i].grep, cases[i].text);
    }
}

static void bad_expressions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *grep, *part;
    } bad[] = {
        {"(", "has no end"},
        {"a)b", "no begin"},
        {"[a", "has no end"},
        {"a\\", "has no end"},
        {"*a", "nothing to repeat"},
        {"a**", "nothing to repeat"},
        {"(|*)", "nothing to repeat"},
        {"(a)\\1", "letters and digits"},
        {"[z-a]", "runs backwards"},
        {"a{4,2}", "bounds are"},
        {"a{,2}", "bounds are"},
        {"a{99999}", "bounds are"},
        {"a{2", "bounds are"},
        {"((((a{1,255}){1,255}){1,255}){1,255})", "too large"},
        {"((((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))))", "too deeply"},
    };
    struct filter f;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(filter_init(&f, NULL, 0, 0, 0, bad[i].grep, &err), ST_INVALID);
        if (!strstr(err.text, bad[i].part))
            fail_msg("'%s': %s", bad[i].grep, err.text);
        filter_fini(&f);
    }
    char longest[MATCH_TEXT_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(filter_init(&f, NULL, 0, 0, 0, longest, &err), ST_INVALID);
    filter_fini(&f);
    assert_int_equal(filter_init(&f, NULL, 0, 5, 0, "", &err), ST_INVALID);
    filter_fini(&f);
}

/* Every string of a few bytes, as an expression and on others: nothing but ST_OK and ST_INVALID, no read astray. */
static void any_bytes_are_no_crash(void **state)
{
    (void)state;
    static const char bytes[] = "a^$.*+?{}[]()|\\,12-d";
    struct match m;
    unsigned seed = 7;
    for (int i = 0; i < 50000; i++) {
        char text[13] = {0};
        for (int k = 0; k < 12; k++) {
            seed = seed * 1664525 + 1013904223;
            text[k] = bytes[(seed >> 16) % sizeof bytes]; /* its NUL ends the text early */
        }
        enum status st = match_compile(&m, text, NULL);
        assert_true(st == ST_OK || st == ST_INVALID);
        if (st == ST_OK)
            match_text(&m, text, strlen(text));
    }
}

/* A backtracking matcher takes 2^n steps for this one, a deterministic automaton has 2^200 states. */
static void a_hostile_expression_costs_no_more_than_its_length(void **state)
{
    (void)state;
    struct match m;
    char text[4096];
    memset(text, 'a', sizeof text);
    assert_int_equal(match_compile(&m, "(a|aa)*(a|b)*a(a|b){200}c", NULL), ST_OK);
    int64_t begun = clock_mono_ns();
    assert_false(match_text(&m, text, sizeof text));
    assert_true(clock_mono_ns() - begun < INT64_C(2000000000));
}

/* Compiled as often as it is written it would take 255^4 groups, and not one instruction to stop at. */
static void a_repeated_nothing_is_compiled_once(void **state)
{
    (void)state;
    struct match m;
    assert_int_equal(match_compile(&m, "^((((()){255}){255}){255}){255}$", NULL), ST_OK);
    assert_true(match_text(&m, "", 0));
    assert_false(match_text(&m, "a", 1));
}

static void write_lines(int fd, int from, int to)
{
    char line[129];
    for (int i = from; i < to; i++) {
        memset(line, '.', sizeof line);
        int n = snprintf(line, sizeof line, "%08d", i);
        line[n] = '.';
        line[127] = '\n';
        assert_int_equal(write(fd, line, 128), 128);
    }
}

static void a_log_keeps_its_newest_parts(void **state)
{
    (void)state;
    char path[] = "/tmp/espalier-log-XXXXXX", line[128];
    int fd = mkostemp(path, O_APPEND);
    const struct log_limit limit = {1 << 20, 2};
    struct stat sb;
    int64_t cut = 0;
    assert_true(log_trim("/tmp/espalier-no-such-log", &limit, &cut));
    write_lines(fd, 0, 20000); /* 2.4 MiB */
    assert_true(log_trim(path, &limit, &cut));
    assert_int_equal(cut, 0);
    assert_int_equal(log_first_line(fd), 0);
    write_lines(fd, 20000, 50000); /* 6.1 MiB */
    if (!log_trim(path, &limit, &cut)) {
        close(fd);
        unlink(path);
        print_message("SKIP: /tmp knows no holes\n");
        skip();
    }
    assert_int_equal(cut, 4 << 20);
    assert_int_equal(fstat(fd, &sb), 0);
    assert_int_equal(sb.st_size, 50000 * 128);
    assert_true(sb.st_blocks * 512 <= 3 << 20);
    int64_t first = log_first_line(fd);
    assert_true(first >= cut && first < cut + (1 << 16) && first % 128 == 0);
    assert_int_equal(pread(fd, line, 128, first), 128);
    assert_int_equal(strtol(line, NULL, 10), first / 128);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_read),
        cmocka_unit_test(lines_without_a_head_follow_the_last_one),
        cmocka_unit_test(expressions_match),
        cmocka_unit_test(a_repeated_nothing_is_compiled_once),
        cmocka_unit_test(bad_expressions_are_refused),
        cmocka_unit_test(any_bytes_are_no_crash),
        cmocka_unit_test(a_hostile_expression_costs_no_more_than_its_length),
        cmocka_unit_test(a_log_keeps_its_newest_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
