/* bisect.c - the final read-out: one threshold for all bits (method.md 4).
 *
 * The bits that may go (m of every group but one a site; "own" of every group with a source) are
 * ordered by score. Taking them off from the lowest on never raises P (union rule), so bisection
 * over how many are taken off finds the largest P within the target. Equal scores go in the frame's
 * order.
 *
 * The group that a site keeps in any case is its best one. Where even that leaves P above the
 * target - the sites' best groups have different indices, so a source stores several - the sites
 * that share agree on the index with the best sum of scores; then the last P is frame_smallest().
 */
#include "structure/structure.h"

#include <math.h>
#include <stdlib.h>

struct bit {
    double score;
    int index; /* group for m; ngroups + group for s */
};

static int bit_order(const void *a, const void *b)
{
    const struct bit *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static enum status scores_check(const struct frame *f, const double *score_m,
                                const double *score_own, struct err *err)
{
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        for (int g = t->first; g < t->first + t->groups; g++) {
            double own = t->source >= 0 ? score_own[g] : 0;
            if (!isfinite(score_m[g]) || !isfinite(own))
                return err_set(err, ST_NUMERIC, "group %d of %s has the scores %g and %g",
                               g - t->first, t->name, score_m[g], own);
        }
    }
    return ST_OK;
}

/* guard[site] = index of its best group. */
static void guard_best(const struct frame *f, const double *score_m, int *guard)
{
    for (int i = 0; i < f->nsites; i++) {
        const double *score = score_m + f->site[i].first;
        guard[i] = 0;
        for (int g = 1; g < f->site[i].groups; g++)
            if (score[g] > score[guard[i]])
                guard[i] = g;
    }
}

static int root_of(const struct frame *f, int i)
{
    while (f->site[i].source >= 0)
        i = f->site[i].source;
    return i;
}

/* guard[site] = the index whose scores, summed over the sites with the same root, are best. */
static void guard_joint(const struct frame *f, const double *score_m, int *guard)
{
    for (int root = 0; root < f->nsites; root++) {
        if (f->site[root].source >= 0) {
            guard[root] = guard[root_of(f, root)];
            continue;
        }
        double best = -INFINITY;
        for (int g = 0; g < f->site[root].groups; g++) {
            double sum = 0;
            for (int i = root; i < f->nsites; i++)
                if (root_of(f, i) == root)
                    sum += score_m[f->site[i].first + g];
            if (sum > best) {
                best = sum;
                guard[root] = g;
            }
        }
    }
}

/* The bits that may go, lowest first; returns how many. */
static int bits_collect(struct bit *bit, const struct frame *f, const double *score_m,
                        const double *score_own, const int *guard)
{
    int n = 0;
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        for (int g = 0; g < t->groups; g++) {
            int at = t->first + g;
            if (f->options.prune && g != guard[i])
                bit[n++] = (struct bit){score_m[at], at};
            if (t->source >= 0)
                bit[n++] = (struct bit){score_own[at], f->ngroups + at};
        }
    }
    qsort(bit, (size_t)n, sizeof *bit, bit_order);
    return n;
}

/* The structure without the first `gone` bits, and its P. */
static int64_t bits_apply(struct structure *st, const struct bit *bit, int n, int gone)
{
    int ngroups = st->frame->ngroups;
    for (int g = 0; g < ngroups; g++) {
        st->m[g] = 1;
        st->s[g] = 0;
    }
    for (int i = 0; i < gone && i < n; i++) {
        if (bit[i].index < ngroups)
            st->m[bit[i].index] = 0;
        else
            st->s[bit[i].index - ngroups] = 1;
    }
    struct structure_count count;
    structure_count(st, &count);
    return count.whole;
}

/* How many bits must go until P <= target. */
static int bits_bisect(struct structure *st, const struct bit *bit, int n, int64_t target)
{
    int low = 0, high = n; /* P(high) <= target */
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (bits_apply(st, bit, n, middle) <= target)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

enum status structure_bisect(struct structure *ret_st, const double *score_m,
                             const double *score_own, int64_t target_params, double *ret_threshold,
                             struct err *err)
{
    const struct frame *f = ret_st->frame;
    int64_t smallest = frame_smallest(f);
    if (target_params < smallest)
        return err_set(err, ST_INVALID,
                       "a target of %lld parameters is below what can be reached with these "
                       "options: %lld, %.1f %% of %lld",
                       (long long)target_params, (long long)smallest,
                       100.0 * (double)smallest / (double)f->total, (long long)f->total);
    TRY(scores_check(f, score_m, score_own, err));
    struct bit *bit = calloc(2 * (size_t)f->ngroups, sizeof *bit);
    if (!bit)
        return err_set(err, ST_NOMEM, "out of memory reading out %d groups", f->ngroups);
    int guard[FRAME_SITES_MAX];
    guard_best(f, score_m, guard);
    int n = bits_collect(bit, f, score_m, score_own, guard);
    if (bits_apply(ret_st, bit, n, n) > target_params) {
        guard_joint(f, score_m, guard);
        n = bits_collect(bit, f, score_m, score_own, guard);
    }
    int gone = bits_bisect(ret_st, bit, n, target_params);
    bits_apply(ret_st, bit, n, gone);
    *ret_threshold = gone ? bit[gone - 1].score : -INFINITY;
    free(bit);
    return ST_OK;
}
