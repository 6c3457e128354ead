/* frame.c - the sites of a model, in order, and where each may take groups from (method.md 1, 2).
 */
#include "structure/structure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const side_name[] = {"vision", "text"};
static const char *const part_name[] = {"msa", "ffn"};

static enum status shape_check(const struct side_shape *sh, enum side side, struct err *err)
{
    const char *name = side_name[side];
    if (sh->layers < 1 || sh->layers > FRAME_LAYERS_MAX)
        return err_set(err, ST_INVALID, "%s.layers must be 1 to %d, got %d", name, FRAME_LAYERS_MAX,
                       sh->layers);
    if (sh->width < 1 || sh->width > FRAME_WIDTH_MAX)
        return err_set(err, ST_INVALID, "%s.width must be 1 to %d, got %d", name, FRAME_WIDTH_MAX,
                       sh->width);
    if (sh->heads < 1 || sh->width % sh->heads)
        return err_set(err, ST_INVALID, "%s.heads must divide the width %d, got %d", name,
                       sh->width, sh->heads);
    if (sh->ffn < 1 || sh->ffn > FRAME_WIDTH_MAX)
        return err_set(err, ST_INVALID, "%s.ffn must be 1 to %d, got %d", name, FRAME_WIDTH_MAX,
                       sh->ffn);
    return ST_OK;
}

/* Groups of an MSA: its heads, or the larger heads of the two backbones where one count divides the
 * other. */
static int msa_groups(const struct frame *f, enum side side)
{
    const struct side_shape *own = &f->shape[side], *other = &f->shape[1 - side];
    bool joint = own->width == other->width && own->heads % other->heads == 0;
    return joint ? other->heads : own->heads;
}

static void site_fill(struct site *t, const struct frame *f, enum side side, int layer,
                      enum part part)
{
    const struct side_shape *sh = &f->shape[side];
    int64_t width = sh->width;
    *t = (struct site){.side = side, .part = part, .layer = layer, .source = -1};
    snprintf(t->name, sizeof t->name, "%s.%d.%s", side_name[side], layer, part_name[part]);
    if (part == PART_MSA) {
        t->groups = msa_groups(f, side);
        int64_t e = width / t->groups;
        t->cost = 4 * width * e;
        t->bias = 3 * e;
    } else {
        t->groups = sh->ffn;
        t->cost = 2 * width;
        t->bias = 1;
    }
}

static int site_index(const struct frame *f, enum side side, int layer, enum part part)
{
    return 2 * ((side == SIDE_TEXT ? f->shape[SIDE_VISION].layers : 0) + layer) + (int)part;
}

/* The vision layer that text layer l is paired with: floor((l + 0.5) * Lv / Lt). */
static int paired_layer(const struct frame *f, int l)
{
    int64_t Lv = f->shape[SIDE_VISION].layers, Lt = f->shape[SIDE_TEXT].layers;
    return (int)((2 * l + 1) * Lv / (2 * Lt));
}

static void site_link(struct frame *f, struct site *t)
{
    const struct frame_options *o = &f->options;
    bool msa = t->part == PART_MSA;
    bool cross = msa ? o->cross_msa : o->cross_ffn, block = msa ? o->block_msa : o->block_ffn;
    int base = t->layer - t->layer % o->block_size;
    if (t->side == SIDE_VISION) {
        t->no_source = "vision is where sharing starts";
    } else if (!o->share) {
        t->no_source = "sharing is off (method.share)";
    } else if (block && base != t->layer) {
        t->source = site_index(f, SIDE_TEXT, base, t->part);
    } else if (!cross) {
        t->no_source = msa ? "cross-modal sharing is off (method.cross_msa)"
                           : "cross-modal sharing is off (method.cross_ffn)";
    } else if (f->shape[0].width != f->shape[1].width) {
        t->no_source = "the backbones' widths differ";
    } else {
        int source = site_index(f, SIDE_VISION, paired_layer(f, t->layer), t->part);
        if (f->site[source].groups == t->groups)
            t->source = source;
        else
            t->no_source = msa ? "neither backbone's head count divides the other's"
                               : "the backbones' FFN widths differ";
    }
}

static enum status frame_fill(struct frame *f, struct err *err)
{
    int64_t groups = 0, matrices = 0;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < 2 * f->shape[side].layers; i++) {
            struct site *t = &f->site[f->nsites];
            site_fill(t, f, (enum side)side, i / 2, (enum part)(i % 2));
            t->first = (int)groups;
            groups += t->groups;
            if (groups > FRAME_GROUPS_MAX)
                return err_set(err, ST_LIMIT, "the two backbones have more than %d groups",
                               FRAME_GROUPS_MAX);
            matrices += t->groups * (t->cost + t->bias);
            site_link(f, t);
            f->nsites++;
        }
    }
    f->ngroups = (int)groups;
    if (f->total > FRAME_PARAMS_MAX)
        return err_set(err, ST_LIMIT, "a model of %lld parameters is more than the limit of 2^53",
                       (long long)f->total);
    if (f->backbones < matrices || f->total < f->backbones)
        return err_set(err, ST_INVALID,
                       "a model of %lld parameters, %lld of them in the backbones, cannot hold "
                       "sites of %lld",
                       (long long)f->total, (long long)f->backbones, (long long)matrices);
    return ST_OK;
}

enum status frame_create(struct frame **ret_frame, const struct side_shape *vision,
                         const struct side_shape *text, const struct frame_options *options,
                         int64_t total, int64_t backbones, struct err *err)
{
    TRY(shape_check(vision, SIDE_VISION, err));
    TRY(shape_check(text, SIDE_TEXT, err));
    if (options->block_size < 1 || options->block_size > FRAME_LAYERS_MAX)
        return err_set(err, ST_INVALID, "block_size must be 1 to %d, got %d", FRAME_LAYERS_MAX,
                       options->block_size);
    struct frame *f = calloc(1, sizeof *f);
    if (f)
        f->site = calloc(2 * ((size_t)vision->layers + (size_t)text->layers), sizeof *f->site);
    if (!f || !f->site) {
        frame_destroy(f);
        return err_set(err, ST_NOMEM, "out of memory for a structure's frame");
    }
    f->shape[SIDE_VISION] = *vision;
    f->shape[SIDE_TEXT] = *text;
    f->options = *options;
    f->total = total;
    f->backbones = backbones;
    enum status st = frame_fill(f, err);
    if (st != ST_OK) {
        frame_destroy(f);
        return st;
    }
    *ret_frame = f;
    return ST_OK;
}

void frame_destroy(struct frame *f)
{
    if (!f)
        return;
    free(f->site);
    free(f);
}

int frame_find(const struct frame *f, const char *name)
{
    for (int i = 0; i < f->nsites; i++)
        if (strcmp(f->site[i].name, name) == 0)
            return i;
    return -1;
}

static bool shape_equal(const struct side_shape *a, const struct side_shape *b)
{
    return a->layers == b->layers && a->width == b->width && a->heads == b->heads &&
           a->ffn == b->ffn;
}

/* Shapes, options and totals fix everything else. */
bool frame_equal(const struct frame *a, const struct frame *b)
{
    const struct frame_options *p = &a->options, *q = &b->options;
    return shape_equal(&a->shape[0], &b->shape[0]) && shape_equal(&a->shape[1], &b->shape[1]) &&
           a->total == b->total && a->backbones == b->backbones && p->block_size == q->block_size &&
           p->cross_msa == q->cross_msa && p->cross_ffn == q->cross_ffn &&
           p->block_msa == q->block_msa && p->block_ffn == q->block_ffn && p->prune == q->prune &&
           p->share == q->share;
}

/* A site without a source stores at least what it keeps; every other site can take the same group
 * from it. */
int64_t frame_smallest(const struct frame *f)
{
    int64_t params = f->total;
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        int kept = f->options.prune ? 1 : t->groups;
        int stored = t->source < 0 ? kept : 0;
        params -= t->cost * (t->groups - stored) + t->bias * (t->groups - kept);
    }
    return params;
}
