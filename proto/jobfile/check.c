/* check.c - what can only be told from several keys together.
 *
 * Each check is one function; check_all is their list. A check whose keys already have a fault
 * stays silent.
 */
#include "jobfile/keep.h"
#include "jobfile/parse.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct phase {
    const char *name;
    enum key_id steps, lr, warmup_steps, data;
};

#define PHASE_ROW(p)                                                                               \
    {                                                                                              \
#p, KEY_##p##_steps, KEY_##p##_lr, KEY_##p##_warmup_steps, KEY_##p##_data                  \
    }
static const struct phase phases[] = {
    PHASE_ROW(warmup),  PHASE_ROW(pretrain), PHASE_ROW(task),
    PHASE_ROW(control), PHASE_ROW(search),   PHASE_ROW(finetune),
};
#define NPHASES ((int)(sizeof phases / sizeof *phases))

static bool good(const struct parse *p, int key)
{
    return !p->place[key].bad;
}

/* A key's value when it has no fault, else the fallback that keeps a check silent. */
static int64_t steps_of(const struct parse *p, const struct phase *ph)
{
    return good(p, ph->steps) ? *key_int(p->job, ph->steps) : 0;
}

static const char *text_of(const struct parse *p, int key)
{
    return *key_text(p->job, key);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Where a file of this kind comes from. */
static const char *origin_of(int key)
{
    if (key == KEY_data_vocabulary)
        return "; `espalier data words` makes one from annotation files";
    if (strncmp(schema_keys[key].key, "data.", 5) == 0)
        return "; `espalier data make` makes a data set";
    return key == KEY_model_init ? "; `espalier pull JOB` fetches an exported model" : "";
}

/* The first folder of the path that is not there, so that a slip in the middle shows; "" = only the file is missing. */
static void missing_folder(const char *path, char *out, size_t size)
{
    *out = '\0';
    for (const char *slash = path; (slash = strchr(slash + 1, '/'));) {
        snprintf(out, size, "%.*s", (int)(slash - path), path);
        if (access(out, F_OK) < 0)
            return;
    }
    *out = '\0';
}

static void complain_missing(struct parse *p, int key, const char *path, int error)
{
    char folder[160];
    missing_folder(path, folder, sizeof folder);
    if (strstr(path, "/~/"))
        complain(p, key, false, "%s: %s; ~ is not expanded here, write the folder out", path,
                 strerror(error));
    else if (folder[0] && error == ENOENT)
        complain(p, key, false,
                 "%s: %s: there is no folder %s; relative paths start at the job file's folder%s",
                 path, strerror(error), folder, origin_of(key));
    else
        complain(p, key, false, "%s: %s; correct the path, or put the file there%s", path,
                 strerror(error), error == ENOENT ? origin_of(key) : "");
}

static void check_path(struct parse *p, int key)
{
    struct stat sb;
    if (schema_keys[key].type != TYPE_PATH || !good(p, key))
        return;
    const char *path = text_of(p, key);
    if (!path[0])
        return;
    p->place[key].bad = true;
    if (!check_root(p, key, path))
        return;
    if (stat(path, &sb) < 0)
        complain_missing(p, key, path, errno);
    else if (!S_ISREG(sb.st_mode))
        complain(p, key, false, "%s is %s; a file is expected", path,
                 S_ISDIR(sb.st_mode) ? "a folder" : "not a regular file");
    else if (access(path, R_OK) < 0)
        complain(p, key, false, "%s cannot be read: %s; the daemon's account must be able to", path,
                 strerror(errno));
    else
        p->place[key].bad = false;
}

static void check_paths(struct parse *p)
{
    for (int i = 0; p->source->check_paths && i < KEY_COUNT; i++)
        check_path(p, i);
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void check_some_phase(struct parse *p)
{
    bool any = false, known = true;
    for (int i = 0; i < NPHASES; i++) {
        any |= steps_of(p, &phases[i]) > 0;
        known &= good(p, phases[i].steps);
    }
    if (!any && known)
        findings_add(
            p->findings, false, 0, 0, "phases",
            "no phase has any steps, so there is nothing to do; give at least one, such as "
            "phases.pretrain.steps: 1000");
}

static void need_data(struct parse *p, const struct phase *ph, int key)
{
    if (good(p, key) && !text_of(p, key)[0])
        complain(p, ph->steps, false, "the phase %s trains on %s, which is not set", ph->name,
                 schema_keys[key].key);
}

static void check_phase_data(struct parse *p)
{
    bool any = false;
    for (int i = 0; i < NPHASES; i++) {
        const struct phase *ph = &phases[i];
        if (steps_of(p, ph) == 0 || !good(p, ph->data))
            continue;
        any = true;
        int data = *key_enum(p->job, ph->data);
        if (data != DATA_TASK)
            need_data(p, ph, KEY_data_pretrain);
        if (data != DATA_PRETRAIN)
            need_data(p, ph, KEY_data_task);
    }
    if (any && good(p, KEY_data_vocabulary) && !text_of(p, KEY_data_vocabulary)[0])
        findings_add(p->findings, false, 0, 0, "data.vocabulary",
                     "is not set; it names the word list that `espalier data make` writes");
    if (any && good(p, KEY_data_eval) && !text_of(p, KEY_data_eval)[0])
        findings_add(p->findings, true, 0, 0, "data.eval",
                     "is not set, so nothing will be evaluated");
}

static void check_phase_rates(struct parse *p)
{
    for (int i = 0; i < NPHASES; i++) {
        const struct phase *ph = &phases[i];
        int64_t steps = steps_of(p, ph), warm = *key_int(p->job, ph->warmup_steps);
        if (steps == 0)
            continue;
        if (good(p, ph->lr) && *key_real(p->job, ph->lr) == 0)
            complain(p, ph->lr, false, "is 0 in a phase of %lld steps; nothing would be learned",
                     (long long)steps);
        if (good(p, ph->warmup_steps) && warm >= steps)
            complain(p, ph->steps, true,
                     "%lld steps end before the learning rate's warm-up of %lld (%s) does",
                     (long long)steps, (long long)warm, schema_keys[ph->warmup_steps].key);
    }
}

static void check_start(struct parse *p)
{
    const struct phase *warmup = &phases[0], *pretrain = &phases[1], *task = &phases[2];
    bool init = !good(p, KEY_model_init) || text_of(p, KEY_model_init)[0];
    int64_t first = steps_of(p, warmup) + steps_of(p, pretrain) + steps_of(p, task);
    bool search = steps_of(p, &phases[4]) > 0;
    if (init && good(p, KEY_model_init) && steps_of(p, warmup) > 0)
        complain(p, KEY_warmup_steps, true,
                 "the warm-up is for untrained weights, but model.init is set; 0 skips it");
    if (search && !init && first == 0)
        complain(p, KEY_search_steps, true,
                 "a search starts best from trained weights: set model.init, or steps of "
                 "phases.pretrain and phases.task");
    if (steps_of(p, &phases[5]) > 0 && !search && !init && good(p, KEY_search_steps))
        complain(p, KEY_finetune_steps, false,
                 "there is no hardened model to fine-tune: give phases.search.steps, or use "
                 "phases.task for a dense one");
}

/* ---- batch and ranks ------------------------------------------------------------------------- */

static void check_batch(struct parse *p)
{
    if (!good(p, KEY_train_batch) || !good(p, KEY_resources_ranks) ||
        !good(p, KEY_train_micro_batch))
        return;
    const struct jobfile *job = p->job;
    long long batch = job->train_batch, ranks = job->resources_ranks;
    long long micro = job->train_micro_batch;
    int key = p->place[KEY_train_batch].set ? KEY_train_batch : KEY_resources_ranks;
    if (batch < ranks)
        complain(p, key, false, "a batch of %lld leaves some of %lld ranks without a sample", batch,
                 ranks);
    else if (batch % ranks)
        complain(p, key, false,
                 "a batch of %lld does not divide by %lld ranks; use train.batch %lld or %lld",
                 batch, ranks, batch / ranks * ranks, (batch / ranks + 1) * ranks);
    else if (micro && (batch / ranks) % micro)
        complain(
            p, KEY_train_micro_batch, false,
            "%lld does not divide the %lld samples a rank has of each batch (%lld / %lld ranks)",
            micro, batch / ranks, batch, ranks);
}

/* ---- model ----------------------------------------------------------------------------------- */

struct divides {
    enum key_id whole, part;
    const char *why;
};
static const struct divides divides[] = {
    {KEY_model_image, KEY_model_patch, "patches"},
    {KEY_model_width, KEY_model_heads, "heads"},
    {KEY_model_fusion_width, KEY_model_fusion_heads, "heads"},
};

/* Where to point: at the number that was written, not at the one that came from the size. */
static int written(const struct parse *p, int first, int second)
{
    if (p->place[first].set)
        return first;
    return p->place[second].set ? second : KEY_model_size;
}

static void check_divides(struct parse *p, const struct divides *d)
{
    if (!good(p, d->whole) || !good(p, d->part))
        return;
    long long whole = effective_int(p->job, d->whole), part = effective_int(p->job, d->part);
    if (part <= whole && whole % part == 0)
        return;
    complain(p, written(p, d->part, d->whole), false, "%s %lld does not divide into %s of %s %lld",
             schema_keys[d->whole].key, whole, d->why, schema_keys[d->part].key, part);
    p->place[d->whole].bad = p->place[d->part].bad = true;
}

static bool model_good(const struct parse *p)
{
    for (int i = KEY_model_kind; i < KEY_model_init; i++)
        if (!good(p, i))
            return false;
    return true;
}

/* A sentence of structure/shape.h. It opens with the key it is about, where there is one. */
static void complain_model(struct parse *p, const char *text)
{
    char word[JOBFILE_KEY_MAX];
    size_t n = strcspn(text, " ");
    snprintf(word, sizeof word, "%.*s", (int)n, text);
    int key = n < sizeof word ? schema_find(word) : -1;
    if (key >= 0)
        complain(p, key, false, "%s", text + n + (text[n] == ' '));
    else
        findings_add(p->findings, false, p->place[KEY_model_size].line,
                     p->place[KEY_model_size].column, "model", "%s", text);
}

/* True if the frame can be built; *ret_frame belongs to the caller then. */
static bool check_model(struct parse *p, struct model_shape *ret_shape, struct frame **ret_frame)
{
    for (size_t i = 0; i < sizeof divides / sizeof *divides; i++)
        check_divides(p, &divides[i]);
    int64_t patch = effective_int(p->job, KEY_model_patch);
    if (good(p, KEY_model_patch) && p->job->model_stem == STEM_CONV && (patch & (patch - 1))) {
        complain(p, KEY_model_patch, false,
                 "must be a power of two with `stem: conv`, got %lld; or use `stem: patch`",
                 (long long)patch);
        p->place[KEY_model_patch].bad = true;
    }
    if (!model_good(p))
        return false;
    struct err err;
    if (plan_frame(p->job, ret_shape, ret_frame, &err) == ST_OK)
        return true;
    complain_model(p, err.text);
    return false;
}

/* ---- method ---------------------------------------------------------------------------------- */

static void check_reachable(struct parse *p, const struct frame *frame)
{
    double target = p->job->method_target;
    long long smallest = frame_smallest(frame), whole = frame->total;
    if (target >= 1)
        complain(p, KEY_method_target, false,
                 "must be below 1: at 1 nothing is removed and no search is needed, got %g",
                 target);
    else if (floor(target * (double)whole) < (double)smallest) {
        /* Rounded up, so that the number in the sentence is itself accepted. */
        double reach = ceil((double)smallest / (double)whole * 1e4) / 1e4;
        complain(
            p, KEY_method_target, false,
            "%g of %lld parameters cannot be reached: with these settings the smallest model has "
            "%lld; use %.4f or more",
            target, whole, smallest, reach);
    }
}

static void check_target(struct parse *p)
{
    struct model_shape shape;
    struct frame *frame = NULL;
    bool built = check_model(p, &shape, &frame);
    bool search = steps_of(p, &phases[4]) > 0;
    if (search && good(p, KEY_method_prune) && good(p, KEY_method_share) && !p->job->method_prune &&
        !p->job->method_share)
        complain(p, KEY_method_prune, false,
                 "prune and share are both false, so the search has nothing to decide");
    else if (built && search && good(p, KEY_method_target))
        check_reachable(p, frame);
    frame_destroy(frame);
}

static bool below(struct parse *p, int low, int high, bool equal_allowed)
{
    if (!good(p, low) || !good(p, high))
        return false;
    double a = *key_real(p->job, low), b = *key_real(p->job, high);
    if (a < b || (equal_allowed && a == b))
        return true;
    int key = p->place[high].set ? high : low;
    complain(p, key, false, "%s %g must be %s %s %g", schema_keys[low].key, a,
             equal_allowed ? "at most" : "below", schema_keys[high].key, b);
    return false;
}

static void check_schedule(struct parse *p)
{
    int64_t steps = steps_of(p, &phases[4]);
    if (steps == 0)
        return;
    bool ordered = below(p, KEY_method_warm, KEY_method_freeze_at, false);
    below(p, KEY_method_freeze_at, KEY_method_freeze_latest, true);
    if (!ordered || !good(p, KEY_method_every) || p->job->starts_frozen)
        return;
    double part = p->job->method_freeze_at - p->job->method_warm;
    int64_t hyper = (int64_t)(part * (double)steps) / p->job->method_every;
    if (hyper < 20)
        complain(
            p, KEY_search_steps, true,
            "%lld steps with method.every %lld give %lld hypernetwork steps before the freeze; "
            "a search needs a few hundred to settle, and at least 20",
            (long long)steps, (long long)p->job->method_every, (long long)hyper);
}

static void check_pull(struct parse *p)
{
    if (steps_of(p, &phases[4]) == 0 || p->job->method_align_step == ALIGN_NONE)
        return;
    if (good(p, KEY_method_gamma_start) && p->job->method_gamma_start == 0)
        complain(
            p, KEY_method_gamma_start, false,
            "must be above 0, since the pull grows by a factor; `align_step: none` switches it "
            "off");
    if (good(p, KEY_method_gamma_end) && p->job->method_gamma_end == 0)
        complain(p, KEY_method_gamma_end, false,
                 "must be above 0; `align_step: none` switches the pull off");
}

static void check_results(struct parse *p)
{
    const struct jobfile *job = p->job;
    if (good(p, KEY_train_ema) && good(p, KEY_evaluate_weights) && job->train_ema == 0 &&
        job->evaluate_weights == WEIGHTS_EMA)
        complain(
            p, p->place[KEY_evaluate_weights].set ? KEY_evaluate_weights : KEY_train_ema, false,
            "evaluate.weights is ema, but train.ema 0 keeps no EMA; set evaluate.weights: raw");
    if (steps_of(p, &phases[4]) > 0 && good(p, KEY_export_shared) && good(p, KEY_export_expanded) &&
        !job->export_shared && !job->export_expanded)
        complain(p, KEY_export_shared, true,
                 "shared and expanded are both false, so the compressed model is not exported");
}

/* Checkpoints can only be compared by what is measured when they are written. */
static void check_best(struct parse *p)
{
    const struct jobfile *job = p->job;
    if (!good(p, KEY_checkpoint_best_by) || job->checkpoint_best_by == BEST_LOSS)
        return;
    const char *name = keep_metric_name((enum best_by)job->checkpoint_best_by);
    if (good(p, KEY_evaluate_at_checkpoints) && !job->evaluate_at_checkpoints)
        complain(p, KEY_checkpoint_best_by, false,
                 "%s is not measured: checkpoints of this job record loss alone; set "
                 "evaluate.at_checkpoints: true, which scores data.eval before each",
                 name);
    else if (good(p, KEY_data_eval) && !text_of(p, KEY_data_eval)[0])
        complain(p, KEY_checkpoint_best_by, false,
                 "%s is measured on data.eval, which is not set; use loss, or set data.eval", name);
}

void check_all(struct parse *p)
{
    check_paths(p);
    if (good(p, KEY_data_vocabulary))
        p->job->vocabulary_words = vocabulary_lines(p->job->data_vocabulary);
    check_some_phase(p);
    check_phase_data(p);
    check_phase_rates(p);
    check_start(p);
    check_batch(p);
    check_target(p);
    check_structure(p);
    check_schedule(p);
    check_pull(p);
    check_results(p);
    check_best(p);
    check_slurm(p);
}
