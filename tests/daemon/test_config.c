/* test_config.c - the daemon's configuration: values, lists, maps, where each came from, and every fault at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "config/config.h"

#include <stdio.h>
#include <string.h>

static void read_text(struct config_source *s, const char *text)
{
    config_init(s);
    config_read(s, "/etc/x/espalierd.yaml", text, strlen(text));
    assert_false(s->nomem);
}

static int faults(const struct config_source *s)
{
    return s->file_findings.errors + s->option_findings.errors;
}

static void test_defaults(void **state)
{
    (void)state;
    struct config_source s;
    read_text(&s, "");
    assert_int_equal(faults(&s), 0);
    assert_int_equal(s.config.retries, 2);
    assert_true(s.config.stop_term_s == 10);
    assert_int_equal(s.config.launcher, CONFIG_LAUNCHER_MPIRUN);
    assert_int_equal(s.config.n_nodes, 0);
    assert_int_equal(s.origin[CONFIG_retries].from, CONFIG_DEFAULT);
    config_fini(&s);
}

static void test_file(void **state)
{
    (void)state;
    struct config_source s;
    read_text(&s, "cores: 8\n"
                  "stop_term_s: 0.5\n"
                  "launcher: fake\n"
                  "listen: unix:/a\n"
                  "roots: [data, /scratch]\n"
                  "nodes:\n"
                  "  - host: one\n"
                  "    cores: 4\n"
                  "    gpus: 2\n"
                  "  - {host: \"two\"}\n");
    assert_int_equal(faults(&s), 0);
    assert_int_equal(s.config.cores, 8);
    assert_true(s.config.stop_term_s == 0.5);
    assert_int_equal(s.config.launcher, CONFIG_LAUNCHER_FAKE);
    assert_int_equal(s.config.n_listen, 1);
    assert_string_equal(s.config.listen[0], "unix:/a");
    assert_int_equal(s.config.n_roots, 2);
    assert_string_equal(s.config.roots[0], "/etc/x/data"); /* relative to the file */
    assert_string_equal(s.config.roots[1], "/scratch");
    assert_int_equal(s.config.n_nodes, 2);
    assert_string_equal(s.config.nodes[0].host, "one");
    assert_int_equal(s.config.nodes[0].cores, 4);
    assert_int_equal(s.config.nodes[0].gpus, 2);
    assert_string_equal(s.config.nodes[1].host, "two");
    assert_int_equal(s.config.nodes[1].cores, 1); /* a field's default */
    assert_int_equal(s.origin[CONFIG_nodes].from, CONFIG_FILE);
    assert_int_equal(s.origin[CONFIG_nodes].line, 6);
    config_fini(&s);
}

static void test_options(void **state)
{
    (void)state;
    struct config_source s;
    read_text(&s, "cores: 8\nroots: [/a, /b]\nretries: 1\n");
    assert_true(config_set_option(&s, "cores", "4"));
    assert_true(config_set_option(&s, "stop-kill", "7")); /* the unit is left out */
    assert_true(
        config_set_option(&s, "roots", "/c")); /* the file's list is replaced, not added to */
    assert_true(config_set_option(&s, "roots", "/d"));
    assert_true(config_set_option(&s, "nodes", "{host: n1, cores: 2}"));
    assert_true(config_set_option(&s, "nodes", "{host: n2}"));
    assert_false(config_set_option(&s, "coers", "4"));
    assert_int_equal(faults(&s), 0);
    assert_int_equal(s.config.cores, 4);
    assert_true(s.config.stop_kill_s == 7);
    assert_int_equal(s.config.retries, 1);
    assert_int_equal(s.config.n_roots, 2);
    assert_string_equal(s.config.roots[0], "/c");
    assert_string_equal(s.config.roots[1], "/d");
    assert_int_equal(s.config.n_nodes, 2);
    assert_string_equal(s.config.nodes[1].host, "n2");
    assert_int_equal(s.origin[CONFIG_cores].from, CONFIG_OPTION);
    assert_int_equal(s.origin[CONFIG_retries].from, CONFIG_FILE);
    char nearest[64];
    assert_true(config_option_nearest("coers", nearest));
    assert_string_equal(nearest, "cores");
    assert_false(config_option_nearest("zzzzzzzz", nearest));
    config_fini(&s);
}

/* What is wrong -> what is said, with its place. */
static const struct {
    const char *text, *said;
} wrong[] = {
    {"memry_mib: 3\n", ":1:1: error: memry_mib: no such key; nearest is memory_mib\n"},
    {"xyzzy: 3\n", ":1:1: error: xyzzy: no such key; `espalierd config help` lists all\n"},
    {"cores: 4.5\n", ":1:8: error: cores: expects a whole number from 0 to 1048576, got 4.5\n"},
    {"cores: \"4\"\n", "got \"4\"\n"},
    {"cores: -1\n", "got -1\n"},
    {"cores: 0x10\n", "got 0x10\n"},
    {"stop_term_s: nan\n", "expects a number from 0 to 86400, got nan\n"},
    {"cores:\n", "has no value; leave the key out for its default\n"},
    {"cores: 1\ncores: 2\n", ":2:1: error: cores: given twice; first on line 1\n"},
    {"launcher: ssh\n", "expects one of mpirun, "},
    {"cores: [1]\n", "expects one value, found a list\n"},
    {"cores: {a: 1}\n", "expects one value, found keys below it\n"},
    {"home: \"a\\u0007b\"\n", "holds a control character (byte 0x07)\n"},
    {"home: \"a\\0b\"\n", "holds a NUL character\n"},
    {"nodes: 3\n", "nodes: expects a list"},
    {"nodes: [3]\n", "nodes[0]: expects keys with values"},
    {"nodes: [{cores: 3}]\n", "nodes[0]: needs `host`\n"},
    {"nodes: [{host: a}, {host: b, gpu: 1}]\n",
     ":1:30: error: nodes[1].gpu: no such key; here are host, cores, memory_mib, gpus\n"},
    {"nodes: [{host: a, host: b}]\n", "nodes[0].host: given twice\n"},
    {"nodes: [{host: a, cores: 0}]\n", "nodes[0].cores: expects a whole number from 1"},
    {"roots: [\"\"]\n", "roots: expects a path, got \"\"\n"},
    {"- a\n", "a configuration is a list of keys with values"},
    {"cores: [\n", "not valid YAML: "},
    {"cores: 1\n---\ncores: 2\n", "holds a second YAML document"},
    {"\xff\xfe\xfa", "not valid YAML: "},
    {"? [a]\n: 1\n", "a key must be a word"},
    {"&a nodes: [&b {host: *b}]\n", "expects one value"},
};

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config_source s;
        struct buf text;
        buf_init(&text, 1 << 16);
        read_text(&s, wrong[i].text);
        config_print_findings(&s, &term_none, &text);
        if (faults(&s) != 1 || !strstr(buf_str(&text), wrong[i].said))
            fail_msg("%s -> %d faults: %s", wrong[i].text, faults(&s), buf_str(&text));
        buf_fini(&text);
        config_fini(&s);
    }
}

static void test_all_faults_at_once(void **state)
{
    (void)state;
    struct config_source s;
    struct buf text;
    buf_init(&text, 1 << 16);
    read_text(&s, "cores: x\nretries: 5000\nnodes: [{gpus: -1}]\n");
    config_set_option(&s, "gpus", "many");
    config_complain(&s, CONFIG_retries, "does not go with %s", "the rest");
    config_complain(&s, CONFIG_stop_kill_s, "too short");
    config_print_findings(&s, &term_none, &text);
    assert_int_equal(faults(&s), 7);
    assert_non_null(strstr(buf_str(&text), ":2:1: error: retries: does not go with the rest\n"));
    assert_non_null(strstr(buf_str(&text), "command line: error: --gpus: expects a whole number"));
    assert_non_null(strstr(buf_str(&text), "command line: error: --stop-kill: too short\n"));
    buf_fini(&text);
    config_fini(&s);
}

/* What `config show` prints is a configuration that says the same. */
static void test_print_reads_back(void **state)
{
    (void)state;
    struct config_source s, again;
    struct buf text, twice;
    buf_init(&text, 1 << 16);
    buf_init(&twice, 1 << 16);
    read_text(&s, "mpirun: 'a \"b\\ c'\ncores: 3\nroots: [/a]\nnodes: [{host: h, gpus: 1}]\n");
    config_print(&s, true, &text);
    assert_non_null(strstr(buf_str(&text), "# /etc/x/espalierd.yaml:2\n"));
    read_text(&again, buf_str(&text));
    assert_int_equal(faults(&again), 0);
    assert_string_equal(again.config.mpirun, "a \"b\\ c");
    buf_clear(&text);
    config_print(&s, false, &text);
    config_print(&again, false, &twice);
    assert_string_equal(buf_str(&text), buf_str(&twice));
    buf_fini(&text);
    buf_fini(&twice);
    config_fini(&s);
    config_fini(&again);
}

/* The example changes nothing as it is, and has no fault once its comments are keys. */
static void test_example(void **state)
{
    (void)state;
    struct config_source s;
    struct buf text;
    buf_init(&text, 1 << 16);
    config_example(&text);
    read_text(&s, buf_str(&text));
    assert_int_equal(faults(&s), 0);
    config_fini(&s);
    for (char *at = text.data; (at = strstr(at, "\n#")); at++)
        if (at[2] != ' ')
            at[1] = ' '; /* keys become a block that is indented by one */
    read_text(&s, buf_str(&text));
    if (faults(&s) != 0)
        fail_msg("%s", s.file_findings.list[0].text);
    config_fini(&s);
    buf_fini(&text);
}

static void test_document(void **state)
{
    (void)state;
    struct buf made, file;
    struct err err;
    buf_init(&made, 1 << 20);
    buf_init(&file, 1 << 20);
    config_help(&made, true);
    assert_int_equal(file_read(&file, TEST_SOURCE_DIR "/../docs/ops/configuration.md", &err),
                     ST_OK);
    if (strcmp(buf_str(&made), buf_str(&file)) != 0)
        fail_msg("docs/ops/configuration.md is old: espalierd config help --markdown > "
                 "docs/ops/configuration.md");
    buf_fini(&made);
    buf_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_all_faults_at_once),
        cmocka_unit_test(test_print_reads_back),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
