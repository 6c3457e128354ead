/* pull_loss.c - R_align on the tape, the option `gradient` (method.md 5): the same groups as
 * align.c. */
#include "engine/structure/align.h"

#include "engine/structure/binding.h"

struct list {
    struct group_slice *slice; /* NULL: only counted */
    int *first;
    int slices, groups;
};

/* The owner's matrix, or, when the source stands still, a header over it without gradient. */
static struct tensor *source_of(struct ctx *cx, struct tensor *w, bool both)
{
    if (both || !w)
        return w;
    struct tensor *still = ctx_view(cx, w, w->dims, w->dim);
    if (still)
        still->grad = NULL;
    return still;
}

static struct tensor *matrix_of(struct params *p, const struct site *t, const struct slot *s)
{
    char name[SLOT_NAME_MAX];
    struct param *found = params_find(p, slot_name(name, t, s));
    return found ? &found->tensor : NULL;
}

/* The site's groups of one kind; kind >= 0: pairs with that site. */
static void list_add(struct list *l, struct ctx *cx, struct params *p, const struct structure *st,
                     int site, int kind, bool both)
{
    const struct site *t = &st->frame->site[site];
    struct tensor *a[SLOTS_MAX] = {0}, *b[SLOTS_MAX] = {0};
    int slots;
    const struct slot *slot = site_slots(t->part, &slots);
    for (int i = 0; l->slice && i < slots; i++) {
        a[i] = matrix_of(p, t, &slot[i]);
        if (kind >= 0)
            b[i] = source_of(cx, matrix_of(p, &st->frame->site[kind], &slot[i]), both);
    }
    for (int g = 0; g < t->groups; g++) {
        if (align_kind(st, site, g) != kind)
            continue;
        if (l->slice)
            l->first[l->groups] = l->slices;
        l->groups++;
        for (int i = 0; i < slots; i++) {
            if (!slot_is_matrix(&slot[i]))
                continue;
            if (l->slice)
                l->slice[l->slices] = (struct group_slice){a[i], b[i], slot_layout(t, &slot[i]), g};
            l->slices++;
        }
    }
}

static void list_fill(struct list *l, struct ctx *cx, struct params *p, const struct structure *st,
                      bool both)
{
    const struct frame *f = st->frame;
    l->slices = l->groups = 0;
    for (int site = 0; site < f->nsites; site++) {
        list_add(l, cx, p, st, site, ALIGN_ZERO, both);
        for (int owner = f->site[site].source; owner >= 0; owner = f->site[owner].source)
            list_add(l, cx, p, st, site, owner, both);
    }
    if (l->slice)
        l->first[l->groups] = l->slices;
}

struct tensor *pull_loss(struct ctx *cx, struct params *dense, const struct structure *st,
                         double gamma, bool both)
{
    struct list l = {0};
    list_fill(&l, cx, dense, st, both);
    if (!l.groups)
        return NULL;
    l.first = ctx_host(cx, ((size_t)l.groups + 1) * sizeof *l.first);
    l.slice = ctx_host(cx, (size_t)l.slices * sizeof *l.slice);
    if (!ctx_ok(cx))
        return NULL;
    list_fill(&l, cx, dense, st, both);
    return op_group_norms(cx, l.slice, l.first, l.groups, gamma / st->frame->nsites);
}
