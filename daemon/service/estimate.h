/* estimate.h - how long a job will take, from earlier ones of this daemon like it.
 *
 * Like it: the same model, batch and share of the machine, written down as one text, its shape. At Submit the steps of
 * each phase are kept with the shape; the times of phases are kept as workers report them. Nothing is known until a
 * job of the shape has ended a phase.
 */
#ifndef SERVICE_ESTIMATE_H
#define SERVICE_ESTIMATE_H

#include "base/err.h"
#include "jobfile/jobfile.h"

#include <stdint.h>

struct daemon;

#define ESTIMATE_SHAPE_MAX 320
#define ESTIMATE_PHASES_MAX 10

/* Reads the vocabulary: not on the loop's thread. */
void estimate_shape(const struct jobfile *job, char out[ESTIMATE_SHAPE_MAX]);

struct estimate {
    double seconds; /* of all phases; 0 = unknown */
    int jobs;       /* that it is from */
    int n;          /* phases with steps, and those beside them that are known */
    struct estimate_phase {
        const char *name; /* static */
        int64_t steps;    /* 0: a phase without weight steps */
        double seconds;   /* 0 = unknown */
        double sum;       /* of what was measured, and for how many steps or runs */
        int64_t over;
    } phase[ESTIMATE_PHASES_MAX];
    int64_t last_job;
};

/* The job's phases, nothing known; then every phase of an earlier job, jobs newest first; then the sums. Pure. */
void estimate_begin(struct estimate *e, const struct jobfile *job);
void estimate_add(struct estimate *e, int64_t job_id, const char *phase, int64_t steps,
                  double seconds);
void estimate_end(struct estimate *e);

/* On the loop's thread. keep: in the open group. load: ST_OK also when nothing is known. */
enum status estimate_keep(struct daemon *d, int64_t job_id, const char *shape,
                          const struct jobfile *job, struct err *err);
enum status estimate_load(struct daemon *d, const char *shape, const struct jobfile *job,
                          struct estimate *ret_estimate, struct err *err);

#endif
