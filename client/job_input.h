/* job_input.h - a job file from the command line: FILE (or "-"), its folder, the --set list, the first check. */
#ifndef CLIENT_JOB_INPUT_H
#define CLIENT_JOB_INPUT_H

#include "client/cli.h"
#include "jobfile/jobfile.h"

struct job_input {
    struct buf text;                        /* the bytes as they are */
    const char *name;                       /* for messages; borrowed */
    char *folder;                           /* owned; absolute; where relative paths start */
    struct jobfile_override over[ARGS_MAX]; /* keys owned, values borrowed */
    int n_over;
    struct jobfile *job; /* owned; NULL while the check has errors */
    struct findings findings;
};

extern const struct option_row job_input_options[]; /* --set */

/* Reads and checks. ST_OK with job set; ST_INVALID with findings, which the caller prints; other failures
 * have only err. job_input_fini() in every case. check_paths: the daemon's files are ours. */
enum status job_input_load(struct job_input *in, const struct args *args, bool check_paths,
                           struct err *err);
void job_input_fini(struct job_input *in);

/* Findings to stderr. */
void job_input_print_findings(struct cli *cli, const struct job_input *in);
/* {"findings": [...]} as job.proto has them. */
struct json_object *findings_json(const struct findings *findings);

#endif
