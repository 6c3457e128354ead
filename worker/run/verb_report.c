/* verb_report.c - `espalier-worker report FILE`: a job's result.json as a table for people. */
#include "run/verbs.h"

#include "base/err.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#define RESULT_MAX (16u << 20)

static const char *const rows[] = {"dense", "dense_more", "searched", "hardened", "compressed"};
#define ROWS (sizeof rows / sizeof *rows)

static void print_sizes(struct json_object *result)
{
    printf("%-12s %12s %7s %12s %11s %10s %7s %7s %7s\n", "", "parameters", "kept", "backbones",
           "MACs (M)", "file (kB)", "P@1", "macro", "GIoU");
    for (size_t i = 0; i < ROWS; i++) {
        struct json_object *row = json_find(result, rows[i]);
        if (!row)
            continue;
        printf("%-12s %12lld %6.1f%% %12lld %11.1f %10.0f %7.4f %7.4f %7.4f\n", rows[i],
               (long long)json_get_int(row, "params_whole", 0),
               100 * json_get_num(row, "kept_whole", 0),
               (long long)json_get_int(row, "params_backbones", 0),
               1e-6 * json_get_num(row, "macs", 0), 1e-3 * json_get_num(row, "file_bytes", 0),
               json_get_num(row, "p1", 0), json_get_num(row, "p1_macro", 0),
               json_get_num(row, "p1_giou", 0));
    }
}

static void print_families(struct json_object *result)
{
    struct json_object *dense = json_find(result, "dense");
    struct json_object *families = json_find(dense, "p1_by_family");
    if (!families ||
        !json_object_object_length(families)) /* only sets that say families have them */
        return;
    printf("\nP@1 by family; blind = what guessing without looking at the expression's relations "
           "reaches\n");
    printf("%-10s %8s %8s %8s %8s", "family", "count", "random", "noun", "attrs");
    for (size_t i = 0; i < ROWS; i++)
        if (json_find(result, rows[i]))
            printf(" %11s", rows[i]);
    printf("\n");
    json_object_object_foreach(families, family, unused)
    {
        (void)unused;
        struct json_object *blind = json_find(json_find(dense, "blind_by_family"), family);
        printf("%-10s %8lld %8.3f %8.3f %8.3f", family,
               (long long)json_get_int(json_find(dense, "expressions_by_family"), family, 0),
               json_get_num(blind, "random", 0), json_get_num(blind, "head_noun", 0),
               json_get_num(blind, "attributes", 0));
        for (size_t i = 0; i < ROWS; i++) {
            struct json_object *row = json_find(result, rows[i]);
            if (row)
                printf(" %11.4f", json_get_num(json_find(row, "p1_by_family"), family, 0));
        }
        printf("\n");
    }
}

static void print_rest(struct json_object *result)
{
    struct json_object *seconds = json_find(result, "seconds_by_phase");
    struct json_object *align = json_find(result, "alignment");
    if (align)
        printf("\nalignment before hardening: R_align %.3g, median norm of %lld pruned groups "
               "%.3g, median "
               "distance of %lld shared pairs %.3g\n",
               json_get_num(align, "r_align", 0), (long long)json_get_int(align, "zero_groups", 0),
               json_get_num(align, "zero_norm_median", 0),
               (long long)json_get_int(align, "pairs", 0),
               json_get_num(align, "pair_norm_median", 0));
    if (json_find(result, "hypernet_share"))
        printf("hypernetwork: %.1f %% of the search's time\n",
               100 * json_get_num(result, "hypernet_share", 0));
    if (!seconds)
        return;
    printf("seconds:");
    json_object_object_foreach(seconds, phase, value)
        printf(" %s %.0f", phase, json_object_get_double(value));
    printf("\n");
}

int verb_report(int argc, char **argv)
{
    struct err err = {0};
    struct json_object *result = NULL;
    if (argc != 2 || strcmp(argv[1], "--help") == 0) {
        fputs("usage: espalier-worker report FILE      (FILE: a job's result.json)\n",
              argc == 2 ? stdout : stderr);
        return argc == 2 ? 0 : status_exit_code(ST_INVALID);
    }
    enum status st = json_read_file(&result, argv[1], RESULT_MAX, &err);
    if (st != ST_OK) {
        fprintf(stderr, "espalier-worker report: %s\n", err.text);
        return status_exit_code(st);
    }
    print_sizes(result);
    print_families(result);
    print_rest(result);
    json_object_put(result);
    return 0;
}
