/* An hour without slurmctld, on a clock that is set: what was healthy stays, nothing is submitted twice, cancelled or forgotten, and
 * Slurm is asked no more often than the back-off says. The attempts are folders; no process runs for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "attempt.h"
#include "base/file.h"
#include "launch/launch.h"
#include "launch/slurm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND 1000
#define HOUR (3600 * SECOND)

/* Jobs by what becomes of them while nobody answers. */
enum { RUNS, ENDS, WAITS, IS_SUBMITTED, IS_STOPPED, IS_LOST, FORGOTTEN, FORGOTTEN_WAITING, JOBS };

struct bed {
    char dir[64], bin[96], attempt_dir[JOBS][128], job_dir[JOBS][96];
    struct clock_fake clock;
    struct launch *launch;
    struct launch_spec spec[JOBS];
    struct evidence ev[JOBS];
    struct err err;
};

static void open_launcher(struct bed *bed)
{
    launch_destroy(bed->launch);
    bed->launch = NULL;
    struct slurm_options slurm = {.clock = &bed->clock.clock,
                                  .daemon_id = "0badcafe",
                                  .bin = bed->bin,
                                  .mpirun = "/bin/true",
                                  .worker = "/bin/true",
                                  .launcher = "/bin/true",
                                  .start = SLURM_START_MPIRUN,
                                  .poll_ms = 15 * SECOND,
                                  .poll_most_ms = 60 * SECOND,
                                  .command_ms = 30 * SECOND};
    if (launch_slurm_create(&bed->launch, &slurm, &bed->err) != ST_OK)
        fail_msg("%s", bed->err.text);
}

static void put(const char *path, const char *text, int mode)
{
    assert_int_equal(file_write_atomic(path, text, strlen(text), mode, NULL), ST_OK);
}

/* Every command writes down that it was called; it says what lies in "says-NAME", else that there is no controller. */
static void make_commands(struct bed *bed)
{
    static const char *const names[] = {"squeue", "scontrol", "sacct",
                                        "sbatch", "scancel",  "sinfo"};
    char path[192], text[512];
    snprintf(text, sizeof text,
             "#!/bin/sh\ncd '%s'\necho x >>calls-${0##*/}\n"
             "if [ -e says-${0##*/} ]; then cat says-${0##*/}; exit 0; fi\n"
             "echo 'error: Unable to contact slurm controller (connect failure)' >&2\nexit 1\n",
             bed->dir);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", bed->bin, names[i]);
        put(path, text, 0700);
    }
}

static void says(struct bed *bed, const char *name, const char *text)
{
    char path[192];
    snprintf(path, sizeof path, "%s/says-%s", bed->dir, name);
    put(path, text, 0600);
}

static long calls(struct bed *bed, const char *name)
{
    char path[192];
    struct stat sb;
    snprintf(path, sizeof path, "%s/calls-%s", bed->dir, name);
    return stat(path, &sb) == 0 ? (long)sb.st_size / 2 : 0;
}

/* As a daemon before this one has left it; began: a launcher has written who it is. */
static void lay_down(struct bed *bed, int i, const char *state, bool began)
{
    struct slurm_note note = {.row = {.id = 10 + i}, .submitted_ms = 1};
    struct launcher_record r = {
        .pid = 1, .start_time = 1, .boot_id = "elsewhere", .slurm_id = 10 + i};
    snprintf(note.row.word, sizeof note.row.word, "%s", state);
    snprintf(note.row.nodes, sizeof note.row.nodes, "%s", began ? "n1" : "");
    slurm_job_name((struct launch_slurm *)bed->launch, i + 1, 1, note.row.name);
    assert_int_equal(slurm_note_write(bed->attempt_dir[i], &note, &bed->err), ST_OK);
    if (began)
        assert_int_equal(record_write_launcher(bed->attempt_dir[i], &r, &bed->err), ST_OK);
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);
    char dir[] = "/tmp/espalier-hour-XXXXXX";
    if (!bed || !mkdtemp(dir))
        return -1;
    snprintf(bed->dir, sizeof bed->dir, "%s", dir);
    snprintf(bed->bin, sizeof bed->bin, "%s/bin", dir);
    mkdir(bed->bin, 0700);
    clock_fake_init(&bed->clock, 1700000000000);
    for (int i = 0; i < JOBS; i++) {
        if (attempt_lay(dir, i, bed->job_dir[i], bed->attempt_dir[i], &bed->spec[i], &bed->err) !=
            ST_OK)
            return -1;
    }
    make_commands(bed);
    open_launcher(bed);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[128];
    launch_destroy(bed->launch);
    snprintf(command, sizeof command, "rm -rf %s", bed->dir);
    int rc = system(command);
    free(bed);
    return rc;
}

/* The clock stands still until every command has answered. */
static void tick(struct bed *bed)
{
    const struct launch_slurm *s = (const struct launch_slurm *)bed->launch;
    do {
        bed->launch->ops->tick(bed->launch);
        if (s->squeue || s->commands)
            usleep(500);
    } while (s->squeue || s->commands);
    for (int i = 0; i < JOBS; i++)
        bed->launch->ops->poll(bed->launch, &bed->spec[i], &bed->ev[i]);
}

static void pass_second(struct bed *bed)
{
    clock_fake_advance(&bed->clock, SECOND);
    tick(bed);
}

static bool is_end(enum evidence_kind k)
{
    return k >= EVIDENCE_EXITED;
}

/* So long nothing ends but what has ended. */
static void pass(struct bed *bed, int64_t ms)
{
    for (int64_t until = bed->clock.mono + ms; bed->clock.mono < until;) {
        pass_second(bed);
        for (int i = 0; i < JOBS; i++)
            if (i != ENDS && is_end(bed->ev[i].kind))
                fail_msg("job %d: evidence %d after %lld s: %s", i, bed->ev[i].kind,
                         (long long)bed->clock.mono / SECOND, bed->ev[i].text);
    }
}

static void wait_for(struct bed *bed, int i, enum evidence_kind kind)
{
    for (int n = 0; n < 900 && bed->ev[i].kind != kind; n++)
        pass_second(bed);
    if (bed->ev[i].kind != kind)
        fail_msg("job %d: evidence %d, not %d: %s", i, bed->ev[i].kind, kind, bed->ev[i].text);
}

static void lay_down_all(struct bed *bed)
{
    for (int i = 0; i < JOBS; i++)
        if (i != IS_SUBMITTED)
            lay_down(bed, i, i == WAITS || i == FORGOTTEN_WAITING ? "PENDING" : "RUNNING",
                     i != WAITS && i != FORGOTTEN_WAITING);
    assert_int_equal(bed->launch->ops->start(bed->launch, &bed->spec[IS_SUBMITTED], &bed->err),
                     ST_OK);
}

/* Slurm is back: two jobs it does not know any more. */
static void come_back(struct bed *bed)
{
    char text[1024], name[JOBS][SLURM_NAME_MAX];
    for (int i = 0; i < JOBS; i++)
        slurm_job_name((struct launch_slurm *)bed->launch, i + 1, 1, name[i]);
    snprintf(
        text, sizeof text,
        "%d|RUNNING|None|main|n1|%s\n%d|PENDING|Priority|main||%s\n%d|RUNNING|None|main|n1|%s\n"
        "%d|NODE_FAIL|NodeDown|main|n1|%s\n",
        10 + RUNS, name[RUNS], 10 + WAITS, name[WAITS], 10 + IS_STOPPED, name[IS_STOPPED],
        10 + IS_LOST, name[IS_LOST]);
    says(bed, "squeue", text);
    says(bed, "sbatch", "99\n");
    says(bed, "scancel", "");
    says(bed, "scontrol", "slurm_load_jobs error: Invalid job id specified\n");
    says(bed, "sacct", "");
}

static void an_hour_without_a_controller(void **state)
{
    struct bed *bed = *state;
    struct exit_record end = {.exit_code = 0};
    lay_down_all(bed);
    pass(bed, HOUR / 4);
    bed->launch->ops->stop(bed->launch, &bed->spec[IS_STOPPED], STOP_TERM);
    assert_int_equal(record_write_exit(bed->attempt_dir[ENDS], &end, NULL), ST_OK);
    pass(bed, HOUR / 4);
    assert_int_equal(bed->ev[ENDS].kind, EVIDENCE_EXITED);
    assert_int_equal(bed->ev[RUNS].kind, EVIDENCE_UNKNOWN);
    assert_non_null(strstr(bed->ev[RUNS].text, "Unable to contact slurm controller"));
    assert_int_equal(bed->ev[WAITS].kind, EVIDENCE_PENDING);
    assert_int_equal(bed->ev[IS_SUBMITTED].kind, EVIDENCE_PENDING);
    long sbatch = calls(bed, "sbatch"), squeue = calls(bed, "squeue");
    long scancel = calls(bed, "scancel");
    pass(bed, HOUR / 2);
    /* Half an hour at 60 s, and at 120 s for what failed again and again. */
    assert_in_range(calls(bed, "squeue") - squeue, 28, 34);
    assert_in_range(calls(bed, "sbatch") - sbatch, 14, 17);
    assert_in_range(calls(bed, "scancel") - scancel, 13, 17);

    come_back(bed);
    sbatch = calls(bed, "sbatch");
    scancel = calls(bed, "scancel");
    wait_for(bed, RUNS, EVIDENCE_ALIVE);
    wait_for(bed, IS_LOST, EVIDENCE_NODE_LOST);
    wait_for(bed, FORGOTTEN_WAITING, EVIDENCE_VANISHED);
    assert_int_equal(bed->ev[FORGOTTEN].kind, EVIDENCE_UNKNOWN); /* a person must say */
    assert_non_null(strstr(bed->ev[FORGOTTEN].text, "espalier resolve"));
    assert_int_equal(bed->ev[WAITS].kind, EVIDENCE_PENDING);
    assert_string_equal(bed->ev[WAITS].text, "Priority");
    assert_int_equal(bed->ev[IS_STOPPED].kind, EVIDENCE_ALIVE); /* asked, not yet ended */
    for (int n = 0; n < 150 && calls(bed, "sbatch") == sbatch; n++)
        pass_second(bed);
    assert_int_equal(calls(bed, "sbatch") - sbatch, 1);
    for (int n = 0; n < 150 && calls(bed, "scancel") == scancel; n++)
        pass_second(bed);
    assert_int_equal(calls(bed, "scancel") - scancel, 1);
}

/* The daemon is started anew in the middle of it: what it finds in the folders is all it needs. */
static void a_daemon_that_begins_in_it(void **state)
{
    struct bed *bed = *state;
    lay_down_all(bed);
    pass(bed, HOUR / 2);
    open_launcher(bed);
    assert_int_equal(bed->launch->ops->start(bed->launch, &bed->spec[IS_SUBMITTED], &bed->err),
                     ST_OK);
    long scancel = calls(bed, "scancel");
    pass(bed, HOUR / 2);
    come_back(bed);
    wait_for(bed, RUNS, EVIDENCE_ALIVE);
    wait_for(bed, WAITS, EVIDENCE_PENDING);
    wait_for(bed, IS_LOST, EVIDENCE_NODE_LOST);
    assert_int_equal(scancel, 0);
    assert_int_equal(calls(bed, "scancel"), 0);
}

/* srun ends with 0 when a node fails: the worker's own word decides whether that is one more way to be done. */
static void a_clean_end_beside_a_failed_node(void **state)
{
    struct bed *bed = *state;
    struct exit_record end = {.exit_code = 0};
    char text[256], name[2][SLURM_NAME_MAX];
    for (int i = 0; i < 2; i++) {
        slurm_job_name((struct launch_slurm *)bed->launch, i + 1, 1, name[i]);
        lay_down(bed, i, "RUNNING", true);
        assert_int_equal(record_write_exit(bed->attempt_dir[i], &end, NULL), ST_OK);
    }
    bed->spec[1].done = true;
    snprintf(text, sizeof text,
             "10|NODE_FAIL|NodeDown|main|n1|%s\n11|NODE_FAIL|NodeDown|main|n1|%s\n", name[0],
             name[1]);
    says(bed, "squeue", text);
    wait_for(bed, 1, EVIDENCE_EXITED);
    wait_for(bed, 0, EVIDENCE_NODE_LOST);
    assert_true(bed->ev[0].clean);
    assert_int_equal(bed->ev[1].kind, EVIDENCE_EXITED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_hour_without_a_controller),
        TEST(a_daemon_that_begins_in_it),
        TEST(a_clean_end_beside_a_failed_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
