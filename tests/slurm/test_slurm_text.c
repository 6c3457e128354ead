/* What is written for Slurm and what is read from it: pure functions, every byte of it compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "jobfile/slurm_words.h"
#include "launch/command.h"
#include "launch/slurm_parse.h"
#include "launch/slurm_script.h"

#include <stdio.h>
#include <string.h>

#define LINE(text) (text), strlen(text)

/* ---- reading --------------------------------------------------------------------------------- */

static void squeue_lines(void **state)
{
    (void)state;
    struct slurm_row r;
    assert_true(slurm_parse_squeue(LINE("12|RUNNING|None|main|n[1-2]|espalier-ab-1-1"), &r));
    assert_int_equal(r.id, 12);
    assert_int_equal(r.kind, SLURM_RUNNING);
    assert_string_equal(r.reason, "");
    assert_string_equal(r.partition, "main");
    assert_string_equal(r.nodes, "n[1-2]");
    assert_string_equal(r.name, "espalier-ab-1-1");
    assert_true(slurm_parse_squeue(LINE("7|PENDING|(launch failed, held)|a,b||x|y"), &r));
    assert_string_equal(r.reason, "(launch failed, held)");
    assert_string_equal(r.partition, "a,b");
    assert_string_equal(r.nodes, "");
    assert_string_equal(r.name, "x|y"); /* somebody's name may hold anything */
    static const char *const none[] = {"",
                                       "12",
                                       "12|RUNNING",
                                       "|RUNNING|a|b|c|d",
                                       "-3|R|a|b|c|d",
                                       "12x|R|a|b|c|d",
                                       "12||a|b|c|d",
                                       "slurm_load_jobs error"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(slurm_parse_squeue(LINE(none[i]), &r));
}

static void words_mean_what_slurm_means(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum slurm_kind kind;
        bool over;
    } cases[] = {{"PENDING", SLURM_PENDING, false},
                 {"CONFIGURING", SLURM_PENDING, false},
                 {"REQUEUED", SLURM_PENDING, false},
                 {"SPECIAL_EXIT", SLURM_PENDING, false},
                 {"RUNNING", SLURM_RUNNING, false},
                 {"SUSPENDED", SLURM_RUNNING, false},
                 {"COMPLETING", SLURM_OTHER, false},
                 {"STAGE_OUT", SLURM_OTHER, false},
                 {"COMPLETED", SLURM_COMPLETED, true},
                 {"FAILED", SLURM_FAILED, true},
                 {"CANCELLED", SLURM_CANCELLED, true},
                 {"CANCELLED by 1000", SLURM_CANCELLED, true},
                 {"CANCELLED+", SLURM_CANCELLED, true},
                 {"TIMEOUT", SLURM_TIMEOUT, true},
                 {"DEADLINE", SLURM_TIMEOUT, true},
                 {"NODE_FAIL", SLURM_NODE_FAIL, true},
                 {"BOOT_FAIL", SLURM_NODE_FAIL, true},
                 {"PREEMPTED", SLURM_PREEMPTED, true},
                 {"OUT_OF_MEMORY", SLURM_OUT_OF_MEMORY, true},
                 {"A_WORD_OF_NEXT_YEAR", SLURM_OTHER, false},
                 {"", SLURM_OTHER, false},
                 {"COMPLETE", SLURM_OTHER, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(slurm_kind_of(cases[i].word), cases[i].kind);
        assert_int_equal(slurm_kind_is_over(cases[i].kind), cases[i].over);
    }
}

static void show_job_lines(void **state)
{
    (void)state;
    struct slurm_row r;
    const char *line =
        "JobId=1 JobName=espalier-ab-1-1 UserId=root(0) Priority=4294901759 Nice=0 Account=(null) "
        "JobState=FAILED Reason=NonZeroExitCode Dependency=(null) Requeue=0 ExitCode=4:0 "
        "Partition=main NodeList=n1 BatchHost=n1 Comment=JobState=COMPLETED ExitCode=0:0";
    assert_true(slurm_parse_show_job(LINE(line), &r));
    assert_int_equal(r.id, 1);
    assert_int_equal(r.kind, SLURM_FAILED);
    assert_int_equal(r.exit_code, 4);
    assert_int_equal(r.signal, 0);
    assert_string_equal(r.reason, "NonZeroExitCode");
    assert_string_equal(r.name, "espalier-ab-1-1");
    assert_string_equal(r.nodes, "n1");
    assert_true(slurm_parse_show_job(LINE("JobId=9 JobState=PENDING NodeList=(null)"), &r));
    assert_int_equal(r.exit_code, -1);
    assert_string_equal(r.nodes, "");
    assert_false(slurm_parse_show_job(LINE("XJobId=9 JobState=PENDING"), &r));
    assert_false(slurm_parse_show_job(LINE("JobId=9_4 JobState=PENDING"), &r));
    assert_false(slurm_parse_show_job(LINE("JobId=9"), &r));
    assert_false(slurm_parse_show_job(LINE("JobId="), &r));
    assert_true(slurm_parse_show_job(LINE("JobId=9 JobState=FAILED ExitCode=999:0"), &r));
    assert_int_equal(r.exit_code, -1);
}

static void accounting_lines(void **state)
{
    (void)state;
    struct slurm_row r;
    assert_true(slurm_parse_sacct(LINE("12|CANCELLED by 0|0:15|main|n1|x"), &r));
    assert_int_equal(r.kind, SLURM_CANCELLED);
    assert_string_equal(r.word, "CANCELLED");
    assert_int_equal(r.signal, 15);
    assert_false(slurm_parse_sacct(LINE("12.batch|COMPLETED|0:0|||batch"), &r));
    assert_true(slurm_parse_jobcomp(LINE("12|NODE_FAIL|main|n1|x"), &r));
    assert_int_equal(r.kind, SLURM_NODE_FAIL);
    assert_int_equal(r.exit_code, -1);
}

static void sbatch_and_srun(void **state)
{
    (void)state;
    char mpi[32];
    assert_int_equal(slurm_parse_sbatch("123\n"), 123);
    assert_int_equal(slurm_parse_sbatch("123;cluster\n"), 123);
    assert_int_equal(slurm_parse_sbatch("Submitted batch job 123\n"), 0);
    assert_int_equal(slurm_parse_sbatch(""), 0);
    assert_int_equal(slurm_parse_sbatch("0\n"), 0);
    assert_int_equal(slurm_parse_sbatch("12 a"), 0);
    assert_true(slurm_parse_mpi_list(
        "MPI plugin types are...\n\tpmix\n\tnone\nspecific pmix plugin versions "
        "available: pmix_v4\n",
        mpi));
    assert_string_equal(mpi, "pmix");
    assert_true(slurm_parse_mpi_list("srun: MPI types are...\nsrun: none\nsrun: pmix_v3\n", mpi));
    assert_string_equal(mpi, "pmix_v3");
    assert_false(slurm_parse_mpi_list("none\npmi2\ncray_shasta\n", mpi));
}

static void troubles(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        enum slurm_trouble trouble;
        const char *text;
    } cases[] = {
        {"sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission "
         "failed: Invalid "
         "partition name specified\n",
         SLURM_REFUSED, "Invalid partition name specified"},
        {"sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect "
         "failure)\n",
         SLURM_BUSY, "Unable to contact slurm controller (connect failure)"},
        {"sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: "
         "Job violates "
         "accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
         SLURM_BUSY,
         "QOSMaxSubmitJobPerUserLimit: Job violates accounting/QOS policy (job submit limit, "
         "user's size and/or time limits)"},
        {"sbatch: error: QOSMaxWallDurationPerJobLimit\nallocation failure: Job violates "
         "accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
         SLURM_REFUSED,
         "QOSMaxWallDurationPerJobLimit: Job violates accounting/QOS policy (job submit limit, "
         "user's size and/or time limits)"},
        {"sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
         "submit limit, user's size and/or time limits)\n",
         SLURM_BUSY,
         "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"},
        {"sacct: error: Problem talking to the database: Connection refused\n", SLURM_BUSY,
         "Problem talking to the database: Connection refused"},
        {"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
         SLURM_UNANSWERED, "Socket timed out on send/recv operation"},
        {"slurm_load_jobs error: Invalid job id specified\n", SLURM_NO_SUCH_JOB,
         "slurm_load_jobs error: Invalid job id specified"},
        {"Slurm accounting storage is disabled\n", SLURM_NO_ACCOUNTING,
         "Slurm accounting storage is disabled"},
        {"", SLURM_REFUSED, ""},
    };
    char text[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(slurm_trouble_of(cases[i].said), cases[i].trouble);
        slurm_trouble_text(cases[i].said, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static struct slurm_request request(void)
{
    return (struct slurm_request){.ranks = 4,
                                  .threads = 3,
                                  .gpus_per_rank = 1,
                                  .memory_mib = 1000,
                                  .nodes = 2,
                                  .ranks_a_node = 2,
                                  .time_minutes = 90,
                                  .warn_seconds = 300,
                                  .priority = 70,
                                  .account = "lab",
                                  .partition = "gpu,long",
                                  .qos = "high",
                                  .constraint = "a100&nvlink",
                                  .exclude = "n[3-4]",
                                  .reservation = "r1",
                                  .options = "--licenses=sim:1 --exclusive"};
}

static int64_t after;
static const char *keep_off = "";

static enum status render(const struct slurm_request *r, const char *dir, struct buf *out,
                          struct err *err)
{
    struct slurm_script s = {.request = r,
                             .name = "espalier-ab-1-1",
                             .comment = "espalier job 1 attempt 1",
                             .job_dir = dir,
                             .attempt_dir = "/h/jobs/1/attempts/1",
                             .launcher = "/usr/bin/espalier-launcher",
                             .nice_step = 10,
                             .after = after,
                             .keep_off = keep_off};
    buf_init(out, 1u << 16);
    return slurm_script_render(&s, out, err);
}

static void the_script_says_all(void **state)
{
    (void)state;
    struct slurm_request r = request();
    struct buf b;
    struct err err;
    assert_int_equal(render(&r, "/h/jobs/1", &b, &err), ST_OK);
    assert_string_equal(
        buf_str(&b),
        "#!/bin/sh\n"
        "# Written by espalierd, which reads nothing back from here. What runs: command.json.\n"
        "#SBATCH --job-name=espalier-ab-1-1\n"
        "#SBATCH --comment=\"espalier job 1 attempt 1\"\n"
        "#SBATCH --chdir=\"/h/jobs/1\"\n"
        "#SBATCH --output=\"/h/jobs/1/log.txt\"\n"
        "#SBATCH --open-mode=append\n"
        "#SBATCH --input=/dev/null\n"
        "#SBATCH --no-requeue\n"
        "#SBATCH --export=ALL\n"
        "#SBATCH --signal=B:USR2@300\n"
        "#SBATCH --nice=300\n"
        "#SBATCH --ntasks=4\n"
        "#SBATCH --cpus-per-task=3\n"
        "#SBATCH --nodes=2\n"
        "#SBATCH --ntasks-per-node=2\n"
        "#SBATCH --mem-per-cpu=334M\n"
        "#SBATCH --gpus-per-task=1\n"
        "#SBATCH --time=90\n"
        "#SBATCH --account=lab\n"
        "#SBATCH --partition=gpu,long\n"
        "#SBATCH --qos=high\n"
        "#SBATCH --constraint=a100&nvlink\n"
        "#SBATCH --reservation=r1\n"
        "#SBATCH --licenses=sim:1\n"
        "#SBATCH --exclusive\n"
        "#SBATCH --exclude=n[3-4]\n"
        "exec '/usr/bin/espalier-launcher' --in-slurm '/h/jobs/1/attempts/1'\n");
    buf_fini(&b);
}

static void a_later_attempt_waits_and_keeps_off(void **state)
{
    (void)state;
    struct slurm_request r = request();
    struct buf b;
    struct err err;
    after = 12;
    keep_off = "n7,n8";
    assert_int_equal(render(&r, "/h/jobs/1", &b, &err), ST_OK);
    assert_non_null(strstr(buf_str(&b), "\n#SBATCH --dependency=afterany:12\n"));
    assert_non_null(strstr(buf_str(&b), "\n#SBATCH --exclude=n[3-4],n7,n8\n"));
    buf_fini(&b);
    r.exclude[0] = '\0';
    assert_int_equal(render(&r, "/h/jobs/1", &b, &err), ST_OK);
    assert_non_null(strstr(buf_str(&b), "\n#SBATCH --exclude=n7,n8\n"));
    buf_fini(&b);
    keep_off = "n7\nrm";
    assert_int_equal(render(&r, "/h/jobs/1", &b, &err), ST_CORRUPT);
    buf_fini(&b);
    after = 0;
    keep_off = "";
}

static void lists_of_nodes_have_an_end(void **state)
{
    (void)state;
    char list[16] = "n1", small[6] = "";
    slurm_add_nodes(list, sizeof list, 3, "n2\nn1\nn2\n\nn3,n4\n");
    assert_string_equal(list, "n1,n2,n3");
    slurm_add_nodes(small, sizeof small, 9, "n1\nn22\nn3\n");
    assert_string_equal(small, "n1,n3");
}

static void no_word_escapes(void **state)
{
    (void)state;
    static const char *const bad[] = {"a b", "a\nrm", "$(x)", "`x`", "a;b",
                                      "a'b", "a\"b",  "a\\b", "a#b", "\xC3\xA4"};
    struct slurm_request r = request();
    struct buf b;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(slurm_word_ok(bad[i]));
        snprintf(r.partition, sizeof r.partition, "%s", bad[i]);
        assert_int_equal(render(&r, "/h/jobs/1", &b, &err), ST_INVALID);
        assert_int_equal(b.len, 0);
        buf_fini(&b);
    }
    r = request();
    assert_int_equal(render(&r, "/h/it's/1", &b, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "/h/it's/1"));
    buf_fini(&b);
    snprintf(r.options, sizeof r.options, "--outp=/etc/passwd");
    assert_int_equal(render(&r, "/h/jobs/1", &b, &err), ST_INVALID);
    buf_fini(&b);
}

static void options_are_looked_at_one_by_one(void **state)
{
    (void)state;
    static const struct {
        const char *options, *why; /* NULL: they are good */
    } cases[] = {
        {"", NULL},
        {"  --licenses=a:1   --exclusive ", NULL},
        {"--nodelist=n[1-2] --mem-bind=local --gpu-bind=closest", NULL},
        {"--output=x", "--output is set by espalier itself and cannot be changed"},
        {"--licenses=a --time=3", "--time is set from slurm.time_minutes; set that"},
        {"--acc=b", "--acc is set from slurm.account; set that"},
        {"--requeue", "--requeue is set by espalier itself and cannot be changed"},
        {"-p main", "'-p' is no option; each is --name or --name=value"},
        {"--licenses a", "'a' is no option; each is --name or --name=value"},
        {"--=x", "'--=x' is no option; each is --name or --name=value"},
        {"--licenses=$(x)",
         "'--licenses=$(x)' has a quote, $, `, ;, # or a character that is not printable ASCII"},
    };
    char why[160];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(slurm_options_ok(cases[i].options, why, sizeof why), cases[i].why == NULL);
        if (cases[i].why)
            assert_string_equal(why, cases[i].why);
    }
}

static void a_request_survives_the_store(void **state)
{
    (void)state;
    struct slurm_request r = request(), again;
    struct buf b, twice;
    struct err err;
    buf_init(&b, 1u << 16);
    assert_int_equal(slurm_request_print(&r, &b, &err), ST_OK);
    assert_int_equal(slurm_request_read(&again, buf_str(&b), b.len, &err), ST_OK);
    buf_init(&twice, 1u << 16);
    assert_int_equal(slurm_request_print(&again, &twice, &err), ST_OK);
    assert_string_equal(buf_str(&b), buf_str(&twice));
    assert_string_equal(again.options, r.options);
    assert_int_equal(again.ranks_a_node, 2);
    buf_fini(&twice);
    buf_fini(&b);
    assert_int_not_equal(slurm_request_read(&again, "{}", 2, &err), ST_OK);
    assert_int_not_equal(slurm_request_read(&again, "nothing", 7, &err), ST_OK);
}

static void commands_of_both_starters(void **state)
{
    (void)state;
    struct slurm_request r = request();
    struct slurm_command c;
    struct slurm_start start = {.srun = "srun", .mpirun = "mpirun", .worker = "/w", .mpi = "pmix"};
    static const char *const srun[] = {
        "srun",      "--mpi=pmix",   "--ntasks", "4",   "--cpus-per-task=3", "--kill-on-bad-exit=1",
        "--wait=60", "--export=ALL", "/w",       "run", "--job-dir",         "/h/jobs/1"};
    static const char *const mpirun[] = {"mpirun", "-n",  "4",         "--bind-to", "none",
                                         "/w",     "run", "--job-dir", "/h/jobs/1"};
    slurm_command_make(&c, &r, &start, "/h/jobs/1");
    for (size_t i = 0; i < sizeof srun / sizeof *srun; i++)
        assert_string_equal(c.argv[i], srun[i]);
    assert_null(c.argv[sizeof srun / sizeof *srun]);
    assert_string_equal(c.env[0], "OMP_NUM_THREADS=3");
    start.mpi = NULL;
    slurm_command_make(&c, &r, &start, "/h/jobs/1");
    for (size_t i = 0; i < sizeof mpirun / sizeof *mpirun; i++)
        assert_string_equal(c.argv[i], mpirun[i]);
    assert_null(c.argv[sizeof mpirun / sizeof *mpirun]);
}

static void the_environment_has_no_traps(void **state)
{
    (void)state;
    char *const from[] = {(char *)"PATH=/bin",
                          (char *)"SLURM_CONF=/c",
                          (char *)"SLURM_JOB_ID=3",
                          (char *)"SBATCH_PARTITION=x",
                          (char *)"SQUEUE_FORMAT=%i",
                          (char *)"SACCT_FORMAT=x",
                          (char *)"SLURM_TIME_FORMAT=relative",
                          (char *)"LC_TIME=de_DE",
                          (char *)"LANG=de_DE",
                          (char *)"http_proxy=p",
                          (char *)"HTTPS_PROXY=p",
                          (char *)"PMIX_RANK=0",
                          (char *)"OMPI_COMM_WORLD_SIZE=2",
                          (char *)"OMPI_MCA_btl_tcp_if_include=lo",
                          (char *)"HOME=/h",
                          NULL};
    static const char *const kept[] = {"PATH=/bin", "SLURM_CONF=/c",
                                       "OMPI_MCA_btl_tcp_if_include=lo", "HOME=/h", "LC_ALL=C"};
    char **env = environment_for_slurm(from);
    assert_non_null(env);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_string_equal(env[i], kept[i]);
    assert_null(env[sizeof kept / sizeof *kept]);
    environment_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squeue_lines),
        cmocka_unit_test(words_mean_what_slurm_means),
        cmocka_unit_test(show_job_lines),
        cmocka_unit_test(accounting_lines),
        cmocka_unit_test(sbatch_and_srun),
        cmocka_unit_test(troubles),
        cmocka_unit_test(the_script_says_all),
        cmocka_unit_test(a_later_attempt_waits_and_keeps_off),
        cmocka_unit_test(lists_of_nodes_have_an_end),
        cmocka_unit_test(no_word_escapes),
        cmocka_unit_test(options_are_looked_at_one_by_one),
        cmocka_unit_test(a_request_survives_the_store),
        cmocka_unit_test(commands_of_both_starters),
        cmocka_unit_test(the_environment_has_no_traps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
