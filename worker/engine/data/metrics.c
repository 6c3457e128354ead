/* metrics.c - see metrics.h. */
#include "engine/data/metrics.h"

#include <math.h>

static const int top_k[METRIC_KS] = {1, 5, 10};

struct corners {
    double x0, y0, x1, y1, area;
};

static struct corners corners_of(const real b[4])
{
    double cx = b[0], cy = b[1], w = b[2], h = b[3];
    return (struct corners){cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, w * h};
}

static bool has_area(const real b[4])
{
    return b[2] > 0 && b[3] > 0 && isfinite(b[0]) && isfinite(b[1]) && isfinite(b[2]) &&
           isfinite(b[3]);
}

static double intersection(const struct corners *a, const struct corners *b)
{
    double w = fmin(a->x1, b->x1) - fmax(a->x0, b->x0);
    double h = fmin(a->y1, b->y1) - fmax(a->y0, b->y0);
    return w > 0 && h > 0 ? w * h : 0;
}

double box_iou(const real a[4], const real b[4])
{
    if (!has_area(a) || !has_area(b))
        return 0;
    struct corners p = corners_of(a), q = corners_of(b);
    double both = intersection(&p, &q);
    return both / (p.area + q.area - both);
}

double box_giou(const real a[4], const real b[4])
{
    if (!has_area(a) || !has_area(b))
        return -1;
    struct corners p = corners_of(a), q = corners_of(b);
    double both = intersection(&p, &q), either = p.area + q.area - both;
    double hull = (fmax(p.x1, q.x1) - fmin(p.x0, q.x0)) * (fmax(p.y1, q.y1) - fmin(p.y0, q.y0));
    return both / either - (hull - either) / hull;
}

/* Queries with a higher score, or as high and earlier. */
static int64_t rank_of(const real *score, int64_t Q, int64_t q)
{
    int64_t rank = 0;
    bool bad = isnan(score[q]);
    for (int64_t o = 0; o < Q; o++) {
        if (o == q)
            continue;
        if (isnan(score[o]))
            rank += bad && o < q;
        else
            rank += bad || score[o] > score[q] || (score[o] == score[q] && o < q);
    }
    return rank;
}

void rec_metrics_add(struct rec_metrics *m, int family, const real *score, const real *box,
                     int64_t Q, const real truth[4])
{
    int group = family >= 0 && family < DATASET_FAMILIES ? family : DATASET_FAMILIES;
    int64_t best[METRIC_OVERLAPS] = {Q, Q}; /* rank of the first query that overlaps enough */
    for (int64_t q = 0; q < Q; q++) {
        bool hit[METRIC_OVERLAPS] = {box_iou(box + 4 * q, truth) >= 0.5,
                                     box_giou(box + 4 * q, truth) >= 0.5};
        int64_t rank = hit[METRIC_IOU] || hit[METRIC_GIOU] ? rank_of(score, Q, q) : Q;
        for (int o = 0; o < METRIC_OVERLAPS; o++)
            if (hit[o] && rank < best[o])
                best[o] = rank;
    }
    m->records[group]++;
    for (int o = 0; o < METRIC_OVERLAPS; o++)
        for (int k = 0; k < METRIC_KS; k++)
            m->hits[group][o][k] += best[o] < Q && best[o] < top_k[k];
}

static struct rec_score score_of(int64_t hits, int64_t n)
{
    if (!n)
        return (struct rec_score){0, NAN, NAN};
    double p = (double)hits / (double)n;
    return (struct rec_score){n, p, sqrt(p * (1 - p) / (double)n)};
}

struct rec_score rec_family(const struct rec_metrics *m, int family, enum metric_overlap o,
                            enum metric_k k)
{
    return score_of(m->hits[family][o][k], m->records[family]);
}

struct rec_score rec_micro(const struct rec_metrics *m, enum metric_overlap o, enum metric_k k)
{
    int64_t hits = 0, n = 0;
    for (int g = 0; g < METRIC_GROUPS; g++) {
        hits += m->hits[g][o][k];
        n += m->records[g];
    }
    return score_of(hits, n);
}

struct rec_score rec_macro(const struct rec_metrics *m, enum metric_overlap o, enum metric_k k)
{
    struct rec_score sum = {0, 0, 0};
    int families = 0;
    for (int g = 0; g < METRIC_GROUPS; g++) {
        if (!m->records[g])
            continue;
        struct rec_score s = score_of(m->hits[g][o][k], m->records[g]);
        sum.records += s.records;
        sum.p += s.p;
        sum.se += s.se * s.se;
        families++;
    }
    if (!families)
        return (struct rec_score){0, NAN, NAN};
    return (struct rec_score){sum.records, sum.p / families, sqrt(sum.se) / families};
}
