/* jobtest.h - what the job file's tests share: a folder with data files, and "this text has this
 * finding". */
#ifndef TESTS_JOBTEST_H
#define TESTS_JOBTEST_H

#include "jobfile/jobfile.h"

/* A job that is accepted without a word; tests append to it or replace it. */
extern const char jobtest_good[];
#define JOBTEST_WORDS 60 /* lines of words.txt */

/* One text and what must be said about it. */
struct jobtest_case {
    const char *text; /* the whole job file, or NULL: jobtest_good */
    const char *more; /* appended to it; NULL = nothing */
    const char *key;  /* a finding with this key, */
    const char *says; /* whose sentence holds this */
    int line, column; /* and this place; line -1: anywhere */
    bool warning;
    int errors; /* errors in all; 0 with a warning */
};

/* Group fixtures: a temp folder with pretrain.json task.json eval.json words.txt and a folder
 * "sub". */
int jobtest_setup(void **state);
int jobtest_teardown(void **state);
const char *jobtest_folder(void);

/* Parses with the temp folder; asserts nothing. */
enum status jobtest_parse(struct jobfile **ret_job, const char *text,
                          const struct jobfile_override *over, int n_over,
                          struct findings *ret_findings, struct err *err);
/* A job that must be good; the caller destroys it. */
struct jobfile *jobtest_job(const char *more);

/* Fails the test, printing all findings, unless every case has its finding and its number of
 * errors. */
void jobtest_run(const struct jobtest_case *cases, int n);

/* First finding with the key whose text holds `says`; NULL if none. */
const struct finding *jobtest_find(const struct findings *f, const char *key, const char *says);

#endif
