/* dataset.c - joins records and boxes, checks what crosses them, hands them out. See dataset.h. */
#include "engine/data/dataset.h"

#include "base/file.h"
#include "engine/data/dataset_raw.h"
#include "engine/data/image.h"
#include "engine/data/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dataset {
    struct raw raw;          /* records, spans, text; raw.box is freed once joined */
    char *path, *image_root; /* owned */
    int32_t *image;          /* [records] */
    int64_t *image_record;   /* [images]: a record that shows the picture */
    int32_t images;
    int64_t *first_box;     /* [records+1] */
    struct record_box *box; /* in record order */
};

static enum status no_memory(const struct dataset *set, struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for the %lld records of %s",
                   (long long)set->raw.records, set->path);
}

/* n zeroed elements; never asks for nothing. */
static void *array(int64_t n, size_t item)
{
    return calloc(n > 0 ? (size_t)n : 1, item);
}

/* ---- finding a record by id ------------------------------------------------------------------ */

struct id_index {
    int64_t id, record;
};

static int by_id(const void *a, const void *b)
{
    const struct id_index *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static enum status index_records(const struct dataset *set, struct id_index *index, struct err *err)
{
    int64_t n = set->raw.records;
    for (int64_t i = 0; i < n; i++)
        index[i] = (struct id_index){set->raw.record[i].id, i};
    qsort(index, (size_t)n, sizeof *index, by_id);
    for (int64_t i = 1; i < n; i++)
        if (index[i].id == index[i - 1].id)
            return err_set(err, ST_INVALID,
                           "%s: record id %lld occurs twice (entries %lld and %lld of \"images\"); "
                           "every caption needs its own id",
                           set->path, (long long)index[i].id, (long long)index[i - 1].record,
                           (long long)index[i].record);
    return ST_OK;
}

static enum status check_box_ids(const struct dataset *set, struct err *err)
{
    int64_t n = set->raw.boxes, *id = array(n, sizeof *id);
    if (!id)
        return no_memory(set, err);
    for (int64_t i = 0; i < n; i++)
        id[i] = set->raw.box[i].id;
    qsort(id, (size_t)n, sizeof *id, by_number);
    enum status st = ST_OK;
    for (int64_t i = 1; i < n && st == ST_OK; i++)
        if (id[i] == id[i - 1])
            st = err_set(err, ST_INVALID, "%s: annotation id %lld occurs twice", set->path,
                         (long long)id[i]);
    free(id);
    return st;
}

/* ---- one box against its record -------------------------------------------------------------- */

static enum status check_spans(const struct dataset *set, const struct raw_box *box,
                               const struct raw_record *record, int64_t caption_length,
                               struct err *err)
{
    for (int32_t k = 0; k < box->spans; k++) {
        const struct span *s = &set->raw.span[box->first_span + k];
        if (s->begin < s->end && s->end <= caption_length)
            continue;
        return err_set(
            err, ST_INVALID,
            "%s: annotation %lld: span [%d, %d) lies outside the caption of record %lld, "
            "which has %lld characters (code points)",
            set->path, (long long)box->id, s->begin, s->end, (long long)record->id,
            (long long)caption_length);
    }
    return ST_OK;
}

/* Cuts off what rounding lets hang over; false when the box is not inside the image. */
static bool place_box(struct record_box *ret, const double bbox[4], double width, double height)
{
    double x0 = bbox[0], y0 = bbox[1], x1 = x0 + bbox[2], y1 = y0 + bbox[3];
    for (int i = 0; i < 4; i++)
        if (!isfinite(bbox[i]))
            return false;
    if (!(bbox[2] > 0 && bbox[3] > 0 && x0 >= -1 && y0 >= -1 && x1 <= width + 1 &&
          y1 <= height + 1))
        return false;
    ret->x0 = (float)fmax(x0, 0);
    ret->y0 = (float)fmax(y0, 0);
    ret->x1 = (float)fmin(x1, width);
    ret->y1 = (float)fmin(y1, height);
    return ret->x1 > ret->x0 && ret->y1 > ret->y0;
}

static enum status join_box(struct dataset *set, const struct raw_box *box, int64_t record,
                            struct record_box *ret, struct err *err)
{
    const struct raw_record *r = &set->raw.record[record];
    if (!place_box(ret, box->bbox, r->width, r->height))
        return err_set(err, ST_INVALID,
                       "%s: annotation %lld: box [%g, %g, %g, %g] (x y w h) is empty or lies "
                       "outside the %dx%d image of record %lld",
                       set->path, (long long)box->id, box->bbox[0], box->bbox[1], box->bbox[2],
                       box->bbox[3], r->width, r->height, (long long)r->id);
    ret->spans = box->spans;
    ret->span = box->spans ? set->raw.span + box->first_span : NULL;
    return check_spans(set, box, r, utf8_length(set->raw.text + r->caption), err);
}

/* owner[k]: record of raw box k. Lays the boxes out in record order, keeping the file's order in
 * each. */
static enum status lay_boxes(struct dataset *set, const int64_t *owner, struct err *err)
{
    int64_t n = set->raw.boxes, records = set->raw.records;
    for (int64_t k = 0; k < n; k++)
        set->first_box[owner[k] + 1]++;
    for (int64_t i = 0; i < records; i++)
        set->first_box[i + 1] += set->first_box[i];
    int64_t *next = array(records, sizeof *next);
    if (!next)
        return no_memory(set, err);
    memcpy(next, set->first_box, (size_t)records * sizeof *next);
    enum status st = ST_OK;
    for (int64_t k = 0; k < n && st == ST_OK; k++)
        st = join_box(set, &set->raw.box[k], owner[k], &set->box[next[owner[k]]++], err);
    free(next);
    return st;
}

static enum status find_owners(const struct dataset *set, const struct id_index *index,
                               int64_t *owner, struct err *err)
{
    for (int64_t k = 0; k < set->raw.boxes; k++) {
        const struct raw_box *box = &set->raw.box[k];
        struct id_index key = {box->image_id, 0};
        const struct id_index *hit =
            bsearch(&key, index, (size_t)set->raw.records, sizeof *index, by_id);
        if (!hit)
            return err_set(err, ST_INVALID,
                           "%s: annotation %lld names image_id %lld, which no entry of \"images\" "
                           "has",
                           set->path, (long long)box->id, (long long)box->image_id);
        owner[k] = hit->record;
    }
    return ST_OK;
}

static enum status join(struct dataset *set, struct err *err)
{
    struct id_index *index = array(set->raw.records, sizeof *index);
    int64_t *owner = array(set->raw.boxes, sizeof *owner);
    set->first_box = array(set->raw.records + 1, sizeof *set->first_box);
    set->box = array(set->raw.boxes, sizeof *set->box);
    enum status st = ST_OK;
    if (!index || !owner || !set->first_box || !set->box)
        st = no_memory(set, err);
    if (st == ST_OK)
        st = index_records(set, index, err);
    if (st == ST_OK)
        st = check_box_ids(set, err);
    if (st == ST_OK)
        st = find_owners(set, index, owner, err);
    if (st == ST_OK)
        st = lay_boxes(set, owner, err);
    free(index);
    free(owner);
    free(set->raw.box);
    set->raw.box = NULL;
    return st;
}

/* ---- captions and pictures ------------------------------------------------------------------- */

static enum status check_record(const struct dataset *set, const struct raw_record *r,
                                struct err *err)
{
    int64_t length = utf8_length(set->raw.text + r->caption);
    if (length < 0)
        return err_set(err, ST_INVALID, "%s: record %lld: the caption is not valid UTF-8",
                       set->path, (long long)r->id);
    if (length > DATASET_CAPTION_MAX)
        return err_set(err, ST_LIMIT,
                       "%s: record %lld: the caption has %lld characters, at most %d are allowed; "
                       "shorten or split it",
                       set->path, (long long)r->id, (long long)length, DATASET_CAPTION_MAX);
    const char *name = set->raw.text + r->file_name;
    if (name[0] == '/' || !strncmp(name, "../", 3) || strstr(name, "/../"))
        return err_set(err, ST_INVALID,
                       "%s: record %lld: file_name \"%s\" must be a path inside the image folder",
                       set->path, (long long)r->id, name);
    return ST_OK;
}

struct named {
    const char *name;
    int64_t record;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->record > y->record) - (x->record < y->record);
}

static enum status number_images(struct dataset *set, struct named *order, struct err *err)
{
    int64_t n = set->raw.records;
    for (int64_t i = 0; i < n; i++)
        order[i] = (struct named){set->raw.text + set->raw.record[i].file_name, i};
    qsort(order, (size_t)n, sizeof *order, by_name);
    for (int64_t i = 0; i < n; i++) {
        bool same = i && !strcmp(order[i].name, order[i - 1].name);
        if (!same)
            set->image_record[set->images++] = order[i].record;
        set->image[order[i].record] = set->images - 1;
        const struct raw_record *a = &set->raw.record[set->image_record[set->images - 1]];
        const struct raw_record *b = &set->raw.record[order[i].record];
        if (a->width != b->width || a->height != b->height)
            return err_set(err, ST_INVALID,
                           "%s: records %lld and %lld show the same picture \"%s\" but disagree "
                           "about its size (%dx%d, %dx%d)",
                           set->path, (long long)a->id, (long long)b->id, order[i].name, a->width,
                           a->height, b->width, b->height);
    }
    return ST_OK;
}

static enum status find_images(struct dataset *set, struct err *err)
{
    int64_t n = set->raw.records;
    struct named *order = array(n, sizeof *order);
    set->image = array(n, sizeof *set->image);
    set->image_record = array(n, sizeof *set->image_record);
    enum status st = order && set->image && set->image_record ? number_images(set, order, err)
                                                              : no_memory(set, err);
    free(order);
    return st;
}

static enum status check_images(const struct dataset *set, struct err *err)
{
    for (int32_t i = 0; i < set->images; i++) {
        char *path = dataset_image_path(set, i);
        if (!path)
            return no_memory(set, err);
        const struct raw_record *r = &set->raw.record[set->image_record[i]];
        int width = 0, height = 0;
        enum status st = image_peek_png(&width, &height, path, err);
        if (st != ST_OK)
            err_prefix(err, "%s: record %lld", set->path, (long long)r->id);
        else if (width != r->width || height != r->height)
            st = err_set(err, ST_INVALID,
                         "%s: record %lld says %dx%d pixels, but picture %s has %dx%d", set->path,
                         (long long)r->id, r->width, r->height, path, width, height);
        free(path);
        TRY(st);
    }
    return ST_OK;
}

/* ---- interface ------------------------------------------------------------------------------- */

static enum status fill(struct dataset *set, const struct dataset_config *cfg, struct err *err)
{
    set->path = strdup(cfg->path);
    set->image_root = cfg->image_root ? strdup(cfg->image_root) : path_dir(cfg->path);
    if (!set->path || !set->image_root)
        return err_set(err, ST_NOMEM, "out of memory opening %s", cfg->path);
    TRY(raw_read(&set->raw, cfg->path, err));
    if (!set->raw.records)
        return err_set(err, ST_INVALID, "%s holds no records: \"images\" is empty", cfg->path);
    for (int64_t i = 0; i < set->raw.records; i++)
        TRY(check_record(set, &set->raw.record[i], err));
    TRY(find_images(set, err));
    TRY(join(set, err));
    return cfg->check_images ? check_images(set, err) : ST_OK;
}

enum status dataset_open(struct dataset **ret_set, const struct dataset_config *cfg,
                         struct err *err)
{
    struct dataset *set = calloc(1, sizeof *set);
    if (!set)
        return err_set(err, ST_NOMEM, "out of memory opening %s", cfg->path);
    enum status st = fill(set, cfg, err);
    if (st == ST_OK)
        *ret_set = set;
    else
        dataset_close(set);
    return st;
}

void dataset_close(struct dataset *set)
{
    if (!set)
        return;
    raw_fini(&set->raw);
    free(set->path);
    free(set->image_root);
    free(set->image);
    free(set->image_record);
    free(set->first_box);
    free(set->box);
    free(set);
}

const char *dataset_path(const struct dataset *set)
{
    return set->path;
}

int64_t dataset_count(const struct dataset *set)
{
    return set->raw.records;
}

void dataset_get(const struct dataset *set, int64_t i, struct record *ret_record)
{
    const struct raw_record *r = &set->raw.record[i];
    *ret_record = (struct record){
        .id = r->id,
        .original_id = r->original_id,
        .caption = set->raw.text + r->caption,
        .file_name = set->raw.text + r->file_name,
        .image = set->image[i],
        .width = r->width,
        .height = r->height,
        .family = r->family,
        .boxes = (int32_t)(set->first_box[i + 1] - set->first_box[i]),
        .box = set->box + set->first_box[i],
    };
}

int32_t dataset_images(const struct dataset *set)
{
    return set->images;
}

char *dataset_image_path(const struct dataset *set, int32_t image)
{
    const struct raw_record *r = &set->raw.record[set->image_record[image]];
    return path_join(set->image_root, set->raw.text + r->file_name);
}

int dataset_families(const struct dataset *set)
{
    return set->raw.families;
}

const struct dataset_family *dataset_family(const struct dataset *set, int family)
{
    return &set->raw.family[family];
}

int64_t dataset_boxes(const struct dataset *set)
{
    return set->raw.boxes;
}

enum status dataset_require_one_box(const struct dataset *set, struct err *err)
{
    for (int64_t i = 0; i < set->raw.records; i++) {
        int64_t n = set->first_box[i + 1] - set->first_box[i];
        if (n != 1)
            return err_set(err, ST_INVALID,
                           "%s: record %lld has %lld boxes; referring expressions are evaluated on "
                           "records with exactly one",
                           set->path, (long long)set->raw.record[i].id, (long long)n);
    }
    return ST_OK;
}
