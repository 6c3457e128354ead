/* fuzz_jobfile.c - any bytes as a job file. Built by tests/fuzz/build.sh; run by hand:
 *     fuzz_jobfile -max_len=4096 CORPUS
 * Holds: no crash, no hang; an accepted file is printed as a file that is accepted and prints the same; its plan has
 * numbers that can be.
 */
#include "jobfile/jobfile.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct jobfile *parse(const char *text, size_t len)
{
    struct jobfile *job = NULL;
    struct findings findings;
    struct err err;
    const struct jobfile_source source = {.text = text, .len = len, .folder = "/"};
    enum status st = jobfile_parse(&job, &source, &findings, &err);
    if ((st == ST_OK) != (findings.errors == 0))
        abort();
    findings_fini(&findings);
    return job;
}

static void plan(const struct jobfile *job)
{
    struct job_plan plan;
    struct err err;
    if (jobfile_plan(job, &plan, &err) != ST_OK) {
        if (!err.text[0])
            abort();
    } else if (plan.params_smallest < 1 || plan.params_target < plan.params_smallest ||
               plan.params_target > plan.dense.whole || plan.steps < 0 || plan.memory_bytes < 1) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jobfile *first = parse((const char *)data, size), *second;
    struct buf a, b;
    if (!first)
        return 0;
    plan(first);
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    jobfile_print(first, &a);
    second = parse(buf_str(&a), a.len);
    if (!second)
        abort();
    jobfile_print(second, &b);
    if (strcmp(buf_str(&a), buf_str(&b)))
        abort();
    jobfile_destroy(first);
    jobfile_destroy(second);
    buf_fini(&a);
    buf_fini(&b);
    return 0;
}
