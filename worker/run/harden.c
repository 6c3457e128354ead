/* harden.c - the structure becomes the model: pruned groups go, shared rows are stored once
 * (method.md 6.5).
 *
 * The alignment gap is a result: accuracy right before (the model as it was trained, unmasked)
 * and right after.
 */
#include "run/run.h"

/* What hardening will drop or replace, as norms. */
static void put_alignment(struct run *r)
{
    struct align_report a;
    align_measure(model_params(r->model), r->structure, &a);
    struct json_object *o = json_object_new_object();
    json_object_object_add(o, "r_align", json_object_new_double(a.r_align));
    json_object_object_add(o, "zero_norm_median", json_object_new_double(a.zero_norm));
    json_object_object_add(o, "pair_norm_median", json_object_new_double(a.pair_norm));
    json_object_object_add(o, "zero_groups", json_object_new_int(a.zero_groups));
    json_object_object_add(o, "pairs", json_object_new_int(a.pairs));
    json_object_object_add(r->result, "alignment", o);
}

enum status stage_harden(struct run *r, struct err *err)
{
    if (!r->state.hardened) {
        put_alignment(r);
        binding_use_frozen(model_binding(r->model), r->structure);
        TRY(evaluate_model(r, "searched", NULL, err));
        TRY(run_agree(r, run_remodel(r, true, false, err), err));
        run_drop_hypernet(r);
    }
    return evaluate_model(r, "hardened", r->structure, err);
}
