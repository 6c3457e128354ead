/* diff.c - two structures beside each other: whether they can be compared, and what differs in each site. */
#include "structure/structure.h"

static enum status side_differs(const char *side, const char *what, int a, int b, struct err *err)
{
    return err_set(err, ST_INVALID, "%s has %d %s in the one and %d in the other", side, a, what,
                   b);
}

static enum status match_side(const char *side, const struct side_shape *a,
                              const struct side_shape *b, struct err *err)
{
    if (a->layers != b->layers)
        return side_differs(side, "layers", a->layers, b->layers, err);
    if (a->width != b->width)
        return side_differs(side, "channels", a->width, b->width, err);
    if (a->heads != b->heads)
        return side_differs(side, "heads", a->heads, b->heads, err);
    return a->ffn != b->ffn ? side_differs(side, "FFN units", a->ffn, b->ffn, err) : ST_OK;
}

static enum status match_option(const char *name, int a, int b, struct err *err)
{
    return a == b ? ST_OK
                  : err_set(err, ST_INVALID, "method.%s is %d in the one and %d in the other", name,
                            a, b);
}

enum status frame_match(const struct frame *a, const struct frame *b, struct err *err)
{
    const struct frame_options *p = &a->options, *q = &b->options;
    TRY(match_side("the vision backbone", &a->shape[SIDE_VISION], &b->shape[SIDE_VISION], err));
    TRY(match_side("the text backbone", &a->shape[SIDE_TEXT], &b->shape[SIDE_TEXT], err));
    TRY(match_option("block_size", p->block_size, q->block_size, err));
    TRY(match_option("cross_msa", p->cross_msa, q->cross_msa, err));
    TRY(match_option("cross_ffn", p->cross_ffn, q->cross_ffn, err));
    TRY(match_option("block_msa", p->block_msa, q->block_msa, err));
    TRY(match_option("block_ffn", p->block_ffn, q->block_ffn, err));
    TRY(match_option("prune", p->prune, q->prune, err));
    TRY(match_option("share", p->share, q->share, err));
    if (a->total != b->total || a->backbones != b->backbones)
        return err_set(err, ST_INVALID,
                       "the dense model has %lld parameters in the one and %lld in the other (its "
                       "vocabulary, or what is not backbone, differs)",
                       (long long)a->total, (long long)b->total);
    return ST_OK;
}

void structure_diff_site(const struct structure *from, const struct structure *to, int site,
                         struct structure_diff *ret_diff)
{
    const struct site *t = &from->frame->site[site];
    struct structure_diff d = {0};
    for (int g = t->first; g < t->first + t->groups; g++) {
        d.m_on += !from->m[g] && to->m[g];
        d.m_off += from->m[g] && !to->m[g];
        d.s_on += !from->s[g] && to->s[g];
        d.s_off += from->s[g] && !to->s[g];
    }
    *ret_diff = d;
}
