/* keep.c - see keep.h. */
#include "jobfile/keep.h"

#define MIB ((int64_t)1 << 20)

struct keep_rule keep_rule_of(const struct jobfile *job)
{
    return (struct keep_rule){.last = job->train_checkpoint_keep,
                              .best = job->checkpoint_best,
                              .quota_bytes = job->checkpoint_quota_mib * MIB};
}

/* The newest stage in which something was measured; -1 if none. */
static int measured_stage(const struct keep_item *items, size_t n)
{
    for (size_t i = n; i-- > 0;)
        if (items[i].has_metric)
            return items[i].stage;
    return -1;
}

/* How many of the stage are better, the newer of equals being the better one. */
static int64_t rank_of(const struct keep_item *items, size_t n, size_t at)
{
    int64_t better = 0;
    for (size_t i = 0; i < n; i++)
        if (i != at && items[i].has_metric && items[i].stage == items[at].stage)
            better += items[i].metric < items[at].metric ||
                      (items[i].metric == items[at].metric && i > at);
    return better;
}

static void hold_quota(const struct keep_rule *rule, struct keep_item *items, size_t n)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += items[i].why ? 0 : items[i].bytes;
    for (size_t i = 0; i + 1 < n && bytes > rule->quota_bytes; i++) {
        if (items[i].why)
            continue;
        items[i].why = "over quota";
        bytes -= items[i].bytes;
    }
}

void keep_apply(const struct keep_rule *rule, struct keep_item *items, size_t n)
{
    int stage = measured_stage(items, n);
    for (size_t i = 0; i < n; i++) {
        bool newest = i + 1 == n || (int64_t)(n - i) <= rule->last;
        bool best =
            items[i].has_metric && items[i].stage == stage && rank_of(items, n, i) < rule->best;
        items[i].why = newest || best ? NULL : "old";
    }
    if (rule->quota_bytes > 0)
        hold_quota(rule, items, n);
}
