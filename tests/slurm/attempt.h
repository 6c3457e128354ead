/* attempt.h - the folders and the order of job i + 1, attempt 1, in a test of the Slurm launcher. */
#ifndef TEST_SLURM_ATTEMPT_H
#define TEST_SLURM_ATTEMPT_H

#include "base/file.h"
#include "launch/launch.h"

#include <stdio.h>

/* Below dir; the spec points to both paths. */
static inline enum status attempt_lay(const char *dir, int i, char job_dir[96],
                                      char attempt_dir[128], struct launch_spec *ret_spec,
                                      struct err *err)
{
    snprintf(job_dir, 96, "%s/%d", dir, i);
    snprintf(attempt_dir, 128, "%s/%d/attempts/1", dir, i);
    *ret_spec = (struct launch_spec){.job_id = i + 1,
                                     .attempt = 1,
                                     .job_dir = job_dir,
                                     .attempt_dir = attempt_dir,
                                     .name = "job",
                                     .ranks = 1,
                                     .threads = 1,
                                     .in_slurm = true,
                                     .request = "{\"ranks\": 1, \"threads\": 1}"};
    return file_mkdirs(attempt_dir, 0700, err);
}

#endif
