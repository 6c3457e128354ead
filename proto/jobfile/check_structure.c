/* check_structure.c - a structure that a search starts from must be one of the job's own model. */
#include "base/file.h"
#include "jobfile/parse.h"

#define STRUCTURE_MAX (64u << 20)

enum status start_frozen(struct jobfile *job, const char *json, size_t len, struct err *err)
{
    struct model_shape shape;
    struct frame *own = NULL, *frame = NULL;
    struct structure *st = NULL;
    if (job->search_steps == 0)
        return err_set(err, ST_INVALID,
                       "a structure needs phases.search.steps: in it the weights are drawn towards "
                       "the structure before they are cut");
    TRY(plan_frame(job, &shape, &own, err));
    enum status rc = structure_read_json(&frame, &st, json, len, err);
    if (rc == ST_OK) {
        rc = frame_match(frame, own, err);
        if (rc != ST_OK)
            err_prefix(err, "the structure is of another model than the job file's");
    }
    if (rc == ST_OK) {
        struct structure_count count;
        structure_count(st, &count);
        job->frozen_params = count.whole;
    }
    structure_destroy(st);
    frame_destroy(frame);
    frame_destroy(own);
    if (rc != ST_CORRUPT)
        return rc;
    if (err)
        err->code = ST_INVALID; /* nothing that is kept is damaged: what was given is wrong */
    return ST_INVALID;
}

void check_structure(struct parse *p)
{
    struct buf text;
    struct err err;
    const char *path = p->job->method_structure;
    p->job->starts_frozen = path[0] || p->source->structure;
    if (!path[0] || !p->source->check_paths || p->place[KEY_method_structure].bad)
        return;
    buf_init(&text, STRUCTURE_MAX);
    enum status st = file_read(&text, path, &err);
    if (st == ST_OK)
        st = start_frozen(p->job, buf_str(&text), text.len, &err);
    if (st != ST_OK)
        complain(p, KEY_method_structure, false, "%s", err.text);
    buf_fini(&text);
}
