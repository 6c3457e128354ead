/* check.h - the checker: one thread that parses and plans job files, so that neither gRPC's thread nor the loop waits
 * for a hostile file or a slow file system. At most CHECKS_MAX wait; more are refused. */
#ifndef SERVICE_CHECK_H
#define SERVICE_CHECK_H

#include "espalier/v1/job.pb-c.h"
#include "inbox.h"
#include "jobfile/jobfile.h"
#include "rpc/rpc.h"
#include "service/estimate.h"

#include <stdbool.h>

struct daemon;
struct checker;

#define CHECKS_MAX 64
#define CHECK_OVERRIDES_MAX 256
#define CHECK_OVERRIDE_BYTES (4u << 10) /* of one --set: its key and its value */
#define CHECK_OVERRIDES_BYTES                                                                      \
    (512u << 10) /* of all; as JSON they must fit into the job's folder and one message */
#define CHECK_REQUEST_ID_MAX 64

enum status checker_create(struct daemon *d, struct err *err);
void checker_stop(
    struct daemon *d); /* joins; what waits is posted unchecked, with ST_UNAVAILABLE */
void checker_destroy(struct daemon *d); /* after stop */

/* On the loop's thread: until all files that are here now, or came meanwhile, are in the inbox; not beyond a time of
 * clock_mono_ns(). */
void checker_wait(struct daemon *d, int64_t until_ns);

/* On gRPC's thread: take the call. */
void checker_submit(struct daemon *d, struct rpc_call *call,
                    const Espalier__V1__SubmitRequest *request);
void checker_validate(struct daemon *d, struct rpc_call *call,
                      const Espalier__V1__ValidateRequest *request);

/* A job file on its way through the checker. Messages of both RPCs, seen alike. */
struct check {
    struct message message; /* first member: back to the loop when it is checked */
    struct check *next;
    struct rpc_call *call;
    const Espalier__V1__SubmitRequest *submit; /* NULL: Validate */
    ProtobufCBinaryData job_file;              /* borrowed from the request, as all below */
    const char *file_name, *folder;
    Espalier__V1__Override **overrides;
    size_t n_overrides;

    enum status st; /* ST_OK: job and plan are there; ST_INVALID: findings, or err */
    struct err err;
    struct findings findings;
    struct jobfile *job;
    struct job_plan plan;
    char shape[ESTIMATE_SHAPE_MAX];
    struct estimate estimate; /* on the loop's thread, before it is answered */
    char cluster[256]; /* Validate: what Slurm says to sbatch --test-only; "" = it was not asked */
    struct err unfit;  /* Validate: why Submit would refuse it; code ST_OK = it would not */
    bool in_slurm;
    int64_t job_id; /* Submit: the job it became */
};
void check_free(void *check); /* not the call */

/* Whose the job's ranks will be; from the configuration alone, so any thread may ask (submit.c). */
bool job_goes_to_slurm(const struct daemon *d, const struct jobfile *f);

/* Served on the loop's thread (submit.c, validate.c); takes the call or returns an error. */
enum status serve_submit(struct daemon *d, struct check *c, struct err *err);
enum status serve_validate(struct daemon *d, struct check *c, struct err *err);

/* ST_LIMIT with the numbers if the job could not run even on this daemon's empty nodes (submit.c). */
enum status check_fits(const struct daemon *d, const struct check *c, struct err *err);

/* Replies of both carry these (validate.c). */
struct wire_check {
    Espalier__V1__Finding *finding, **findings;
    Espalier__V1__Plan plan;
    char *notes[10], time_note[200], unfit_note[ERR_TEXT_MAX + 40];
    Espalier__V1__PlanPhase phase[ESTIMATE_PHASES_MAX], *phases[ESTIMATE_PHASES_MAX];
};
bool wire_check_init(struct wire_check *w, struct check *c); /* false: out of memory */
void wire_check_fini(struct wire_check *w);

#endif
