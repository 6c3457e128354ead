/* Launchers: one suite for every implementation of launch.h, then what only real processes can do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "launch/launch.h"
#include "launch/record.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 30000

enum kind { FAKE, MPIRUN, SLURM }; /* SLURM: by the commands of tests/slurm/fake */

struct bed {
    enum kind kind;
    bool fake;
    char dir[64], attempt_dir[96], name[128];
    const char *mpirun, *launcher;
    struct launch *launch;
    struct launch_spec spec;
    struct err err;
    int reports;
};

static void hear(const struct fake_report *report, void *user)
{
    struct bed *bed = user;
    if (report->kind == FAKE_ALIVE)
        return;
    bed->reports++;
    assert_int_equal(report->number, bed->reports); /* in order, none twice */
}

/* As a restarted daemon would: nothing is kept but the folder. */
static void restart(struct bed *bed)
{
    launch_destroy(bed->launch);
    bed->launch = NULL;
    struct mpirun_options options = {
        .mpirun = bed->mpirun, .worker = TRIVIAL_WORKER, .launcher = bed->launcher};
    struct slurm_options slurm = {.clock = clock_system(),
                                  .daemon_id = "0badcafe",
                                  .bin = FAKE_SLURM_BIN,
                                  .mpirun = bed->mpirun,
                                  .worker = TRIVIAL_WORKER,
                                  .launcher = bed->launcher,
                                  .poll_ms = 100,
                                  .poll_most_ms = 500,
                                  .command_ms = 20000};
    enum status st = bed->kind == FAKE
                         ? launch_fake_create(&bed->launch, clock_system(), hear, bed, &bed->err)
                     : bed->kind == MPIRUN ? launch_mpirun_create(&bed->launch, &options, &bed->err)
                                           : launch_slurm_create(&bed->launch, &slurm, &bed->err);
    if (st != ST_OK)
        fail_msg("%s", bed->err.text);
}

static int set_up(void **state, enum kind kind)
{
    struct bed *bed = calloc(1, sizeof *bed);
    bed->kind = kind;
    bed->fake = kind == FAKE;
    bed->mpirun = "mpirun";
    bed->launcher = ESPALIER_LAUNCHER;
    strcpy(bed->dir, "/tmp/espalier-launch-XXXXXX");
    if (!mkdtemp(bed->dir))
        return -1;
    snprintf(bed->attempt_dir, sizeof bed->attempt_dir, "%s/attempts/1", bed->dir);
    bed->spec = (struct launch_spec){.job_id = 7,
                                     .attempt = 1,
                                     .job_dir = bed->dir,
                                     .attempt_dir = bed->attempt_dir,
                                     .name = bed->name,
                                     .ranks = 2,
                                     .threads = 1,
                                     .in_slurm = kind == SLURM,
                                     .request = "{\"ranks\": 2, \"threads\": 1}"};
    setenv("FAKE_SLURM", bed->dir, 1);
    *state = bed;
    restart(bed);
    return file_mkdirs(bed->attempt_dir, 0700, &bed->err) == ST_OK ? 0 : -1;
}

static int set_up_fake(void **state)
{
    return set_up(state, FAKE);
}

static int set_up_mpirun(void **state)
{
    return set_up(state, MPIRUN);
}

static int set_up_slurm(void **state)
{
    return set_up(state, SLURM);
}

static void poll_once(struct bed *bed, struct evidence *ret_ev)
{
    if (bed->launch->ops->tick)
        bed->launch->ops->tick(bed->launch);
    bed->launch->ops->poll(bed->launch, &bed->spec, ret_ev);
    bed->spec.reported = (uint64_t)bed->reports;
}

static bool is_end(enum evidence_kind k)
{
    return k == EVIDENCE_EXITED || k == EVIDENCE_VANISHED || k == EVIDENCE_HOST_RESTARTED ||
           k == EVIDENCE_REFUSED;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char command[128];
    for (int i = 0; i < 100; i++) { /* nothing of the test stays behind */
        poll_once(bed, &ev);
        if (is_end(ev.kind) || ev.kind == EVIDENCE_ABSENT)
            break;
        bed->launch->ops->stop(bed->launch, &bed->spec, STOP_KILL);
        usleep(50000);
    }
    launch_destroy(bed->launch);
    snprintf(command, sizeof command, "rm -rf %s", bed->dir);
    int rc = system(command);
    free(bed);
    return rc;
}

/* The same behaviour in both languages. */
static void behave(struct bed *bed, const char *script, const char *lines)
{
    char path[96];
    snprintf(bed->name, sizeof bed->name, "%s", script);
    snprintf(path, sizeof path, "%s/behave", bed->dir);
    assert_int_equal(file_write_atomic(path, lines, strlen(lines), 0600, NULL), ST_OK);
}

static void start(struct bed *bed)
{
    if (bed->launch->ops->start(bed->launch, &bed->spec, &bed->err) != ST_OK)
        fail_msg("%s", bed->err.text);
}

static void wait_for(struct bed *bed, enum evidence_kind kind, struct evidence *ret_ev)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        poll_once(bed, ret_ev);
        if (ret_ev->kind == kind)
            return;
        if (is_end(ret_ev->kind))
            break;
        usleep(20000);
    }
    fail_msg("waited for evidence %d, got %d (exit %d, signal %d, %s)", kind, ret_ev->kind,
             ret_ev->exit_code, ret_ev->signal, ret_ev->text);
}

/* Asks again and again, as the daemon does at every tick: mpirun may bear a rank while the processes are counted. */
static void kill_until(struct bed *bed, enum evidence_kind kind, struct evidence *ret_ev)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        bed->launch->ops->stop(bed->launch, &bed->spec, STOP_KILL);
        poll_once(bed, ret_ev);
        if (ret_ev->kind == kind)
            return;
        usleep(20000);
    }
    wait_for(bed, kind, ret_ev);
}

static size_t file_size(struct bed *bed, const char *name)
{
    char path[128];
    struct stat sb;
    snprintf(path, sizeof path, "%s/%s", bed->dir, name);
    return stat(path, &sb) == 0 ? (size_t)sb.st_size : 0;
}

/* ---- every launcher ------------------------------------------------------------------------- */

static void lives_and_ends(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=25 step_ms=100", "count ran\nsleep 2500\n");
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_ABSENT);
    start(bed);
    wait_for(bed, EVIDENCE_ALIVE, &ev);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 0);
    assert_int_equal(ev.signal, 0);
    assert_true(ev.ended_ms > 0);
    restart(bed); /* the evidence stays */
    struct evidence again;
    poll_once(bed, &again);
    assert_int_equal(again.kind, EVIDENCE_EXITED);
    assert_int_equal(again.ended_ms, ev.ended_ms);
}

static void exit_codes_pass_through(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=5 step_ms=10 die_at=2 exit=3", "exit 3\n");
    start(bed);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 3);
}

static void signals_are_told_apart(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=5 step_ms=10 die_at=2 signal=9", "signal 9\n");
    start(bed);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_true(ev.signal == 9 || ev.exit_code == 137);
}

static void a_second_start_starts_nothing(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=5 step_ms=100", "count ran\nsleep 400\n");
    start(bed);
    start(bed);
    restart(bed);
    start(bed); /* the daemon was killed before it could note the first one */
    wait_for(bed, EVIDENCE_EXITED, &ev);
    start(bed);
    usleep(300000);
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_EXITED);
    if (!bed->fake)
        assert_int_equal(file_size(bed, "ran"), 2); /* once a rank */
}

static void a_restarted_daemon_adopts(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=10 step_ms=100", "sleep 1000\n");
    start(bed);
    wait_for(bed, EVIDENCE_ALIVE, &ev);
    restart(bed);
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_ALIVE);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 0);
}

/* Until both ranks have counted themselves in. */
static void wait_ranks(struct bed *bed)
{
    for (int waited = 0; !bed->fake && file_size(bed, "ran") < 2; waited += 20) {
        assert_in_range(waited, 0, PATIENCE_MS);
        usleep(20000);
    }
}

static void term_stops(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=1000 step_ms=100", "count ran\nsleep 60000\n");
    start(bed);
    wait_for(bed, EVIDENCE_ALIVE, &ev);
    wait_ranks(bed); /* then mpirun takes SIGTERM */
    bed->launch->ops->stop(bed->launch, &bed->spec, STOP_TERM);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_true(ev.exit_code != 0);
}

static void kill_stops_what_is_deaf(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=1000 step_ms=100 deaf=2", "deaf\ncount ran\nsleep 60000\n");
    start(bed);
    wait_for(bed, EVIDENCE_ALIVE, &ev);
    wait_ranks(bed);
    bed->launch->ops->stop(bed->launch, &bed->spec, STOP_KILL);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_true(ev.exit_code != 0);
}

static void stopped_before_it_started_it_never_starts(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=5 step_ms=10", "count ran\n");
    bed->launch->ops->stop(bed->launch, &bed->spec, STOP_TERM);
    poll_once(bed, &ev);
    assert_true(is_end(ev.kind));
    start(bed);
    usleep(500000);
    poll_once(bed, &ev);
    assert_true(is_end(ev.kind));
    assert_int_equal(file_size(bed, "ran"), 0);
}

/* ---- the fake ------------------------------------------------------------------------------- */

static void the_fake_reports_each_record_once(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "steps=4 step_ms=20", "");
    start(bed);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    poll_once(bed, &ev);
    assert_int_equal(bed->reports, 6); /* hello, four steps, done */
}

/* ---- real processes ------------------------------------------------------------------------- */

static void read_launcher(struct bed *bed, struct launcher_record *ret_r)
{
    struct evidence ev;
    wait_for(bed, EVIDENCE_ALIVE, &ev);
    for (int i = 0; i < 500; i++) {
        if (record_read_launcher(bed->attempt_dir, ret_r, &bed->err) == ST_OK && ret_r->child)
            return;
        usleep(20000);
    }
    fail_msg("no launcher record: %s", bed->err.text);
}

static void output_and_command_line(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct buf b;
    char path[128];
    behave(bed, "", "say hello from a rank\n");
    start(bed);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    buf_init(&b, 1u << 16);
    snprintf(path, sizeof path, "%s/log.txt", bed->dir);
    assert_int_equal(file_read(&b, path, NULL), ST_OK);
    assert_non_null(strstr(buf_str(&b), "hello from a rank"));
    buf_clear(&b);
    snprintf(path, sizeof path, "%s/command.json", bed->attempt_dir);
    assert_int_equal(file_read(&b, path, NULL), ST_OK);
    assert_non_null(strstr(buf_str(&b), "OMP_NUM_THREADS=1"));
    assert_null(strstr(buf_str(&b), "token"));
    buf_fini(&b);
}

static void a_killed_launcher_is_no_end_while_ranks_live(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct launcher_record r;
    behave(bed, "", "sleep 60000\n");
    start(bed);
    read_launcher(bed, &r);
    kill(r.pid, SIGKILL);
    usleep(300000);
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_ALIVE); /* mpirun and its ranks go on */
    kill_until(bed, EVIDENCE_VANISHED, &ev);
}

/* The record of an end is what the next attempt waits for: then nothing of this one may run any more. */
static void a_killed_mpirun_leaves_no_rank_behind(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct launcher_record r;
    behave(bed, "", "deaf\nsleep 60000\n");
    start(bed);
    read_launcher(bed, &r);
    for (int i = 0; i < 100 && proc_session_count(r.pid, r.pid) < 3; i++)
        usleep(50000); /* mpirun and two ranks */
    kill(r.child, SIGKILL);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.signal, SIGKILL);
    while (proc_is_alive(r.pid, r.start_time))
        usleep(20000); /* a sanitizer's leak check is a process beside the launcher for a moment */
    assert_int_equal(proc_session_count(r.pid, r.pid), 0);
}

static void a_launcher_is_deaf_to_polite_signals(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct launcher_record r;
    behave(bed, "", "sleep 1000\nexit 4\n");
    start(bed);
    read_launcher(bed, &r);
    kill(r.pid, SIGTERM);
    kill(r.pid, SIGHUP);
    kill(r.pid, SIGINT);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 4);
}

/* The job's folder was removed under it: nobody is left to tell, so it must not wait for ever. */
static void a_launcher_without_a_folder_ends(void **state)
{
    struct bed *bed = *state;
    struct launcher_record r;
    char away[128];
    behave(bed, "", "sleep 1000\n");
    start(bed);
    read_launcher(bed, &r);
    snprintf(away, sizeof away, "%s.away", bed->attempt_dir);
    assert_int_equal(rename(bed->attempt_dir, away), 0);
    for (int i = 0; i < 500 && proc_is_alive(r.pid, r.start_time); i++)
        usleep(20000);
    assert_false(proc_is_alive(r.pid, r.start_time));
    assert_int_equal(rename(away, bed->attempt_dir), 0);
}

static void a_dead_daemon_takes_nothing_along(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, "", "sleep 1000\nexit 5\n");
    pid_t daemon = fork();
    if (daemon == 0) {
        restart(bed);
        if (bed->launch->ops->start(bed->launch, &bed->spec, &bed->err) != ST_OK)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    waitpid(daemon, NULL, 0);
    for (int i = 0; i < 500; i++) { /* the launcher may still be on its way */
        poll_once(bed, &ev);
        if (ev.kind != EVIDENCE_ABSENT)
            break;
        usleep(20000);
    }
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 5);
}

static void a_reused_pid_is_another_process(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct launcher_record r = {.pid = getpid(), .start_time = proc_start_time(getpid()) + 1};
    assert_int_equal(boot_id_read(r.boot_id, NULL), ST_OK);
    assert_int_equal(record_write_launcher(bed->attempt_dir, &r, NULL), ST_OK);
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_VANISHED);
    r.start_time--; /* the same number and the same start: it is this process */
    assert_int_equal(record_write_launcher(bed->attempt_dir, &r, NULL), ST_OK);
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_ALIVE);
    r.boot_id[0] ^= 1;
    assert_int_equal(record_write_launcher(bed->attempt_dir, &r, NULL), ST_OK);
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_HOST_RESTARTED);
}

/* Too many open files: what cannot be looked at must not pass for gone, or the next attempt would run beside it. */
static void a_process_that_cannot_be_looked_at_is_not_gone(void **state)
{
    (void)state;
    struct rlimit all, none;
    uint64_t start_time = 0;
    assert_int_equal(proc_look(getpid(), &start_time), ST_OK);
    assert_int_equal(start_time, proc_start_time(getpid()));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){0, all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum status st = proc_look(getpid(), &start_time);
    int n = proc_session_count(getsid(0), getpid());
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(st, ST_IO);
    assert_int_equal(n, -1);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    assert_int_equal(proc_look(child, &start_time), ST_NOT_FOUND);
}

static void an_unreadable_record_is_no_evidence(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char path[128];
    snprintf(path, sizeof path, "%s/launcher.json", bed->attempt_dir);
    assert_int_equal(file_write_atomic(path, "{\"pid\": 12", 10, 0600, NULL), ST_OK);
    poll_once(bed, &ev);
    assert_int_equal(ev.kind, EVIDENCE_UNKNOWN);
    assert_true(ev.text[0] != '\0');
    unlink(path);
}

static void what_cannot_be_run_is_refused(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    bed->mpirun = "/nowhere/mpirun";
    restart(bed);
    behave(bed, "", "");
    start(bed);
    wait_for(bed, EVIDENCE_REFUSED, &ev);
    assert_string_equal(ev.text, "cannot run /nowhere/mpirun: No such file or directory");
}

/* The first launcher has no descriptors left for its pipe and runs nothing; the second one must not be turned away. */
static void a_passing_shortage_is_no_refusal(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char path[128], text[512];
    snprintf(path, sizeof path, "%s/launcher.sh", bed->dir);
    int n = snprintf(text, sizeof text,
                     "#!/bin/sh\ncd %s\n[ -e again ] || { : >again; ulimit -n 5; "
                     "export ASAN_OPTIONS=detect_leaks=0; }\nexec %s \"$@\"\n",
                     bed->dir, bed->launcher);
    assert_int_equal(file_write_atomic(path, text, (size_t)n, 0700, NULL), ST_OK);
    bed->launcher = path;
    restart(bed);
    behave(bed, "", "");
    start(bed);
    do {
        usleep(20000);
        poll_once(bed, &ev);
    } while (ev.kind == EVIDENCE_STARTING || ev.kind == EVIDENCE_ALIVE);
    assert_int_equal(ev.kind, EVIDENCE_ABSENT);
    start(bed);
    wait_for(bed, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 0);
}

static void a_missing_launcher_is_an_error(void **state)
{
    struct bed *bed = *state;
    bed->launcher = "/nowhere/espalier-launcher";
    restart(bed);
    assert_int_equal(bed->launch->ops->start(bed->launch, &bed->spec, &bed->err), ST_NOT_FOUND);
    assert_non_null(strstr(bed->err.text, "/nowhere/espalier-launcher"));
}

#define EACH(f)                                                                                    \
    {"fake: " #f, f, set_up_fake, tear_down, NULL},                                                \
        {"mpirun: " #f, f, set_up_mpirun, tear_down, NULL},                                        \
    {                                                                                              \
        "slurm: " #f, f, set_up_slurm, tear_down, NULL                                             \
    }
#define REAL(f) cmocka_unit_test_setup_teardown(f, set_up_mpirun, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(lives_and_ends),
        EACH(exit_codes_pass_through),
        EACH(signals_are_told_apart),
        EACH(a_second_start_starts_nothing),
        EACH(a_restarted_daemon_adopts),
        EACH(term_stops),
        EACH(kill_stops_what_is_deaf),
        EACH(stopped_before_it_started_it_never_starts),
        cmocka_unit_test_setup_teardown(the_fake_reports_each_record_once, set_up_fake, tear_down),
        REAL(output_and_command_line),
        REAL(a_killed_launcher_is_no_end_while_ranks_live),
        REAL(a_killed_mpirun_leaves_no_rank_behind),
        REAL(a_launcher_is_deaf_to_polite_signals),
        REAL(a_launcher_without_a_folder_ends),
        REAL(a_dead_daemon_takes_nothing_along),
        REAL(a_reused_pid_is_another_process),
        cmocka_unit_test(a_process_that_cannot_be_looked_at_is_not_gone),
        REAL(an_unreadable_record_is_no_evidence),
        REAL(what_cannot_be_run_is_refused),
        REAL(a_passing_shortage_is_no_refusal),
        REAL(a_missing_launcher_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
