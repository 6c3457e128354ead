/* metrics.h - referring-expression scores as plain counts that ranks can add.
 *
 * docs/spec/model-mdetr.md 9: queries by falling score; P@k = 1 if one of the first k boxes
 * overlaps the one true box by at least one half. Counted by IoU, and by generalised IoU beside it.
 */
#ifndef ENGINE_DATA_METRICS_H
#define ENGINE_DATA_METRICS_H

#include "base/err.h"
#include "engine/core/real.h"
#include "engine/data/dataset.h"

#include <stdbool.h>
#include <stdint.h>

#define METRIC_GROUPS (DATASET_FAMILIES + 1) /* the last: records without a family */

enum metric_k { METRIC_P1, METRIC_P5, METRIC_P10, METRIC_KS };
enum metric_overlap { METRIC_IOU, METRIC_GIOU, METRIC_OVERLAPS };

/* int64_t throughout, no padding: an all-reduce may add it as an array of METRIC_WORDS integers. */
struct rec_metrics {
    int64_t records[METRIC_GROUPS];
    int64_t hits[METRIC_GROUPS][METRIC_OVERLAPS][METRIC_KS];
};
#define METRIC_WORDS (sizeof(struct rec_metrics) / sizeof(int64_t))

/* score [Q], box [Q,4] and truth [4] as cx cy w h in one unit; family -1 = none. Ties: the lower
 * query first; a NaN score counts as the lowest. */
void rec_metrics_add(struct rec_metrics *m, int family, const real *score, const real *box,
                     int64_t Q, const real truth[4]);

struct rec_score {
    int64_t records;
    double p;  /* 0..1; NaN without records */
    double se; /* standard error sqrt(p (1-p) / n) */
};
struct rec_score rec_micro(const struct rec_metrics *m, enum metric_overlap o, enum metric_k k);
/* Mean over the families that have records (se: of that mean). */
struct rec_score rec_macro(const struct rec_metrics *m, enum metric_overlap o, enum metric_k k);
struct rec_score rec_family(const struct rec_metrics *m, int family, enum metric_overlap o,
                            enum metric_k k);

/* Both boxes as cx cy w h. Degenerate boxes (w or h <= 0, NaN) give 0 and -1. */
double box_iou(const real a[4], const real b[4]);
double box_giou(const real a[4], const real b[4]);

#endif
