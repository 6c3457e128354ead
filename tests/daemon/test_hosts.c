/* One attempt on several nodes: real mpirun and orted; the remote shell is a script that runs its command here and
 * says in $TEST_NODE which node it stands for. Those names mean nothing to the resolver, so nothing here needs a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "launch/hosts.h"
#include "launch/record.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 40000

struct bed {
    char dir[64], attempt_dir[96], agent[96];
    struct node node[3];
    struct nodes nodes;
    struct placement *placement;
    struct launch *launch;
    struct launch_spec spec;
    struct err err;
};

static void write_file(const struct bed *bed, const char *name, const char *text, mode_t mode)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", bed->dir, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), mode, NULL), ST_OK);
}

static void restart(struct bed *bed)
{
    struct mpirun_options options = {.mpirun = "mpirun",
                                     .worker = TRIVIAL_WORKER,
                                     .launcher = ESPALIER_LAUNCHER,
                                     .agent = bed->agent};
    launch_destroy(bed->launch);
    assert_int_equal(launch_mpirun_create(&bed->launch, &options, &bed->err), ST_OK);
}

/* Ranks 0 and 1 on the first of two other nodes, rank 2 on the second. */
static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);
    strcpy(bed->dir, "/tmp/espalier-hosts-XXXXXX");
    if (!mkdtemp(bed->dir))
        return -1;
    snprintf(bed->attempt_dir, sizeof bed->attempt_dir, "%s/attempts/1", bed->dir);
    snprintf(bed->agent, sizeof bed->agent, "%s/agent", bed->dir);
    if (file_mkdirs(bed->attempt_dir, 0700, &bed->err) != ST_OK)
        return -1;
    write_file(bed, "agent",
               "#!/bin/sh\nTEST_NODE=$1\nexport TEST_NODE\n"
               "echo $1 $3 >> $(dirname $0)/asked\n"
               "test -e $(dirname $0)/down-$1 && exit 255\n"
               "test -e $(dirname $0)/broken-$1 && exit 127\n"
               /* On one machine the nodes would race for Open MPI's folder. */
               "TMPDIR=$(dirname $0)/tmp-$1\nexport TMPDIR\nmkdir -p $TMPDIR\n"
               "shift\nexec /bin/sh -c \"$*\"\n",
               0700);
    strcpy(bed->node[0].host, "here");
    bed->node[0].local = true;
    strcpy(bed->node[1].host, "espalier-node-a");
    strcpy(bed->node[2].host, "espalier-node-b");
    bed->nodes = (struct nodes){3, bed->node};
    bed->placement = placement_create(3, 1, 0);
    memcpy(bed->placement->node, (const int[]){1, 1, 2}, 3 * sizeof(int));
    bed->spec = (struct launch_spec){.job_id = 7,
                                     .attempt = 1,
                                     .job_dir = bed->dir,
                                     .attempt_dir = bed->attempt_dir,
                                     .name = "several nodes",
                                     .ranks = 3,
                                     .threads = 1,
                                     .nodes = &bed->nodes,
                                     .placement = bed->placement};
    restart(bed);
    *state = bed;
    return 0;
}

static void read_text(const struct bed *bed, const char *name, char *out, size_t size)
{
    char path[160];
    struct buf b;
    snprintf(path, sizeof path, "%s/%s", bed->dir, name);
    buf_init(&b, 1u << 20);
    file_read(&b, path, NULL);
    snprintf(out, size, "%s", buf_str(&b));
    buf_fini(&b);
}

static int count_left(const struct bed *bed)
{
    char command[256];
    snprintf(command, sizeof command,
             "grep -lz '^" HOSTS_ATTEMPT_VARIABLE "=%s$' /proc/[0-9]*/environ 2>/dev/null | wc -l",
             bed->attempt_dir);
    FILE *f = popen(command, "r");
    int n = -1;
    if (!f || fscanf(f, "%d", &n) != 1)
        fail_msg("cannot count");
    pclose(f);
    return n;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[128];
    bool clear = reap_here(bed->attempt_dir); /* nothing of the test stays behind */
    usleep(300000);                           /* a launcher still writes its record */
    launch_destroy(bed->launch);
    placement_destroy(bed->placement);
    snprintf(command, sizeof command, "rm -rf %s", bed->dir);
    int rc = system(command);
    free(bed);
    return clear ? rc : -1;
}

static void poll_until(struct bed *bed, enum evidence_kind kind, struct evidence *ret_ev)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        bed->launch->ops->poll(bed->launch, &bed->spec, ret_ev);
        if (ret_ev->kind == kind)
            return;
        usleep(20000);
    }
    char log[2000];
    read_text(bed, "log.txt", log, sizeof log);
    fail_msg("waited for evidence %d, got %d (exit %d, %s)\n%s", kind, ret_ev->kind,
             ret_ev->exit_code, ret_ev->text, log);
}

static void start(struct bed *bed)
{
    if (bed->launch->ops->start(bed->launch, &bed->spec, &bed->err) != ST_OK)
        fail_msg("%s", bed->err.text);
}

static void wait_for_ranks(struct bed *bed)
{
    char ran[16] = "";
    for (int i = 0; i < 1500 && strlen(ran) < 3; i++) {
        usleep(20000);
        read_text(bed, "ran", ran, sizeof ran);
    }
    char log[2000];
    read_text(bed, "log.txt", log, sizeof log);
    if (strlen(ran) != 3)
        fail_msg("%zu ranks ran\n%s", strlen(ran), log);
}

static void ranks_are_where_the_placement_says(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char text[4000];
    write_file(bed, "behave", "env TEST_NODE\nenv OMP_NUM_THREADS\n", 0600);
    start(bed);
    poll_until(bed, EVIDENCE_EXITED, &ev);
    read_text(bed, "log.txt", text, sizeof text);
    if (ev.exit_code != 0)
        fail_msg("exit %d\n%s", ev.exit_code, text);
    assert_non_null(strstr(text, "rank 0 TEST_NODE=espalier-node-a\n"));
    assert_non_null(strstr(text, "rank 1 TEST_NODE=espalier-node-a\n"));
    assert_non_null(strstr(text, "rank 2 TEST_NODE=espalier-node-b\n"));
    assert_non_null(strstr(text, "rank 2 OMP_NUM_THREADS=1\n"));
    read_text(bed, "attempts/1/hosts", text, sizeof text);
    assert_string_equal(text, "espalier-node-a slots=2\nespalier-node-b slots=1\n");
}

static void a_job_on_this_host_needs_no_remote_shell(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char text[4000];
    memset(bed->placement->node, 0, 3 * sizeof(int));
    write_file(bed, "behave", "env TEST_NODE\n", 0600);
    start(bed);
    poll_until(bed, EVIDENCE_EXITED, &ev);
    read_text(bed, "log.txt", text, sizeof text);
    assert_non_null(strstr(text, "rank 2 TEST_NODE=\n"));
    read_text(bed, "asked", text, sizeof text);
    assert_string_equal(text, "");
}

/* Until all of its ranks are there. */
static void run_for_long(struct bed *bed)
{
    write_file(bed, "behave", "count ran\nsleep 60000\n", 0600);
    start(bed);
    wait_for_ranks(bed);
}

/* After a bad end the other nodes are asked before the exit record is left. */
static void a_bad_end_leaves_nothing_on_other_nodes(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char text[4000];
    run_for_long(bed);
    bed->launch->ops->stop(bed->launch, &bed->spec, STOP_KILL);
    poll_until(bed, EVIDENCE_EXITED, &ev);
    assert_int_not_equal(ev.exit_code, 0);
    assert_int_equal(count_left(bed), 0);
    read_text(bed, "asked", text, sizeof text);
    assert_non_null(strstr(text, "espalier-node-a --reap"));
    assert_non_null(strstr(text, "espalier-node-b --reap"));
}

/* Everything here was killed, the launcher too: the attempt is over only when the other nodes have said so. */
static void gone_here_is_not_gone(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    struct launcher_record r;
    run_for_long(bed);
    write_file(bed, "down-espalier-node-b", "", 0600);
    assert_int_equal(record_read_launcher(bed->attempt_dir, &r, &bed->err), ST_OK);
    kill(r.pid, SIGKILL);
    proc_session_kill(r.pid, 0, SIGKILL);
    restart(bed);
    bed->spec.placement = NULL; /* both nodes were taken out of the configuration meanwhile */
    poll_until(bed, EVIDENCE_UNKNOWN, &ev);
    assert_non_null(strstr(ev.text, "other nodes"));
    usleep(1500000);
    bed->launch->ops->poll(bed->launch, &bed->spec, &ev);
    assert_int_equal(ev.kind, EVIDENCE_UNKNOWN); /* node b has not answered */
    char down[160];
    snprintf(down, sizeof down, "%s/down-espalier-node-b", bed->dir);
    assert_int_equal(unlink(down), 0);
    poll_until(bed, EVIDENCE_VANISHED, &ev);
    assert_int_equal(count_left(bed), 0);
}

/* mpirun was killed and a node is silent: the next attempt goes elsewhere. */
static void a_silent_node_is_lost(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    run_for_long(bed);
    write_file(bed, "down-espalier-node-b", "", 0600);
    bed->launch->ops->stop(bed->launch, &bed->spec, STOP_KILL);
    poll_until(bed, EVIDENCE_NODE_LOST, &ev);
    assert_string_equal(ev.text, "node espalier-node-b does not answer");
}

/* It answers, and the launcher is not there any more: a fault, but none of the node's. */
static void a_node_that_answers_is_not_lost(void **state)
{
    struct bed *bed = *state;
    struct evidence ev;
    char text[4000];
    run_for_long(bed);
    write_file(bed, "broken-espalier-node-b", "", 0600);
    bed->launch->ops->stop(bed->launch, &bed->spec, STOP_KILL);
    poll_until(bed, EVIDENCE_EXITED, &ev);
    read_text(bed, "log.txt", text, sizeof text);
    assert_non_null(strstr(text, "node espalier-node-b could not say"));
}

static void names_that_mean_this_machine(void **state)
{
    (void)state;
    char name[256] = "";
    assert_int_equal(gethostname(name, sizeof name - 1), 0);
    assert_true(host_is_here("localhost"));
    assert_true(host_is_here("127.0.0.1"));
    assert_true(host_is_here(name));
    assert_false(host_is_here("espalier-node-a"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(ranks_are_where_the_placement_says),
                                       TEST(a_job_on_this_host_needs_no_remote_shell),
                                       TEST(a_bad_end_leaves_nothing_on_other_nodes),
                                       TEST(a_silent_node_is_lost),
                                       TEST(a_node_that_answers_is_not_lost),
                                       TEST(gone_here_is_not_gone),
                                       cmocka_unit_test(names_that_mean_this_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
