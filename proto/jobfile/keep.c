/* keep.c - see keep.h. */
#include "jobfile/keep.h"

#include <stdlib.h>
#include <string.h>

#define MIB ((int64_t)1 << 20)

#define PREFIX "step-"
#define SUFFIX ".safetensors"

bool keep_is_checkpoint(const char *name)
{
    size_t len = strlen(name), suffix = strlen(SUFFIX);
    return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && len > suffix && len < KEEP_NAME_MAX &&
           strcmp(name + len - suffix, SUFFIX) == 0;
}

bool keep_is_sum(const char *name, char ret_file[KEEP_NAME_MAX])
{
    size_t len = strlen(name), sum = strlen(KEEP_SUM);
    if (len <= sum || len - sum >= KEEP_NAME_MAX || strcmp(name + len - sum, KEEP_SUM) != 0)
        return false;
    memcpy(ret_file, name, len - sum);
    ret_file[len - sum] = '\0';
    return keep_is_checkpoint(ret_file);
}

int keep_stage(const char *name)
{
    return (int)(strtoll(name + strlen(PREFIX), NULL, 10) % 16);
}

static const char *const metric_names[BEST_COUNT] = {
    [BEST_LOSS] = "loss",         [BEST_P1] = "p1",          [BEST_P5] = "p5", [BEST_P10] = "p10",
    [BEST_P1_MACRO] = "p1_macro", [BEST_P1_GIOU] = "p1_giou"};

const char *keep_metric_name(enum best_by by)
{
    return metric_names[by];
}

enum best_by keep_metric_find(const char *name)
{
    enum best_by by = 0;
    while (by < BEST_COUNT && strcmp(metric_names[by], name) != 0)
        by++;
    return by;
}

bool keep_metric_better(enum best_by by, double value, double than)
{
    return by == BEST_LOSS ? value < than : value > than;
}

struct keep_rule keep_rule_of(const struct jobfile *job)
{
    return (struct keep_rule){.last = job->train_checkpoint_keep,
                              .best = job->checkpoint_best,
                              .quota_bytes = job->checkpoint_quota_mib * MIB,
                              .by = (enum best_by)job->checkpoint_best_by};
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
static int64_t rank_of(enum best_by by, const struct keep_item *items, size_t n, size_t at)
{
    int64_t better = 0;
    for (size_t i = 0; i < n; i++)
        if (i != at && items[i].has_metric && items[i].stage == items[at].stage)
            better += keep_metric_better(by, items[i].metric, items[at].metric) ||
                      (items[i].metric == items[at].metric && i > at);
    return better;
}

static void hold_quota(const struct keep_rule *rule, struct keep_item *items, size_t n)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += items[i].stays ? items[i].bytes : 0;
    for (size_t i = 0; i + 1 < n && bytes > rule->quota_bytes; i++) {
        if (!items[i].stays)
            continue;
        items[i].stays = false;
        items[i].why = "over quota";
        bytes -= items[i].bytes;
    }
}

void keep_apply(const struct keep_rule *rule, struct keep_item *items, size_t n)
{
    int stage = measured_stage(items, n);
    for (size_t i = 0; i < n; i++) {
        bool newest = i + 1 == n || (int64_t)(n - i) <= rule->last;
        bool best = items[i].has_metric && items[i].stage == stage &&
                    rank_of(rule->by, items, n, i) < rule->best;
        items[i].stays = newest || best;
        items[i].why = newest && best ? "newest and best"
                       : newest       ? "newest"
                       : best         ? "best"
                                      : "old";
    }
    if (rule->quota_bytes > 0)
        hold_quota(rule, items, n);
}
