/* What a healthy Slurm never shows: the launcher against commands that lie, hang and forget (tests/slurm/fake). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "attempt.h"
#include "base/file.h"
#include "launch/launch.h"
#include "launch/record.h"
#include "launch/slurm_note.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 40000
#define JOBS 12

struct bed {
    char dir[64], fake[96], job_dir[JOBS][96], attempt_dir[JOBS][128];
    struct launch *launch;
    struct launch_spec spec[JOBS];
    struct err err;
};

static void restart(struct bed *bed)
{
    launch_destroy(bed->launch);
    bed->launch = NULL;
    struct slurm_options slurm = {.clock = clock_system(),
                                  .daemon_id = "0badcafe",
                                  .bin = FAKE_SLURM_BIN,
                                  .mpirun = FAKE_SLURM_BIN "/mpirun",
                                  .worker = TRIVIAL_WORKER,
                                  .launcher = ESPALIER_LAUNCHER,
                                  .start = SLURM_START_MPIRUN,
                                  .nice_step = 7,
                                  .poll_ms = 200,
                                  .poll_most_ms = 400,
                                  .command_ms = 3000};
    if (launch_slurm_create(&bed->launch, &slurm, &bed->err) != ST_OK)
        fail_msg("%s", bed->err.text);
}

static void set_faults(struct bed *bed, const char *json)
{
    char path[160];
    snprintf(path, sizeof path, "%s/faults", bed->fake);
    assert_int_equal(file_write_atomic(path, json, strlen(json), 0600, NULL), ST_OK);
}

static void behave(struct bed *bed, int i, const char *lines)
{
    char path[160];
    snprintf(path, sizeof path, "%s/behave", bed->job_dir[i]);
    assert_int_equal(file_write_atomic(path, lines, strlen(lines), 0600, NULL), ST_OK);
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);
    char dir[] = "/tmp/espalier-faults-XXXXXX";
    if (!mkdtemp(dir))
        return -1;
    snprintf(bed->dir, sizeof bed->dir, "%s", dir);
    snprintf(bed->fake, sizeof bed->fake, "%s/fake", dir);
    mkdir(bed->fake, 0700);
    setenv("FAKE_SLURM", bed->fake, 1);
    for (int i = 0; i < JOBS; i++) {
        if (attempt_lay(dir, i, bed->job_dir[i], bed->attempt_dir[i], &bed->spec[i], &bed->err) !=
            ST_OK)
            return -1;
        behave(bed, i, "count ran\nsleep 3000\n");
    }
    set_faults(bed, "{}");
    *state = bed;
    restart(bed);
    return 0;
}

static void poll_job(struct bed *bed, int i, struct evidence *ret_ev)
{
    bed->launch->ops->tick(bed->launch);
    bed->launch->ops->poll(bed->launch, &bed->spec[i], ret_ev);
}

static bool is_end(enum evidence_kind k)
{
    return k >= EVIDENCE_EXITED;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char command[128];
    set_faults(bed, "{}");
    for (int i = 0; i < JOBS; i++)
        for (int n = 0; n < 200; n++) { /* nothing of the test stays behind */
            poll_job(bed, i, &ev);
            if (is_end(ev.kind) || ev.kind == EVIDENCE_ABSENT)
                break;
            bed->launch->ops->stop(bed->launch, &bed->spec[i], STOP_KILL);
            usleep(50000);
        }
    launch_destroy(bed->launch);
    snprintf(command, sizeof command, "rm -rf %s", bed->dir);
    int rc = system(command);
    free(bed);
    return rc;
}

static void start(struct bed *bed, int i)
{
    if (bed->launch->ops->start(bed->launch, &bed->spec[i], &bed->err) != ST_OK)
        fail_msg("%s", bed->err.text);
}

static void wait_for(struct bed *bed, int i, enum evidence_kind kind, struct evidence *ret_ev)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        poll_job(bed, i, ret_ev);
        if (ret_ev->kind == kind)
            return;
        if (is_end(ret_ev->kind))
            break;
        usleep(20000);
    }
    fail_msg("waited for evidence %d, got %d (exit %d, signal %d, %s)", kind, ret_ev->kind,
             ret_ev->exit_code, ret_ev->signal, ret_ev->text);
}

/* For so long nothing may be called an end. */
static void no_end(struct bed *bed, int i, int ms)
{
    struct evidence ev;
    for (int waited = 0; waited < ms; waited += 20) {
        poll_job(bed, i, &ev);
        if (is_end(ev.kind))
            fail_msg("an end out of nothing: evidence %d, %s", ev.kind, ev.text);
        usleep(20000);
    }
}

static long size_of(const char *dir, const char *name)
{
    char path[192];
    struct stat sb;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &sb) == 0 ? (long)sb.st_size : 0;
}

static long ran(struct bed *bed, int i)
{
    return size_of(bed->job_dir[i], "ran");
}

static size_t jobs_in_slurm(struct bed *bed)
{
    char pattern[128];
    glob_t g;
    snprintf(pattern, sizeof pattern, "%s/job-*.json", bed->fake);
    size_t n = glob(pattern, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
    globfree(&g);
    return n;
}

/* Runs it here; the commands of the fake are the test's own. */
static void run(const char *fmt, ...)
{
    char command[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static void end_in_slurm(int id, const char *state)
{
    run(FAKE_SLURM_BIN "/slurm.py end %d %s", id, state);
}

static void until_it_ran(struct bed *bed, int i)
{
    struct evidence ev;
    wait_for(bed, i, EVIDENCE_ALIVE, &ev);
    for (int n = 0; n < 500 && !ran(bed, i); n++)
        usleep(20000);
    assert_int_equal(ran(bed, i), 1);
}

/* ---- nothing is no evidence ------------------------------------------------------------------- */

static void squeue_that_lists_nothing(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    start(bed, 0);
    until_it_ran(bed, 0);
    set_faults(bed, "{\"squeue\": \"empty\", \"scontrol\": \"forgot\"}");
    no_end(bed, 0, 2000);
    wait_for(bed, 0, EVIDENCE_EXITED,
             &ev); /* its own record says so, and Slurm still says nothing */
    assert_int_equal(ev.exit_code, 0);
    assert_int_equal(ran(bed, 0), 1);
}

static void a_controller_that_is_away(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, 0, "count ran\nsleep 9000\n");
    start(bed, 0);
    until_it_ran(bed, 0);
    set_faults(bed, "{\"squeue\": \"down\", \"scontrol\": \"down\", \"sbatch\": \"down\", "
                    "\"scancel\": \"down\"}");
    wait_for(bed, 0, EVIDENCE_UNKNOWN, &ev);
    assert_non_null(strstr(ev.text, "Unable to contact slurm controller"));
    restart(bed); /* the daemon is started anew meanwhile */
    no_end(bed, 0, 1000);
    set_faults(bed, "{}");
    wait_for(bed, 0, EVIDENCE_ALIVE, &ev);
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 0);
    assert_int_equal(jobs_in_slurm(bed), 1);
}

static void an_end_while_the_controller_is_away(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    start(bed, 0);
    until_it_ran(bed, 0);
    set_faults(bed, "{\"squeue\": \"down\", \"scontrol\": \"down\"}");
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 0);
}

static void squeue_that_never_answers(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    set_faults(bed, "{\"squeue\": \"hang\"}");
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 0);
}

static void one_question_for_all(void **state)
{
    struct bed *bed = *state;
    set_faults(bed, "{\"pending\": true}");
    for (int i = 0; i < JOBS; i++)
        start(bed, i);
    struct evidence ev;
    for (int waited = 0; waited < PATIENCE_MS && jobs_in_slurm(bed) < JOBS; waited += 20) {
        poll_job(bed, 0, &ev);
        usleep(20000);
    }
    assert_int_equal(jobs_in_slurm(bed), JOBS);
    long before = size_of(bed->fake, "squeue-calls");
    for (int i = 0; i < 100; i++) {
        poll_job(bed, i % JOBS, &ev);
        usleep(20000);
    }
    long calls = size_of(bed->fake, "squeue-calls") - before;
    assert_true(calls >= 1 && calls <= 20); /* two seconds at 0.2 s, and back-off; not one a job */
}

/* ---- submitting ------------------------------------------------------------------------------- */

static void an_answer_that_is_lost(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    set_faults(bed, "{\"sbatch\": \"lost\"}");
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(jobs_in_slurm(bed), 1);
    assert_int_equal(ran(bed, 0), 1);
}

static void a_crash_before_the_id_is_known(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    set_faults(bed, "{\"sbatch\": \"lost\", \"pending\": true}");
    start(bed, 0);
    for (int i = 0; i < 500 && jobs_in_slurm(bed) == 0; i++) {
        poll_job(bed, 0, &ev);
        usleep(20000);
    }
    restart(bed); /* it finds the note without an id */
    set_faults(bed, "{}");
    poll_job(bed, 0, &ev);
    assert_int_equal(ev.kind, EVIDENCE_ABSENT);
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(jobs_in_slurm(bed), 1);
    assert_int_equal(ran(bed, 0), 1);
}

static void a_crash_before_it_was_submitted(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct slurm_note note = {.submitted_ms = 1, .row = {.name = "espalier-00000000-1-1"}};
    assert_int_equal(slurm_note_write(bed->attempt_dir[0], &note, NULL), ST_OK);
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(jobs_in_slurm(bed), 1);
    assert_int_equal(ran(bed, 0), 1);
}

static void submitted_twice_it_runs_once(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    start(bed, 0);
    until_it_ran(bed, 0);
    run("sh %s/script.sh",
        bed->attempt_dir[0]); /* by hand, or by a Slurm that requeues after all */
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    run("sh %s/script.sh", bed->attempt_dir[0]);
    assert_int_equal(ran(bed, 0), 1);
}

static void a_controller_that_takes_nothing_now(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    static const char *const faults[] = {"{\"sbatch\": \"down\"}", "{\"sbatch\": \"busy\"}"};
    for (int i = 0; i < 2; i++) {
        set_faults(bed, faults[i]);
        start(bed, i);
        wait_for(bed, i, EVIDENCE_PENDING, &ev);
        no_end(bed, i, 1000);
        poll_job(bed, i, &ev);
        assert_true(ev.text[0] != '\0');
        set_faults(bed, "{}");
        wait_for(bed, i, EVIDENCE_EXITED, &ev);
        assert_int_equal(ran(bed, i), 1);
    }
}

/* Files can still be written one at a time, but sbatch would need two pipes. */
static void a_shortage_of_descriptors_is_waited_out(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct rlimit all, few;
    start(bed, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    int lowest = dup(0);
    close(lowest);
    few = (struct rlimit){(rlim_t)lowest + 2, all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    poll_job(bed, 0, &ev); /* the first one asks srun for its plugins */
    poll_job(bed, 0, &ev);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(ev.kind, EVIDENCE_PENDING);
    assert_non_null(strstr(ev.text, "cannot run"));
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(ran(bed, 0), 1);
}

static void what_slurm_refuses_is_refused(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    set_faults(bed, "{\"sbatch\": \"refuse\"}");
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_REFUSED, &ev);
    assert_string_equal(ev.text, "Invalid partition name specified");
    restart(bed);
    poll_job(bed, 0, &ev);
    assert_int_equal(ev.kind, EVIDENCE_REFUSED);
}

/* ---- what Slurm does to jobs ------------------------------------------------------------------- */

static void ends_that_slurm_names(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    static const struct {
        const char *state;
        enum evidence_kind kind;
    } cases[] = {{"PREEMPTED", EVIDENCE_PREEMPTED},
                 {"NODE_FAIL", EVIDENCE_NODE_LOST},
                 {"TIMEOUT", EVIDENCE_WALL_TIME},
                 {"OUT_OF_MEMORY", EVIDENCE_NO_MEMORY},
                 {"CANCELLED", EVIDENCE_CANCELLED}};
    int n = sizeof cases / sizeof *cases;
    for (int i = 0; i < n; i++) {
        behave(bed, i, "count ran\nsleep 60000\n");
        start(bed, i);
        until_it_ran(bed, i);
    }
    for (int i = 0; i < n; i++) {
        end_in_slurm(i + 1, cases[i].state);
        wait_for(bed, i, cases[i].kind, &ev);
        assert_non_null(strstr(ev.text, cases[i].state));
    }
}

/* The node is gone: no record, and the commands disagree about who still knows the job. */
static void ends_without_a_record(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    static const char *const faults[] = {"{}", "{\"sacct\": \"knows\", \"scontrol\": \"forgot\"}",
                                         "{\"jobcomp\": \"knows\", \"scontrol\": \"forgot\"}"};
    for (int i = 0; i < 3; i++) {
        behave(bed, i, "count ran\nsleep 60000\n");
        start(bed, i);
        until_it_ran(bed, i);
    }
    for (int i = 0; i < 3; i++) {
        set_faults(bed, "{\"squeue\": \"down\", \"scontrol\": \"down\"}");
        end_in_slurm(i + 1, "NODE_FAIL silent");
        no_end(bed, i, 500);
        if (i > 0) /* and by then it is too old for squeue */
            run("sed -i 's/^{/{\"forgotten\": true, /' %s/job-%d.json", bed->fake, i + 1);
        set_faults(bed, faults[i]);
        wait_for(bed, i, EVIDENCE_NODE_LOST, &ev);
    }
    behave(bed, 3, "count ran\nsleep 60000\n");
    set_faults(bed, "{}");
    start(bed, 3);
    until_it_ran(bed, 3);
    end_in_slurm(4, "FAILED silent");
    wait_for(bed, 3, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.signal, 9);
}

/* Attempt n of job 0, with what its script says; the one before has ended. */
static void next_attempt(struct bed *bed, int n, struct buf *ret_script)
{
    struct evidence ev;
    char path[192];
    struct launch_spec *spec = &bed->spec[0];
    snprintf(bed->attempt_dir[0], sizeof bed->attempt_dir[0], "%s/attempts/%d", bed->job_dir[0], n);
    assert_int_equal(file_mkdirs(bed->attempt_dir[0], 0700, NULL), ST_OK);
    spec->attempt = n;
    spec->request = "{\"ranks\": 1, \"threads\": 1, \"exclude\": \"n9\"}";
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_ALIVE, &ev);
    snprintf(path, sizeof path, "%s/script.sh", bed->attempt_dir[0]);
    buf_init(ret_script, 1u << 16);
    assert_int_equal(file_read(ret_script, path, NULL), ST_OK);
    end_in_slurm((int)jobs_in_slurm(bed), "CANCELLED");
    for (int waited = 0; waited < PATIENCE_MS && !is_end(ev.kind); waited += 20) {
        usleep(20000);
        poll_job(bed, 0, &ev);
    }
    assert_true(is_end(ev.kind));
}

static void nodes_that_failed_are_kept_off(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct slurm_note note;
    struct buf script;
    behave(bed, 0, "count ran\nsleep 60000\n");
    set_faults(bed, "{\"nodes\": \"n[1-2]\"}");
    start(bed, 0);
    until_it_ran(bed, 0);
    wait_for(bed, 0, EVIDENCE_ALIVE, &ev);
    set_faults(bed, "{\"sinfo\": \"n2\\n\"}");
    end_in_slurm(1, "NODE_FAIL silent");
    wait_for(bed, 0, EVIDENCE_NODE_LOST, &ev);
    assert_non_null(strstr(ev.text, "down: n2"));
    assert_int_equal(slurm_note_read(bed->attempt_dir[0], &note, NULL), ST_OK);
    assert_string_equal(note.lost, "n2");
    next_attempt(bed, 2, &script);
    assert_non_null(strstr(buf_str(&script), "\n#SBATCH --exclude=n9,n2\n"));
    assert_non_null(strstr(buf_str(&script), "\n#SBATCH --dependency=afterany:1\n"));
    buf_fini(&script);
    assert_int_equal(slurm_note_read(bed->attempt_dir[0], &note, NULL), ST_OK);
    assert_string_equal(note.excluded, "n2");
    set_faults(bed, "{\"sbatch\": \"few\"}"); /* without n2 there is no room at all */
    next_attempt(bed, 6, &script);
    assert_non_null(strstr(buf_str(&script), "\n#SBATCH --exclude=n9\n"));
    buf_fini(&script);
    set_faults(bed, "{\"sbatch\": \"dependency\"}"); /* Slurm has lost the one before */
    next_attempt(bed, 7, &script);                   /* and n2 is long ago */
    assert_null(strstr(buf_str(&script), "--dependency"));
    assert_non_null(strstr(buf_str(&script), "\n#SBATCH --exclude=n9\n"));
    buf_fini(&script);
}

/* A controller that came back from an old state: the attempt has ended, and its job waits to be started. */
static void what_an_older_attempt_left_is_cancelled(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct buf b;
    char path[192];
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    run("sed -i 's/\"state\": \"[A-Z]*\"/\"state\": \"PENDING\"/' %s/job-1.json", bed->fake);
    snprintf(bed->attempt_dir[0], sizeof bed->attempt_dir[0], "%s/attempts/2", bed->job_dir[0]);
    assert_int_equal(file_mkdirs(bed->attempt_dir[0], 0700, NULL), ST_OK);
    bed->spec[0].attempt = 2;
    start(bed, 0);
    snprintf(path, sizeof path, "%s/job-1.json", bed->fake);
    bool cancelled = false;
    for (int i = 0; i < 500 && !cancelled; i++) {
        poll_job(bed, 0, &ev);
        buf_init(&b, 1u << 16);
        cancelled = file_read(&b, path, NULL) == ST_OK && strstr(buf_str(&b), "CANCELLED");
        buf_fini(&b);
        usleep(20000);
    }
    assert_true(cancelled);
}

/* A controller that lost our job gave its id to somebody else's, which fails. */
static void an_id_that_was_given_again(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    behave(bed, 0, "count ran\nsleep 9000\n");
    start(bed, 0);
    until_it_ran(bed, 0);
    run("sed -i 's/\"name\": \"[^\"]*\"/\"name\": \"other\"/; s/RUNNING/FAILED/' %s/job-1.json",
        bed->fake);
    wait_for(bed, 0, EVIDENCE_UNKNOWN, &ev);
    no_end(bed, 0, 1000);
    wait_for(bed, 0, EVIDENCE_EXITED, &ev);
    assert_int_equal(ev.exit_code, 0);
}

static void a_job_that_is_forgotten_before_it_began(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    set_faults(bed, "{\"pending\": true}");
    start(bed, 0);
    wait_for(bed, 0, EVIDENCE_PENDING, &ev);
    for (int i = 0; i < 500 && strcmp(ev.text, "Resources") != 0; i++) {
        poll_job(bed, 0, &ev);
        usleep(20000);
    }
    set_faults(bed, "{\"pending\": true, \"squeue\": \"empty\", \"scontrol\": \"forgot\"}");
    wait_for(bed, 0, EVIDENCE_VANISHED, &ev);
    set_faults(bed, "{}"); /* and there it is again */
    usleep(1000000);
    run("sh %s/script.sh", bed->attempt_dir[0]);
    assert_int_equal(ran(bed, 0), 0);
}

static void a_waiting_job_is_cancelled_in_slurm(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char path[192];
    struct buf b;
    set_faults(bed, "{\"pending\": true}");
    start(bed, 0);
    for (int i = 0; i < 500 && jobs_in_slurm(bed) == 0; i++) {
        poll_job(bed, 0, &ev);
        usleep(20000);
    }
    bed->launch->ops->ask(bed->launch, &bed->spec[0]);
    for (int i = 0; i < 500 && !is_end(ev.kind); i++) {
        poll_job(bed, 0, &ev);
        usleep(20000);
    }
    assert_true(is_end(ev.kind));
    assert_int_equal(ran(bed, 0), 0);
    snprintf(path, sizeof path, "%s/job-1.json", bed->fake);
    buf_init(&b, 1u << 16);
    assert_int_equal(file_read(&b, path, NULL), ST_OK);
    assert_non_null(strstr(buf_str(&b), "CANCELLED"));
    buf_fini(&b);
}

static void a_waiting_job_gets_its_new_priority(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char path[192];
    struct buf b;
    set_faults(bed, "{\"pending\": true}");
    bed->spec[0].priority = 50;
    start(bed, 0);
    for (int i = 0; i < 500 && jobs_in_slurm(bed) == 0; i++) {
        poll_job(bed, 0, &ev);
        usleep(20000);
    }
    restart(bed); /* adopted before it is polled: what it finds is not a change */
    start(bed, 0);
    bed->launch->ops->tick(bed->launch);
    snprintf(path, sizeof path, "%s/job-1.json", bed->fake);
    usleep(500000);
    buf_init(&b, 1u << 16);
    assert_int_equal(file_read(&b, path, NULL), ST_OK);
    assert_null(strstr(buf_str(&b), "\"nice\""));
    buf_fini(&b);
    bed->spec[0].priority = 90;
    snprintf(path, sizeof path, "%s/job-1.json", bed->fake);
    bool changed = false;
    for (int i = 0; i < 500 && !changed; i++) {
        poll_job(bed, 0, &ev);
        buf_init(&b, 1u << 16);
        changed = file_read(&b, path, NULL) == ST_OK && strstr(buf_str(&b), "\"nice\": 70");
        buf_fini(&b);
        usleep(20000);
    }
    assert_true(changed);
}

/* SIGUSR2 is how Slurm announces that the time is over. */
static void the_warning_of_the_wall_time(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct launcher_record r;
    behave(bed, 0, "count ran\nsleep 60000\n");
    start(bed, 0);
    until_it_ran(bed, 0);
    assert_int_equal(record_read_launcher(bed->attempt_dir[0], &r, NULL), ST_OK);
    assert_int_equal(r.slurm_id, 1);
    run("kill -USR2 %d", (int)r.pid);
    wait_for(bed, 0, EVIDENCE_WALL_TIME, &ev);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(squeue_that_lists_nothing),
        TEST(a_controller_that_is_away),
        TEST(an_end_while_the_controller_is_away),
        TEST(squeue_that_never_answers),
        TEST(one_question_for_all),
        TEST(an_answer_that_is_lost),
        TEST(a_crash_before_the_id_is_known),
        TEST(a_crash_before_it_was_submitted),
        TEST(submitted_twice_it_runs_once),
        TEST(a_controller_that_takes_nothing_now),
        TEST(a_shortage_of_descriptors_is_waited_out),
        TEST(what_slurm_refuses_is_refused),
        TEST(ends_that_slurm_names),
        TEST(ends_without_a_record),
        TEST(nodes_that_failed_are_kept_off),
        TEST(what_an_older_attempt_left_is_cancelled),
        TEST(an_id_that_was_given_again),
        TEST(a_job_that_is_forgotten_before_it_began),
        TEST(a_waiting_job_is_cancelled_in_slurm),
        TEST(a_waiting_job_gets_its_new_priority),
        TEST(the_warning_of_the_wall_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
