/* site.c - see site.h. */
#include "engine/structure/site.h"

#include <stdio.h>
#include <string.h>

static const struct slot msa_slot[] = {
    [MSA_WQ] = {"wq", SLOT_ROWS},    [MSA_WK] = {"wk", SLOT_ROWS},  [MSA_WV] = {"wv", SLOT_ROWS},
    [MSA_WO] = {"wo", SLOT_COLUMNS}, [MSA_BQ] = {"bq", SLOT_BIAS},  [MSA_BK] = {"bk", SLOT_BIAS},
    [MSA_BV] = {"bv", SLOT_BIAS},    [MSA_BO] = {"bo", SLOT_WHOLE},
};
static const struct slot ffn_slot[] = {
    [FFN_W1] = {"w1", SLOT_ROWS},
    [FFN_W2] = {"w2", SLOT_COLUMNS},
    [FFN_B1] = {"b1", SLOT_BIAS},
    [FFN_B2] = {"b2", SLOT_WHOLE},
};

const struct slot *site_slots(enum part part, int *ret_n)
{
    *ret_n = part == PART_MSA ? (int)(sizeof msa_slot / sizeof *msa_slot)
                              : (int)(sizeof ffn_slot / sizeof *ffn_slot);
    return part == PART_MSA ? msa_slot : ffn_slot;
}

struct slot_view slot_view_of(const struct frame *f, const struct site *t, const struct slot *s)
{
    int64_t C = f->shape[t->side].width, width = site_width(t);
    switch (s->kind) {
    case SLOT_ROWS:
        return (struct slot_view){1, width * C};
    case SLOT_COLUMNS:
        return (struct slot_view){C, width};
    case SLOT_BIAS:
        return (struct slot_view){1, width};
    case SLOT_WHOLE:
        break;
    }
    return (struct slot_view){1, C};
}

struct group_layout slot_layout(const struct site *t, const struct slot *s)
{
    return (struct group_layout){.axis = s->kind == SLOT_COLUMNS, .width = site_width(t)};
}

int slot_dims(const struct frame *f, const struct site *t, const struct slot *s, int64_t n,
              int64_t dim[2])
{
    int64_t C = f->shape[t->side].width, grouped = n * site_width(t);
    dim[0] = s->kind == SLOT_ROWS || s->kind == SLOT_BIAS ? grouped : C;
    dim[1] = s->kind == SLOT_ROWS ? C : grouped;
    return slot_is_matrix(s) ? 2 : 1;
}

const char *slot_name(char to[SLOT_NAME_MAX], const struct site *t, const struct slot *s)
{
    snprintf(to, SLOT_NAME_MAX, "%s.%s", t->name, s->suffix);
    return to;
}

const struct slot *slot_find(const struct frame *f, const char *name, int *ret_site)
{
    char site[SITE_NAME_MAX];
    const char *dot = strrchr(name, '.');
    if (!dot || dot - name >= SITE_NAME_MAX)
        return NULL;
    memcpy(site, name, (size_t)(dot - name));
    site[dot - name] = '\0';
    int at = frame_find(f, site), n = 0;
    if (at < 0)
        return NULL;
    const struct slot *slot = site_slots(f->site[at].part, &n);
    for (int i = 0; i < n; i++) {
        if (strcmp(slot[i].suffix, dot + 1) == 0) {
            *ret_site = at;
            return &slot[i];
        }
    }
    return NULL;
}

void site_ranks(const struct frame *f, const uint8_t *bit, int *rank)
{
    for (int i = 0; i < f->nsites; i++) {
        int next = 0;
        for (int g = f->site[i].first; g < f->site[i].first + f->site[i].groups; g++)
            rank[g] = bit[g] ? next++ : -1;
    }
}

int site_bits(const struct site *t, const uint8_t *bit)
{
    int n = 0;
    for (int g = 0; g < t->groups; g++)
        n += bit[t->first + g] != 0;
    return n;
}
