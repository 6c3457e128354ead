/* run.h - one job on one rank: what the recipes share.
 *
 * recipe.c walks the stages in order; each stage can be entered at any step, because run_state and
 * the blocks of a checkpoint are all there is to know. Every rank executes the same calls in the
 * same order; what only rank 0 does (files, reports) is followed by run_agree(), so that no rank
 * goes on alone.
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "comm/comm.h"
#include "engine/backend/backend.h"
#include "engine/core/ctx.h"
#include "engine/core/trace.h"
#include "engine/hypernet/hypernet.h"
#include "engine/model/model.h"
#include "engine/optim/optim.h"
#include "report/report.h"
#include "run/corpus.h"
#include "run/folder.h"
#include "run/pulse.h"

#include <json-c/json.h>

/* In the order of the recipe; names are those of the wire and of result.json's seconds_by_phase. */
#define STAGE_LIST(X)                                                                              \
    X(STAGE_WARMUP, "warmup")                                                                      \
    X(STAGE_PRETRAIN, "pretrain")                                                                  \
    X(STAGE_TASK, "task")                                                                          \
    X(STAGE_DENSE, "dense")                                                                        \
    X(STAGE_CONTROL, "control")                                                                    \
    X(STAGE_SEARCH, "search")                                                                      \
    X(STAGE_HARDEN, "harden")                                                                      \
    X(STAGE_FINETUNE, "finetune")                                                                  \
    X(STAGE_EVALUATE, "evaluate")                                                                  \
    X(STAGE_EXPORT, "export")
#define X(id, name) id,
enum stage { STAGE_LIST(X) STAGE_COUNT };
#undef X
const char *stage_name(enum stage s);

/* The training stages' numbers, from the job file. */
struct phase_plan {
    int64_t steps, warmup_steps;
    double lr, lr_vision, lr_text, drop_at, dense;
    int schedule; /* enum lr_schedule */
    int data;     /* enum phase_data */
};
/* steps = 0 for stages that do not train. */
struct phase_plan phase_plan_of(const struct jobfile *job, enum stage s);

struct run_state {
    enum stage stage;
    int64_t step;       /* weight steps done in the stage */
    int64_t total_step; /* over all stages */
    int64_t skipped;    /* steps with NaN or Inf, ever */
    int nan_row;        /* and in a row now */
    int collapse_row;   /* reports of the stage in a row by which all queries answer alike */
    bool hardened;      /* the model is compact */
    int64_t frozen_at;  /* step of the search at which the structure was frozen; -1 before */
    int64_t hyper_steps;
    int version; /* structure read-outs that differed, so far */
    double kept; /* P/P_total of the newest read-out; 1 before */
    /* By enum best_by: the moving average of the stage's training loss; scores of the weights as they are. NaN: not
     * measured. */
    double metric[BEST_COUNT];
    double sampled;    /* P/P_total of the last hypernetwork step's sample */
    double hyper_loss; /* its L_task on the held-out batch */
    double seconds[STAGE_COUNT];
    double hyper_seconds; /* part of the search */
};

struct run {
    struct job_folder *folder; /* borrowed */
    const struct jobfile *job;
    struct comm *comm;     /* borrowed */
    struct report *report; /* rank 0; NULL elsewhere */
    struct pulse *pulse;   /* NULL: nobody looks from outside */
    const struct backend *backend;
    struct ctx *cx;
    struct corpus *corpus;
    struct model_shape shape;
    struct frame *frame;
    struct model *model;
    real *ema;              /* layout of the model's table */
    struct adamw *opt;      /* of the stage that trains; NULL else */
    struct reduce *reduce;  /* of the stage that trains, for the model's gradient */
    struct trace *trace;    /* NULL: nobody wants one */
    int64_t trace_zero_ns;  /* when all ranks had begun */
    int64_t trace_left;     /* steps of this phase still to be recorded */
    struct hypernet *hyper; /* during a search, before the freeze */
    struct adamw *hyper_opt;
    struct loader *held_out;     /* the hypernetwork's data, while the search runs */
    struct structure *structure; /* newest read-out; frozen; hardened */
    struct run_state state;
    struct json_object *result; /* what result.json will hold */
    double step_seconds[32];    /* ring of recent ones, for the ETA */
    int64_t steps_timed;
    int64_t stage_entered_ns;
    int64_t resumed_step;
};

/* What computes, by train.precision; ST_UNSUPPORTED names the remedy where the processor cannot. Borrowed, static. */
enum status run_backend(const struct backend **ret_be, const struct jobfile *job, struct err *err);

/* As at creation: no model, no optimiser, the whole structure, nothing done. Of what was loaded nothing stays. */
void run_forget(struct run *r);

enum status run_create(struct run **ret_run, struct job_folder *folder, struct comm *comm,
                       struct err *err);
void run_destroy(struct run *r);

/* The whole recipe from wherever the newest checkpoint stands. ST_CANCELLED when a stop was asked
 * for (a checkpoint is written). Collective. */
enum status run_recipe(struct run *r, struct err *err);

/* Ends collectively: if any rank failed, every rank returns the status and the sentence of the lowest that did. */
enum status run_agree(struct run *r, enum status st, struct err *err);
/* SIGTERM on any rank, or the coordinator's word on rank 0; not collective. */
bool run_stop_wanted(struct run *r);
void run_catch_sigterm(void);

/* A line in the log and a note to the coordinator; rank 0 only, others do nothing. */
void run_note(struct run *r, enum report_severity severity, const char *fmt, ...) BASE_PRINTF(3, 4);
void run_metric(struct run *r, const char *name, double value, const char *unit);
void run_progress(struct run *r, const struct phase_plan *plan, double loss);
void run_time_step(struct run *r, double seconds);
/* Books the time since the last call to a stage. */
void run_book_time(struct run *r, enum stage s);
static inline bool run_root(const struct run *r)
{
    return r->comm->rank == 0;
}

/* ---- checkpoint.c ---------------------------------------------------------------------------- */

/* checkpoints/step-N.safetensors, then the older ones go. Collective. */
enum status run_checkpoint(struct run *r, struct err *err);
/* Newest that is whole; a damaged one is named and passed over. None: ST_OK, *ret_resumed is false and all is as after
 * run_create(), on every rank. Collective. */
enum status run_resume(struct run *r, bool *ret_resumed, struct err *err);
/* Rank 0, before the resume: sets aside what a `retry --from` leaves behind. rewind.c */
enum status run_rewind(struct run *r, struct err *err);
/* checkpoints/dense.safetensors: the dense model between task and control. Collective. */
enum status run_save_dense(struct run *r, struct err *err);
enum status run_load_dense(struct run *r, struct err *err);

/* ---- model.c: the model of the current stage ------------------------------------------------- */

/* Makes r->model dense (with a warm-up head or not) or compact, carrying values and EMA over. */
enum status run_remodel(struct run *r, bool compact, bool warmup_head, struct err *err);
void run_restart_ema(struct run *r); /* the EMA becomes the weights as they are */
enum status run_fresh_optimiser(struct run *r, struct err *err);
enum status run_fresh_hypernet(struct run *r, struct err *err); /* with its optimiser */
void run_drop_hypernet(struct run *r);
void run_drop_model(struct run *r); /* with EMA, optimiser and hypernetwork */
/* Exchanges the model's values with the EMA's. */
void run_swap_ema(struct run *r);

/* ---- step.c, train.c ------------------------------------------------------------------------- */

typedef struct tensor *(*loss_f)(struct ctx *, struct model *, const struct batch *,
                                 struct model_losses *);

struct step_result {
    struct model_losses losses; /* of the global batch */
    bool skipped;               /* NaN or Inf: nothing changed */
    bool stop;                  /* some rank was asked to stop */
    double lr[PARAM_GROUPS];
};
/* What a stage adds around its weight steps; all but loss may be NULL. */
struct train_hooks {
    loss_f loss;
    void (*bind)(struct run *r); /* the model as the stage's weight steps run it */
    enum status (*before)(struct run *r, const struct phase_plan *plan, struct err *err);
    /* Adds to the gradient after L_task's was clipped; runs alike on every rank. */
    enum status (*pull_gradient)(struct run *r, const struct phase_plan *plan, struct err *err);
    enum status (*after)(struct run *r, const struct phase_plan *plan,
                         const struct step_result *step, struct err *err);
};
/* One weight step over the global batch. Collective. */
enum status weight_step(struct run *r, struct loader *loader, const struct phase_plan *plan,
                        const struct train_hooks *hooks, struct step_result *ret, struct err *err);
/* The rest of the current stage's steps: checkpoints, reports, NaN and collapse guards, stop.
 * Collective. */
enum status train_stage(struct run *r, const struct train_hooks *hooks, struct err *err);

/* ---- start.c --------------------------------------------------------------------------------- */

/* The structure that the search starts frozen on, if the job has one. Collective. */
enum status run_start_structure(struct run *r, struct structure *to, bool *ret_any,
                                struct err *err);

/* ---- one file a stage: search.c harden.c evaluate.c export.c --------------------------------- */

enum status stage_warmup(struct run *r, struct err *err);
enum status stage_dense_training(struct run *r, struct err *err); /* pretrain, task */
enum status stage_dense(struct run *r, struct err *err);
enum status stage_control(struct run *r, struct err *err);
enum status stage_search(struct run *r, struct err *err);
enum status stage_harden(struct run *r, struct err *err);
enum status stage_finetune(struct run *r, struct err *err);
enum status stage_evaluate(struct run *r, struct err *err);
enum status stage_export(struct run *r, struct err *err);

/* The scores of the weights as they are, into run_state's metric. Collective. */
enum status evaluate_checkpoint(struct run *r, struct err *err);
void run_forget_metrics(struct run *r, enum best_by from); /* this one and those after it */

/* Scores the evaluation set with the job's choice of weights and puts the row `name` into the
 * result: params_whole ... p1_by_family. st: the structure whose counts the row shows (NULL =
 * dense). Collective. */
enum status evaluate_model(struct run *r, const char *name, const struct structure *st,
                           struct err *err);

/* export/dense/model.safetensors where the job file asks for it. Rank 0; others do nothing. */
enum status export_dense_model(struct run *r, struct err *err);

/* ---- timeline.c ------------------------------------------------------------------------------ */

/* Makes r->trace where job file or command line ask for one. */
enum status timeline_open(struct run *r, struct err *err);
/* Records the first train.trace_steps weight steps from here on. */
void timeline_phase(struct run *r);
/* After each weight step; after the last one recorded, and after the 1st, 2nd, 4th, 8th ... of a phase, writes trace.json anew
 * with all that was recorded so far. Collective. */
enum status timeline_step(struct run *r, struct err *err);
/* The same at the end of a phase that had fewer steps, or was stopped among them. Collective. */
enum status timeline_write(struct run *r, struct err *err);

/* ---- record.c -------------------------------------------------------------------------------- */

/* result.json, reproduce.json; and every file as an artifact. Rank 0. */
enum status write_reproduce(struct run *r, struct err *err);
enum status write_result(struct run *r, struct err *err);
enum status report_file(struct run *r, const char *name, struct err *err);

#endif
