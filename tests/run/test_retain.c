/* test_retain.c - which checkpoints stay, and what a SIGKILL in the middle of a collection leaves. */
#include "base/file.h"
#include "jobfile/keep.h"
#include "run/retain.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the rule -------------------------------------------------------------------------------- */

/* One letter an item, oldest first: its metric, - for none, and its stage. Expected: k stays, o old, q over quota. */
static void expect(const struct keep_rule *rule, const char *metrics, const char *stages,
                   const char *expected)
{
    struct keep_item items[16] = {0};
    size_t n = strlen(metrics);
    char got[17] = {0};
    for (size_t i = 0; i < n; i++)
        items[i] = (struct keep_item){.bytes = 10,
                                      .stage = stages[i] - '0',
                                      .has_metric = metrics[i] != '-',
                                      .metric = metrics[i] - '0'};
    keep_apply(rule, items, n);
    for (size_t i = 0; i < n; i++)
        got[i] = items[i].stays ? 'k' : items[i].why[1] == 'l' ? 'o' : 'q';
    assert_string_equal(got, expected);
}

static void the_newest_the_best_and_the_quota(void **state)
{
    (void)state;
    expect(&(struct keep_rule){.last = 2}, "12345", "22222", "oookk");
    expect(&(struct keep_rule){.last = 1}, "1", "2", "k");
    expect(&(struct keep_rule){.last = 9}, "12345", "22222", "kkkkk");
    expect(&(struct keep_rule){.last = 1, .best = 2}, "31524", "22222", "okokk");
    expect(&(struct keep_rule){.last = 1, .best = 1}, "22222", "22222",
           "ooook"); /* the newest of equals */
    /* Only what can be compared: the newest stage in which anything was measured. */
    expect(&(struct keep_rule){.last = 1, .best = 1}, "1598", "2255", "oook");
    expect(&(struct keep_rule){.last = 1, .best = 1}, "159-", "2226",
           "koo"
           "k");
    expect(&(struct keep_rule){.last = 4, .quota_bytes = 25}, "----", "2222", "qqkk");
    expect(&(struct keep_rule){.last = 4, .quota_bytes = 1}, "----", "2222", "qqqk");
    expect(&(struct keep_rule){.last = 1, .best = 2, .quota_bytes = 20}, "1-2-", "2222", "qokk");
    /* A score: the larger the better. */
    expect(&(struct keep_rule){.last = 1, .best = 2, .by = BEST_P1}, "31524", "22222", "ookok");
    keep_apply(&(struct keep_rule){.last = 1}, NULL, 0);
}

/* ---- a kill at each point -------------------------------------------------------------------- */

static int unlinks_left = -1; /* of the child; -1 = never killed */

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

/* Dies right before the removal number `unlinks_left`, counted from 0. */
int __wrap_unlink(const char *path)
{
    if (unlinks_left == 0)
        raise(SIGKILL);
    if (unlinks_left > 0)
        unlinks_left--;
    return __real_unlink(path);
}

struct bed {
    char dir[64];
    struct jobfile job;
    struct job_folder folder;
};

static void put(const struct bed *bed, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/checkpoints/%s", bed->dir, name);
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), ST_OK);
}

static bool has(const struct bed *bed, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/checkpoints/%s", bed->dir, name);
    return file_exists(path);
}

static void name_of(int step, char name[64])
{
    snprintf(name, 64, "step-%012d.safetensors", step * 16 + 2);
}

static void lay(const struct bed *bed, int files)
{
    char path[512], name[64], sum[80];
    snprintf(path, sizeof path, "%s/checkpoints/pinned", bed->dir);
    assert_int_equal(file_mkdirs(path, 0700, NULL), ST_OK);
    for (int i = 1; i <= files; i++) {
        name_of(i, name);
        snprintf(sum, sizeof sum, "%s.sha256", name);
        put(bed, name, "weights");
        put(bed, sum, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef  x\n");
    }
    put(bed, "fence", "1\n");
    put(bed, "dense.safetensors", "dense");
    put(bed, "dense.safetensors.sha256", "d");
    put(bed, "pinned/step-000000000018.safetensors", "pinned");
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);
    snprintf(bed->dir, sizeof bed->dir, "/tmp/espalier-retain-XXXXXX");
    if (!bed || !mkdtemp(bed->dir))
        return -1;
    bed->job.train_checkpoint_keep = 2;
    bed->folder = (struct job_folder){.dir = bed->dir, .attempt = 1, .job = &bed->job};
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[128];
    snprintf(command, sizeof command, "%s", bed->dir);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-r", command, (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(pid, &status, 0);
    free(bed);
    return 0;
}

/* In a process of its own, killed before its removal number `at`; false once it ran through. */
static bool collect_killed(const struct bed *bed, int at)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct checkpoint_set left;
        unlinks_left = at;
        _exit(checkpoints_collect(&bed->folder, &left, NULL) == ST_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

/* Whatever is there as a file is whole: it has its sum. */
static void assert_whole(const struct bed *bed, int files)
{
    char name[64], sum[80];
    for (int i = 1; i <= files; i++) {
        name_of(i, name);
        snprintf(sum, sizeof sum, "%s.sha256", name);
        assert_true(!has(bed, name) || has(bed, sum));
        assert_true(i < files - 1 || has(bed, name));
    }
    assert_true(has(bed, "fence") && has(bed, "dense.safetensors") &&
                has(bed, "dense.safetensors.sha256") &&
                has(bed, "pinned/step-000000000018.safetensors"));
}

static void assert_collected(const struct bed *bed, int files)
{
    char name[64], sum[80];
    struct checkpoint_set left;
    assert_int_equal(checkpoints_collect(&bed->folder, &left, NULL), ST_OK);
    assert_int_equal(left.n, 2);
    for (int i = 1; i <= files; i++) {
        name_of(i, name);
        snprintf(sum, sizeof sum, "%s.sha256", name);
        assert_int_equal(has(bed, name), i >= files - 1);
        assert_int_equal(has(bed, sum), i >= files - 1);
    }
    name_of(files, name);
    assert_string_equal(path_base(left.list[1].path), name);
    checkpoints_fini(&left);
}

static void a_kill_at_each_point_leaves_whole_files(void **state)
{
    struct bed *bed = *state;
    const int files = 6;
    int kills = 0;
    for (bool killed = true; killed; kills += killed) {
        lay(bed, files);
        killed = collect_killed(bed, kills);
        assert_whole(bed, files);
        assert_collected(bed, files);
    }
    assert_int_equal(kills, 2 * (files - 2)); /* a file and a sum each */
}

static void what_is_pinned_serves_and_stays(void **state)
{
    struct bed *bed = *state;
    struct checkpoint_set set;
    lay(bed, 3);
    assert_int_equal(checkpoints_find(&bed->folder, true, &set, NULL), ST_OK);
    assert_int_equal(set.n, 3); /* step 1 lies in both places and is one */
    checkpoints_fini(&set);
    assert_collected(bed, 3);
    assert_int_equal(checkpoints_find(&bed->folder, true, &set, NULL), ST_OK);
    assert_int_equal(set.n, 3);
    assert_string_equal(set.list[0].path, "checkpoints/pinned/step-000000000018.safetensors");
    checkpoints_fini(&set);
    assert_int_equal(checkpoints_find(&bed->folder, false, &set, NULL), ST_OK);
    assert_int_equal(set.n, 2);
    checkpoints_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_the_best_and_the_quota),
        cmocka_unit_test_setup_teardown(a_kill_at_each_point_leaves_whole_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_pinned_serves_and_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
