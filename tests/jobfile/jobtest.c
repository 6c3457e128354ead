/* jobtest.c - see jobtest.h. */
#include "jobtest.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

const char jobtest_good[] = "name: good\n"
                            "data:\n"
                            "  pretrain: pretrain.json\n"
                            "  task: task.json\n"
                            "  eval: eval.json\n"
                            "  vocabulary: words.txt\n"
                            "phases.pretrain.steps: 5000\n";

static char folder[64];
static const char *const files[] = {"pretrain.json", "task.json", "eval.json", "words.txt"};

static void path_in(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", folder, name);
}

int jobtest_setup(void **state)
{
    (void)state;
    char path[128];
    struct buf words;
    snprintf(folder, sizeof folder, "/tmp/espalier-jobfile-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    buf_init(&words, 4096);
    for (int i = 0; i < JOBTEST_WORDS; i++)
        buf_printf(&words, "word%d\n", i);
    for (size_t i = 0; i < 4; i++) {
        path_in(path, files[i]);
        const char *text = i == 3 ? buf_str(&words) : "{}";
        if (file_write_atomic(path, text, strlen(text), 0600, NULL))
            return 1;
    }
    buf_fini(&words);
    path_in(path, "sub");
    return mkdir(path, 0700);
}

int jobtest_teardown(void **state)
{
    (void)state;
    char path[128];
    for (size_t i = 0; i < 4; i++) {
        path_in(path, files[i]);
        unlink(path);
    }
    path_in(path, "sub");
    rmdir(path);
    return rmdir(folder);
}

const char *jobtest_folder(void)
{
    return folder;
}

enum status jobtest_parse(struct jobfile **ret_job, const char *text,
                          const struct jobfile_override *over, int n_over,
                          struct findings *ret_findings, struct err *err)
{
    const struct jobfile_source source = {.text = text,
                                          .len = strlen(text),
                                          .folder = folder,
                                          .over = over,
                                          .n_over = n_over,
                                          .check_paths = true};
    return jobfile_parse(ret_job, &source, ret_findings, err);
}

static void print_findings(const struct findings *f)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (int i = 0; i < f->n; i++)
        finding_print(&out, &term_none, "job.yaml", &f->list[i]);
    print_message("%s", buf_str(&out));
    buf_fini(&out);
}

struct jobfile *jobtest_job(const char *more)
{
    char text[4096];
    struct jobfile *job = NULL;
    struct findings f;
    struct err err = {0};
    snprintf(text, sizeof text, "%s%s", jobtest_good, more ? more : "");
    if (jobtest_parse(&job, text, NULL, 0, &f, &err) != ST_OK) {
        print_findings(&f);
        fail_msg("%s", err.text);
    }
    findings_fini(&f);
    return job;
}

const struct finding *jobtest_find(const struct findings *f, const char *key, const char *says)
{
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->list[i].key, key) && strstr(f->list[i].text, says))
            return &f->list[i];
    return NULL;
}

static void run_one(const struct jobtest_case *c, int number)
{
    struct buf text;
    struct jobfile *job = NULL;
    struct findings f;
    struct err err = {0};
    buf_init(&text, 4 << 20);
    buf_puts(&text, c->text ? c->text : jobtest_good);
    buf_puts(&text, c->more ? c->more : "");
    enum status st = jobtest_parse(&job, buf_str(&text), NULL, 0, &f, &err);
    const struct finding *one = jobtest_find(&f, c->key, c->says);
    bool placed = one && (c->line < 0 || (one->line == c->line && one->column == c->column));
    if (!placed || one->warning != c->warning || f.errors != c->errors ||
        st != (c->errors ? ST_INVALID : ST_OK) || (st == ST_OK) != (job != NULL)) {
        print_findings(&f);
        fail_msg(
            "case %d: wanted %d errors and %s '%s: ...%s...' at %d:%d; found %d errors, '%s' at "
            "%d:%d",
            number, c->errors, c->warning ? "warning" : "error", c->key, c->says, c->line,
            c->column, f.errors, one ? one->text : "nothing", one ? one->line : 0,
            one ? one->column : 0);
    }
    jobfile_destroy(job);
    findings_fini(&f);
    buf_fini(&text);
}

void jobtest_run(const struct jobtest_case *cases, int n)
{
    for (int i = 0; i < n; i++)
        run_one(&cases[i], i);
}
