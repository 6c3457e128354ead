/* What ranks say of themselves, which of them keeps the others waiting, and who may be asked for a stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "job/pulse.h"
#include "job/stall.h"
#include "launch/proc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/espalier-stall-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char path[128];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/rank-%d", dir, i);
        unlink(path);
        snprintf(path, sizeof path, "%s/stack-%d.txt", dir, i);
        unlink(path);
    }
    return rmdir(dir);
}

static void write_rank(int rank, pid_t pid, uint64_t start, const char *boot, int64_t step,
                       const char *at)
{
    char path[128], line[256];
    snprintf(path, sizeof path, "%s/rank-%d", dir, rank);
    int n = snprintf(line, sizeof line,
                     "pid %ld start %llu boot %s host here beats %d step %lld at %s time 5   \n",
                     (long)pid, (unsigned long long)start, boot, 10 + rank, (long long)step, at);
    assert_int_equal(file_write_atomic(path, line, (size_t)n, 0600, NULL), ST_OK);
}

static void lines_are_read(void **state)
{
    (void)state;
    struct pulse p;
    write_rank(0, 7, 8, "b", 40, "sum");
    assert_true(pulse_read(dir, 0, &p));
    assert_int_equal(p.pid, 7);
    assert_int_equal(p.start_time, 8);
    assert_int_equal(p.beats, 10);
    assert_int_equal(p.step, 40);
    assert_int_equal(p.at, PULSE_SUM);
    assert_string_equal(p.host, "here");
    assert_false(pulse_read(dir, 1, &p));
    static const char *const junk[] = {
        "", "pid", "pid x start 1 boot b host h beats 1 step 1 at sum time 1",
        "pid 1 start 1 boot b host h beats 1 step 1 at nowhere time 1",
        "pid 1 start 1 boot b host h beats 1 step 1 at sum"};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
        assert_false(pulse_parse(junk[i], &p));
}

static void the_rank_behind_is_found(void **state)
{
    (void)state;
    struct pulse p;
    bool alone;
    int found;
    assert_int_equal(pulse_behind(dir, 3, &p, &alone), -1);
    write_rank(0, 1, 1, "other", 40, "sum");
    write_rank(1, 1, 1, "other", 40, "compute");
    write_rank(2, 1, 1, "other", 40, "sum");
    assert_int_equal(pulse_behind(dir, 3, &p, &alone), 1);
    assert_true(alone);
    assert_int_equal(pulse_beats(dir, 4, &found), 33);
    assert_int_equal(found, 3);
    write_rank(2, 1, 1, "other", 39,
               "gather"); /* an earlier step counts for more than a later place */
    assert_int_equal(pulse_behind(dir, 3, &p, &alone), 2);
    write_rank(1, 1, 1, "other", 40, "sum");
    write_rank(2, 1, 1, "other", 40, "sum");
    assert_int_equal(pulse_behind(dir, 3, &p, &alone), 0);
    assert_false(alone);
}

/* Of ranks at the same place, the one whose process does not run; and only such a process is asked that
 * would survive it. */
static void only_those_who_listen_are_asked(void **state)
{
    (void)state;
    char boot[BOOT_ID_MAX], text[512];
    struct pulse p;
    bool alone;
    assert_int_equal(boot_id_read(boot, NULL), ST_OK);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGUSR2, SIG_DFL);
        for (;;)
            pause();
    }
    uint64_t start = proc_start_time(child);
    write_rank(0, getpid(), proc_start_time(getpid()), boot, 3, "sum");
    write_rank(1, child, start, boot, 3, "sum");
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    assert_int_equal(pulse_behind(dir, 2, &p, &alone), 1);
    assert_true(alone);
    pulse_describe(dir, 1, &p, text, sizeof text);
    assert_non_null(strstr(text, "is in state T (stopped)"));
    assert_false(pulse_ask_stack(dir, 1, &p)); /* does not catch the signal: it would end */
    p.start_time++;
    assert_false(pulse_ask_stack(dir, 1, &p)); /* the number was given to somebody else */
    pulse_describe(dir, 1, &p, text, sizeof text);
    assert_string_equal(text, "");
    p.start_time--;
    strcpy(p.boot_id, "another boot");
    assert_false(pulse_ask_stack(dir, 1, &p));
    kill(child, SIGCONT);
    assert_int_equal(proc_start_time(child), start);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static volatile sig_atomic_t asked;

static void note(int signal_number)
{
    (void)signal_number;
    asked = 1;
}

static void a_stack_is_shown_innermost_first(void **state)
{
    (void)state;
    char boot[BOOT_ID_MAX], text[512], path[128];
    struct pulse p;
    assert_int_equal(boot_id_read(boot, NULL), ST_OK);
    write_rank(0, getpid(), proc_start_time(getpid()), boot, 3, "compute");
    assert_true(pulse_read(dir, 0, &p));
    signal(SIGUSR2, note);
    assert_true(pulse_ask_stack(dir, 0, &p));
    assert_int_equal(asked, 1);
    snprintf(path, sizeof path, "%s/stack-0.txt", dir);
    static const char stack[] = "bin/espalier-worker(leave_stack+0x1)[0x1]\n"
                                "/lib/x/libc.so.6(+0x42520)[0x2]\n"
                                "bin/espalier-worker(weight_step+0x1f)[0x3]\n";
    assert_int_equal(file_write_atomic(path, stack, sizeof stack - 1, 0600, NULL), ST_OK);
    pulse_describe(dir, 0, &p, text, sizeof text);
    assert_non_null(strstr(text, "stack libc.so.6 < weight_step"));
}

static void the_longer_limit_counts(void **state)
{
    (void)state;
    struct job job = {.stall_ms = 300000, .stall_factor = 10};
    assert_int_equal(stall_limit_ms(&job, 0, 0, true), 300000);
    assert_int_equal(stall_limit_ms(&job, 2, 0, true), 300000);
    assert_int_equal(stall_limit_ms(&job, 60, 0, true), 600000);
    assert_int_equal(stall_limit_ms(&job, 2, 40000, true), 300000);
    assert_int_equal(stall_limit_ms(&job, 2, 40000, false), 400000);
    assert_true(stall_limit_ms(&job, 1e300, 0, true) > 0);
}

static void a_silence_is_the_links_or_the_ranks(void **state)
{
    (void)state;
    struct stall_watch never = {.moved_ms = 100000};
    struct stall_watch cut = {.moved_ms = 100000, .heard_ms = 101000};
    struct stall_watch hangs = {.moved_ms = 100000, .heard_ms = 250000};
    assert_false(stall_is_evident(&never, 300000, 0));
    assert_false(stall_is_evident(&cut, 300000, 0));
    assert_true(stall_is_evident(&hangs, 300000, 0));
    assert_true(stall_is_evident(&never, 300000, 1)); /* the marks are there and stand still */
    assert_true(stall_is_evident(&cut, 300000, 2));
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(lines_are_read),
        T(the_rank_behind_is_found),
        T(only_those_who_listen_are_asked),
        T(a_stack_is_shown_innermost_first),
        T(the_longer_limit_counts),
        T(a_silence_is_the_links_or_the_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
