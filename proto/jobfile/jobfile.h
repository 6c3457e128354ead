/* jobfile.h - the job file: YAML text in, checked values or all findings out.
 *
 * One table (schema.def) serves struct, checks, defaults, help and docs. All faults of a file are
 * reported at once, each with line, column, dotted key, the value, what is allowed and the nearest
 * known key. Client and daemon check with this same library; the original bytes are kept.
 */
#ifndef JOBFILE_JOBFILE_H
#define JOBFILE_JOBFILE_H

#include "base/buf.h"
#include "base/err.h"
#include "jobfile/findings.h"
#include "structure/shape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOBFILE_MAX_BYTES (1u << 20)

struct jobfile {
#define SECTION(key, help)
#define INT(member, key, def, lo, hi, help) int64_t member;
#define REAL(member, key, def, lo, hi, help) double member;
#define BOOL(member, key, def, help) bool member;
#define TEXT(member, key, def, max, help) char *member;
#define PATH(member, key, def, help) char *member; /* absolute once checked; "" = not set */
#define ENUM(member, key, def, list, help) int member;
#include "jobfile/schema.def"
    /* No keys: what the parse finds out. */
    int64_t vocabulary_words; /* counted in data.vocabulary; 0 = it could not be read */
    bool starts_frozen;       /* the search has its structure from the start: nothing is searched */
    int64_t frozen_params;    /* parameters that structure keeps; 0 = it could not be read here */
};

/* Order of the lists in schema.def; a static test compares them. */
enum on_stall { STALL_TELL, STALL_RESTART };
enum model_size { SIZE_TINY, SIZE_SMALL, SIZE_LARGE };
enum lr_schedule { SCHEDULE_CONSTANT, SCHEDULE_DROP, SCHEDULE_COSINE };
enum phase_data { DATA_PRETRAIN, DATA_TASK, DATA_BOTH };
enum method_mask { MASK_SOFT, MASK_HARD };
enum align_step { ALIGN_PROXIMAL, ALIGN_GRADIENT, ALIGN_NONE };
enum align_source { ALIGN_BOTH, ALIGN_USER };
enum on_collapse { COLLAPSE_WARN, COLLAPSE_STOP, COLLAPSE_IGNORE };
enum evaluate_weights { WEIGHTS_RAW, WEIGHTS_EMA };
enum export_dtype { EXPORT_F32, EXPORT_F16 };
enum resources_launcher { LAUNCHER_AUTO, LAUNCHER_MPIRUN, LAUNCHER_SLURM };
enum train_wire { WIRE_F32, WIRE_BF16 };
enum train_precision { PRECISION_F32, PRECISION_BF16 };
enum train_recompute { RECOMPUTE_NONE, RECOMPUTE_BLOCK };
enum best_by { BEST_LOSS, BEST_P1, BEST_P5, BEST_P10, BEST_P1_MACRO, BEST_P1_GIOU, BEST_COUNT };

struct jobfile_override {
    const char *key, *value;
};

/* Where every PATH must lie, symbolic links followed. Nothing is told about files outside, not even whether they are
 * there. n 0: anywhere. */
struct jobfile_roots {
    const char *const *dir; /* absolute */
    int n;
};

/* What a submission is made of; borrowed. */
struct jobfile_source {
    const char *text;
    size_t len;
    const char *folder; /* resolves relative paths */
    const struct jobfile_override *over;
    int n_over;
    bool check_paths; /* set PATHs must exist and be readable: not for a client on another host */
    struct jobfile_roots roots; /* looked at with check_paths */
    const char *structure; /* JSON beside the file, in the place of method.structure; NULL = none */
    size_t structure_len;
};

/* Parses and checks everything that can be told from the text: syntax, unknown keys, types, ranges,
 * combinations (including the reachable target).
 * *ret_job is set (the caller destroys it) only when there is no error. Returns ST_OK or ST_INVALID
 * (see findings) or ST_NOMEM; of a file without errors, what is wrong with source->structure, which has no finding:
 * ST_INVALID, ST_UNSUPPORTED or ST_LIMIT. */
enum status jobfile_parse(struct jobfile **ret_job, const struct jobfile_source *source,
                          struct findings *ret_findings, struct err *err);
void jobfile_destroy(struct jobfile *job);

/* The effective job file with every value, as YAML (recorded with each job). */
void jobfile_print(const struct jobfile *job, struct buf *out);
/* Help of all keys as text or as the table of docs/spec/job-file.md. */
void jobfile_help(struct buf *out, bool markdown);
/* The same as a manual page, espalier-job-file(5). */
void jobfile_manual(struct buf *out, const char *version);
/* Key number i, dotted, in the order of the help; NULL behind the last. */
const char *jobfile_key_at(int i);

/* ---- what a job will do, from the file alone (jobfile/plan.c) -------------------------------- */

/* Model numbers with `size` filled in and the vocabulary counted (0 = no vocabulary file set or
 * readable). */
void jobfile_model_shape(const struct jobfile *job, struct model_shape *ret_shape);
void jobfile_frame_options(const struct jobfile *job, struct frame_options *ret_options);

struct job_plan {
    struct model_count dense;
    int64_t params_target, params_smallest;
    int64_t steps;        /* of all phases */
    int64_t step_bytes;   /* a rank: activations and gradients between layers, estimate */
    int64_t memory_bytes; /* a rank, estimate; step_bytes is in it */
    int n_notes;
    char notes[8][160];
};
enum status jobfile_plan(const struct jobfile *job, struct job_plan *ret_plan, struct err *err);

#endif
