/* test_jobfile_roots.c - paths are kept inside the folders that the daemon's owner named. */
#include "jobtest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The good job with `more`, under one root; the finding on `key`, or NULL if the job was accepted. */
static const struct finding *parse_under(const char *root, const char *more,
                                         const struct jobfile_override *over, const char *key,
                                         struct findings *ret_findings)
{
    char text[4096];
    struct jobfile *job = NULL;
    snprintf(text, sizeof text, "%s%s", jobtest_good, more);
    const struct jobfile_source source = {.text = text,
                                          .len = strlen(text),
                                          .folder = jobtest_folder(),
                                          .over = over,
                                          .n_over = over != NULL,
                                          .check_paths = true,
                                          .roots = {&root, root ? 1 : 0}};
    enum status st = jobfile_parse(&job, &source, ret_findings, NULL);
    if (st == ST_OK)
        jobfile_destroy(job);
    const struct finding *found = jobtest_find(ret_findings, key, "");
    assert_int_equal(st == ST_OK, found == NULL);
    return found;
}

static void refuses(const char *root, const char *more, const char *says, int line)
{
    struct findings f;
    const struct finding *found = parse_under(root, more, NULL, "model.init", &f);
    assert_non_null(found);
    if (!strstr(found->text, says))
        fail_msg("'%s' is not in: %s", says, found->text);
    assert_int_equal(found->line, line);
    findings_fini(&f);
}

static void accepts(const char *root, const char *more)
{
    struct findings f;
    assert_null(parse_under(root, more, NULL, "model.init", &f));
    findings_fini(&f);
}

static void what_lies_inside_is_taken(void **state)
{
    (void)state;
    char root[256];
    accepts(jobtest_folder(), "model.init: task.json\n");
    accepts(jobtest_folder(), "model.init: sub/../task.json\n");
    accepts("/", "model.init: task.json\n");
    accepts(NULL, "model.init: task.json\n");
    snprintf(root, sizeof root, "%s/./sub/..//", jobtest_folder());
    accepts(root, "model.init: task.json\n");
}

static void what_lies_outside_is_refused(void **state)
{
    (void)state;
    struct findings f;
    const char *here = jobtest_folder();
    refuses(here, "model.init: /etc/hostname\n", "lies outside the folders", 8);
    refuses(here, "model.init: ../../etc/hostname\n", "lies outside", 8);
    /* Nobody learns what is there. */
    refuses(here, "model.init: /nowhere/at/all\n", "lies outside", 8);
    refuses(here, "model.init: none\n", "No such file", 8);
    /* A name that only begins like a root's. */
    char begin[256];
    snprintf(begin, sizeof begin, "%.*s", (int)strlen(here) - 1, here);
    assert_non_null(parse_under(begin, "", NULL, "data.pretrain", &f));
    findings_fini(&f);
    static const struct jobfile_override over = {"model.init", "/etc/hostname"};
    const struct finding *found = parse_under(here, "", &over, "model.init", &f);
    assert_non_null(found);
    assert_non_null(strstr(found->text, "lies outside"));
    findings_fini(&f);
}

static void links_do_not_lead_out(void **state)
{
    (void)state;
    char link[256], linked[256];
    snprintf(link, sizeof link, "%s/sub/link", jobtest_folder());
    assert_int_equal(symlink("/etc/hostname", link), 0);
    refuses(jobtest_folder(), "model.init: sub/link\n", "is a link that leads out of", 8);
    unlink(link);
    assert_int_equal(symlink("../task.json", link), 0);
    accepts(jobtest_folder(), "model.init: sub/link\n");
    unlink(link);
    /* A root that is a link itself counts by its name and by its place. */
    snprintf(linked, sizeof linked, "%s.link", jobtest_folder());
    assert_int_equal(symlink(jobtest_folder(), linked), 0);
    accepts(linked, "model.init: task.json\n");
    unlink(linked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_inside_is_taken),
        cmocka_unit_test(what_lies_outside_is_refused),
        cmocka_unit_test(links_do_not_lead_out),
    };
    return cmocka_run_group_tests(tests, jobtest_setup, jobtest_teardown);
}
