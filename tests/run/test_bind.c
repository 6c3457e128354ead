/* A rank takes the cores and GPUs of its placement, and nothing where it has none. Each case in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "run/bind.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/espalier-bind-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void attempt(const char *json)
{
    char path[96];
    snprintf(path, sizeof path, "%s/attempt.json", dir);
    assert_int_equal(file_write_atomic(path, json, strlen(json), 0600, NULL), ST_OK);
}

/* What the child says about itself once it is bound. */
static void bound_as(const char *rank, const char *visible, char *out, size_t size)
{
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct binding b;
        struct err err = {0};
        char text[600];
        unsetenv("CUDA_VISIBLE_DEVICES");
        if (rank)
            setenv("OMPI_COMM_WORLD_RANK", rank, 1);
        else
            unsetenv("OMPI_COMM_WORLD_RANK");
        if (visible)
            setenv("CUDA_VISIBLE_DEVICES", visible, 1);
        if (rank_bind(dir, &b, &err) != ST_OK) {
            snprintf(text, sizeof text, "error %s", err.text);
        } else {
            cpu_set_t set;
            const char *gpus = getenv("CUDA_VISIBLE_DEVICES");
            sched_getaffinity(0, sizeof set, &set);
            snprintf(text, sizeof text, "%s %d cpus [%s] gpus %s yield %d %s",
                     b.pinned ? "pinned" : "free", CPU_COUNT(&set), b.cores, gpus ? gpus : "unset",
                     getenv("OMPI_MCA_mpi_yield_when_idle") != NULL, b.unbound);
        }
        if (write(pipe_fd[1], text, strlen(text)) < 0)
            _exit(1);
        _exit(0);
    }
    close(pipe_fd[1]);
    ssize_t n = read(pipe_fd[0], out, size - 1);
    close(pipe_fd[0]);
    out[n > 0 ? n : 0] = '\0';
    waitpid(pid, NULL, 0);
}

static void cores_and_gpus_of_the_rank(void **state)
{
    (void)state;
    char text[600], expected[64];
    cpu_set_t set;
    int first = 0;
    sched_getaffinity(0, sizeof set, &set);
    while (!CPU_ISSET(first, &set))
        first++;
    attempt("{\"ranks\": [{\"host\": \"a\", \"cores\": [9999], \"gpus\": []},"
            "{\"host\": \"a\", \"cores\": [0], \"gpus\": [1, 3]}]}");
    bound_as("1", NULL, text, sizeof text);
    snprintf(expected, sizeof expected, "pinned 1 cpus [%d] gpus 1,3 yield 0 ", first);
    assert_string_equal(text, expected);
    bound_as("0", "7,8", text, sizeof text); /* no GPU was given: none is seen */
    assert_non_null(strstr(text, "gpus  yield 1 core 9999 was given, but this process may use"));
    assert_non_null(strstr(text, "free "));
}

static void gpus_count_among_those_the_node_gives(void **state)
{
    (void)state;
    char text[600];
    attempt("{\"ranks\": [{\"host\": \"a\", \"cores\": [0], \"gpus\": [1]}]}");
    bound_as("0", "4,GPU-77", text, sizeof text);
    assert_non_null(strstr(text, "gpus GPU-77 "));
    bound_as("0", "4", text, sizeof text);
    assert_non_null(
        strstr(text, "error GPU 1 was given to this rank, but CUDA_VISIBLE_DEVICES is '4'"));
}

static void nothing_is_bound_without_a_placement(void **state)
{
    (void)state;
    char text[600];
    bound_as("0", NULL, text, sizeof text); /* no attempt.json at all */
    assert_non_null(strstr(text, "free "));
    assert_non_null(strstr(text, "gpus unset"));
    attempt("{\"job_id\": \"1\"}");
    bound_as("0", "5", text, sizeof text);
    assert_non_null(strstr(text, "gpus 5 "));
    attempt("{\"ranks\": [{\"host\": \"a\", \"cores\": [0], \"gpus\": []}]}");
    bound_as(NULL, NULL, text, sizeof text); /* nobody says which rank it is */
    assert_non_null(strstr(text, "free "));
    attempt("{\"pin\": false, \"ranks\": [{\"host\": \"a\", \"cores\": [0], \"gpus\": []}]}");
    bound_as("0", NULL, text, sizeof text);
    assert_non_null(strstr(text, "free "));
    assert_non_null(strstr(text, "yield 1 pin_cores is false"));
    attempt("not json");
    bound_as("0", NULL, text, sizeof text);
    assert_non_null(strstr(text, "error "));
}

static volatile bool leave;

static void *idle(void *arg)
{
    (void)arg;
    while (!leave)
        usleep(10000);
    return NULL;
}

/* A thread that a library started before is bound as well; this one changes the test itself, so it comes last. */
static void threads_of_libraries_too(void **state)
{
    (void)state;
    pthread_t thread;
    struct binding b;
    cpu_set_t set;
    assert_int_equal(pthread_create(&thread, NULL, idle, NULL), 0);
    attempt("{\"ranks\": [{\"host\": \"a\", \"cores\": [0], \"gpus\": []}]}");
    setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    assert_int_equal(rank_bind(dir, &b, NULL), ST_OK);
    assert_int_equal(pthread_getaffinity_np(thread, sizeof set, &set), 0);
    assert_int_equal(CPU_COUNT(&set), 1);
    leave = true;
    pthread_join(thread, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cores_and_gpus_of_the_rank),
        TEST(gpus_count_among_those_the_node_gives),
        TEST(nothing_is_bound_without_a_placement),
        TEST(threads_of_libraries_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
