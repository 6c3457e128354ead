/* binding.c - see binding.h.
 *
 *     mix_i = W_i                                   no source
 *     mix_i = s_i mix_src(i) + (1 - s_i) W_i        group by group (method.md 2)
 *     W~_i  = mix_i, output slice (columns of Wo, W2) times m_i
 */
#include "engine/structure/binding.h"

#include "engine/structure/site.h"

#include <stdlib.h>

enum mode { MODE_OWN, MODE_FROZEN, MODE_SOFT, MODE_BITS };

struct bound_site {
    struct tensor *param[SLOTS_MAX]; /* NULL where a compact site has none */
    struct tensor *mix[SLOTS_MAX];   /* matrices, of the step `serial` */
    bool mixed;
};

struct binding {
    const struct frame *frame; /* borrowed */
    struct structure *hard;    /* owned; NULL for a dense model */
    struct bound_site *site;   /* owned, nsites */
    uint8_t *stored;           /* owned, ngroups: of hard */
    int *rank, *kept_rank; /* owned, ngroups: place among stored, among kept groups of the site */
    uint8_t *open;         /* owned, ngroups: m of the mode frozen */
    enum mode mode;
    struct tensor *m, *s;       /* MODE_SOFT; on the tape */
    const struct structure *st; /* MODE_BITS; borrowed */
    const struct ctx *cx;       /* whose step the mixed weights belong to */
    uint64_t serial;
};

/* ---- life ------------------------------------------------------------------------------------ */

static enum status binding_harden(struct binding *b, const struct structure *hard, struct err *err)
{
    size_t n = (size_t)b->frame->ngroups;
    TRY(structure_create(&b->hard, b->frame, err));
    structure_copy(b->hard, hard);
    b->stored = malloc(n);
    b->rank = calloc(n, sizeof *b->rank);
    b->kept_rank = calloc(n, sizeof *b->kept_rank);
    if (!b->stored || !b->rank || !b->kept_rank)
        return err_set(err, ST_NOMEM, "out of memory for the structure of a model");
    structure_stored(b->hard, b->stored);
    site_ranks(b->frame, b->stored, b->rank);
    site_ranks(b->frame, b->hard->m, b->kept_rank);
    return ST_OK;
}

enum status binding_create(struct binding **ret_b, const struct frame *frame,
                           const struct structure *hard, struct err *err)
{
    struct binding *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(err, ST_NOMEM, "out of memory for the structure of a model");
    b->frame = frame;
    b->site = calloc((size_t)frame->nsites, sizeof *b->site);
    b->open = calloc((size_t)frame->ngroups, 1);
    enum status st = ST_OK;
    if (!b->site || !b->open)
        st = err_set(err, ST_NOMEM, "out of memory for the structure of a model");
    else if (hard)
        st = binding_harden(b, hard, err);
    if (st != ST_OK) {
        binding_destroy(b);
        return st;
    }
    *ret_b = b;
    return ST_OK;
}

void binding_destroy(struct binding *b)
{
    if (!b)
        return;
    structure_destroy(b->hard);
    free(b->site);
    free(b->stored);
    free(b->rank);
    free(b->kept_rank);
    free(b->open);
    free(b);
}

const struct frame *binding_frame(const struct binding *b)
{
    return b->frame;
}

const struct structure *binding_hard(const struct binding *b)
{
    return b->hard;
}

/* Groups that a tensor of the site holds. */
static int slot_groups(const struct binding *b, const struct site *t, const struct slot *s)
{
    if (!b->hard || s->kind == SLOT_WHOLE)
        return t->groups;
    return site_bits(t, slot_is_matrix(s) ? b->stored : b->hard->m);
}

void binding_add_site(struct binding *b, int site, struct params *p)
{
    const struct site *t = &b->frame->site[site];
    int slots;
    const struct slot *slot = site_slots(t->part, &slots);
    for (int i = 0; i < slots; i++) {
        char name[SLOT_NAME_MAX];
        bool matrix = slot_is_matrix(&slot[i]);
        int groups = slot_groups(b, t, &slot[i]);
        if (!groups)
            continue;
        struct param_spec spec = {.name = slot_name(name, t, &slot[i]),
                                  .init = matrix ? INIT_NORMAL : INIT_ZERO,
                                  .scale = matrix ? 0.02 : 0,
                                  .group = site_param_group(t),
                                  .decay = matrix};
        spec.dims = slot_dims(b->frame, t, &slot[i], groups, spec.dim);
        b->site[site].param[i] = param_add(p, &spec);
    }
}

/* ---- modes ----------------------------------------------------------------------------------- */

static void binding_use(struct binding *b, enum mode mode)
{
    b->mode = mode;
    b->m = b->s = NULL;
    b->st = NULL;
    b->cx = NULL; /* mixed weights of another mode are of no use */
}

void binding_use_own(struct binding *b)
{
    binding_use(b, MODE_OWN);
}

void binding_use_soft(struct binding *b, struct tensor *m, struct tensor *s)
{
    binding_use(b, MODE_SOFT);
    b->m = m;
    b->s = s;
}

void binding_use_bits(struct binding *b, const struct structure *st)
{
    binding_use(b, MODE_BITS);
    b->st = st;
}

void binding_use_frozen(struct binding *b, const struct structure *st)
{
    binding_use(b, MODE_FROZEN);
    structure_needed(st, b->open);
    for (int g = 0; g < b->frame->ngroups; g++)
        b->open[g] = st->m[g] || !b->open[g];
}

static void forget_other_steps(struct binding *b, const struct ctx *cx)
{
    if (b->cx == cx && b->serial == ctx_serial(cx))
        return;
    for (int i = 0; i < b->frame->nsites; i++)
        b->site[i].mixed = false;
    b->cx = cx;
    b->serial = ctx_serial(cx);
}

/* ---- soft and bits --------------------------------------------------------------------------- */

static struct tensor *bits_vector(struct ctx *cx, const struct site *t, const uint8_t *bit)
{
    int64_t n = t->groups;
    real *v = ctx_host(cx, (size_t)n * sizeof *v);
    if (!v)
        return NULL;
    for (int64_t g = 0; g < n; g++)
        v[g] = bit[t->first + g];
    return ctx_constant(cx, v, 1, &n);
}

static bool all_equal(const struct site *t, const uint8_t *bit, uint8_t value)
{
    return site_bits(t, bit) == (value ? t->groups : 0);
}

/* The site's sharing vector; NULL where nothing is taken. */
static struct tensor *share_vector(const struct binding *b, struct ctx *cx, const struct site *t)
{
    if (t->source < 0 || !ctx_ok(cx))
        return NULL;
    if (b->mode == MODE_SOFT)
        return op_slice_last(cx, b->s, t->first, t->groups);
    return all_equal(t, b->st->s, 0) ? NULL : bits_vector(cx, t, b->st->s);
}

/* The site's pruning vector; NULL where nothing is pruned. */
static struct tensor *prune_vector(const struct binding *b, struct ctx *cx, const struct site *t)
{
    if (b->mode == MODE_OWN || !ctx_ok(cx))
        return NULL;
    if (b->mode == MODE_SOFT)
        return op_slice_last(cx, b->m, t->first, t->groups);
    const uint8_t *bit = b->mode == MODE_BITS ? b->st->m : b->open;
    return all_equal(t, bit, 1) ? NULL : bits_vector(cx, t, bit);
}

static bool binding_mixes(const struct binding *b)
{
    return b->mode == MODE_SOFT || b->mode == MODE_BITS;
}

/* What users of the site see; made once a step. Recursion follows a chain of at most two edges. */
static struct tensor *const *site_mix(struct binding *b, struct ctx *cx, int site)
{
    const struct site *t = &b->frame->site[site];
    struct bound_site *own = &b->site[site];
    if (own->mixed)
        return own->mix;
    int slots;
    const struct slot *slot = site_slots(t->part, &slots);
    struct tensor *s = binding_mixes(b) ? share_vector(b, cx, t) : NULL;
    struct tensor *const *source = s ? site_mix(b, cx, t->source) : NULL;
    for (int i = 0; i < slots; i++) {
        own->mix[i] = own->param[i];
        if (source && slot_is_matrix(&slot[i]))
            own->mix[i] = op_mix(cx, own->param[i], source[i], s, slot_layout(t, &slot[i]));
    }
    own->mixed = true;
    return own->mix;
}

static void mixed_weights(struct binding *b, struct ctx *cx, int site, struct tensor **w)
{
    const struct site *t = &b->frame->site[site];
    int slots;
    const struct slot *slot = site_slots(t->part, &slots);
    struct tensor *const *mix = site_mix(b, cx, site);
    struct tensor *m = prune_vector(b, cx, t);
    for (int i = 0; i < slots; i++) {
        w[i] = mix[i];
        if (m && slot[i].kind == SLOT_COLUMNS)
            w[i] = op_mask(cx, mix[i], m, slot_layout(t, &slot[i]));
    }
}

/* ---- compact --------------------------------------------------------------------------------- */

/* Where the kept groups of a site have their matrix of slot i. Returns whether it is the site's own
 * tensor as it is. */
static bool owners_of(const struct binding *b, int site, int i, struct group_ref *ref)
{
    const struct site *t = &b->frame->site[site];
    bool plain = site_bits(t, b->stored) == site_bits(t, b->hard->m);
    int n = 0;
    for (int g = t->first; g < t->first + t->groups; g++) {
        if (!b->hard->m[g])
            continue;
        int owner = site, group = structure_owner(b->hard, site, g, &owner);
        ref[n++] = (struct group_ref){b->site[owner].param[i], b->rank[group]};
        plain = plain && owner == site;
    }
    return plain;
}

static void compact_weights(struct binding *b, struct ctx *cx, int site, struct tensor **w)
{
    const struct site *t = &b->frame->site[site];
    int slots, n = site_bits(t, b->hard->m);
    const struct slot *slot = site_slots(t->part, &slots);
    struct group_ref *ref = n ? ctx_host(cx, (size_t)n * sizeof *ref) : NULL;
    for (int i = 0; i < slots; i++) {
        struct tensor *own = b->site[site].param[i];
        w[i] = own;
        if (!slot_is_matrix(&slot[i]))
            continue;
        w[i] = NULL;
        if (ref)
            w[i] = owners_of(b, site, i, ref) ? own
                                              : op_assemble(cx, ref, n, slot_layout(t, &slot[i]));
    }
}

/* ---- what nn asks for ------------------------------------------------------------------------ */

/* Fills w; returns the groups that compute, 0 after a failure. */
static int site_weights(struct binding *b, struct ctx *cx, int site, struct tensor **w)
{
    const struct site *t = &b->frame->site[site];
    for (int i = 0; i < SLOTS_MAX; i++)
        w[i] = NULL;
    if (b->hard && b->mode != MODE_OWN)
        ctx_fail(cx, ST_INTERNAL, "%s: a hardened model has no structure to choose", t->name);
    if (!ctx_ok(cx))
        return 0;
    if (b->hard) {
        compact_weights(b, cx, site, w);
        return site_bits(t, b->hard->m);
    }
    forget_other_steps(b, cx);
    mixed_weights(b, cx, site, w);
    return t->groups;
}

struct msa_weights binding_msa(struct binding *b, struct ctx *cx, int site)
{
    const struct site *t = &b->frame->site[site];
    struct tensor *w[SLOTS_MAX];
    int groups = site_weights(b, cx, site, w);
    return (struct msa_weights){
        .wq = w[MSA_WQ],
        .wk = w[MSA_WK],
        .wv = w[MSA_WV],
        .wo = w[MSA_WO],
        .bq = w[MSA_BQ],
        .bk = w[MSA_BK],
        .bv = w[MSA_BV],
        .bo = w[MSA_BO],
        .heads = groups * (b->frame->shape[t->side].heads / t->groups),
    };
}

struct ffn_weights binding_ffn(struct binding *b, struct ctx *cx, int site)
{
    struct tensor *w[SLOTS_MAX];
    site_weights(b, cx, site, w);
    return (struct ffn_weights){.w1 = w[FFN_W1], .b1 = w[FFN_B1], .w2 = w[FFN_W2], .b2 = w[FFN_B2]};
}
