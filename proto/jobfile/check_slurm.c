/* check_slurm.c - the section slurm: words that may become options of sbatch, and numbers that fit together. */
#include "jobfile/parse.h"
#include "jobfile/slurm_words.h"

static const enum key_id words[] = {KEY_slurm_account,    KEY_slurm_partition, KEY_slurm_qos,
                                    KEY_slurm_constraint, KEY_slurm_gres,      KEY_slurm_exclude,
                                    KEY_slurm_reservation};

static void check_words(struct parse *p)
{
    char why[160];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *word = *key_text(p->job, words[i]);
        if (!p->place[words[i]].bad && !slurm_word_ok(word))
            complain(
                p, words[i], false,
                "'%.60s' has a blank, a quote, $, `, ;, # or a character that is not printable "
                "ASCII; Slurm knows no such name",
                word);
    }
    if (!p->place[KEY_slurm_options].bad &&
        !slurm_options_ok(p->job->slurm_options, why, sizeof why))
        complain(p, KEY_slurm_options, false, "%s", why);
}

static void check_shape(struct parse *p)
{
    const struct jobfile *job = p->job;
    long long nodes = job->slurm_nodes, each = job->slurm_ranks_per_node;
    long long ranks = job->resources_ranks;
    if (p->place[KEY_slurm_nodes].bad || p->place[KEY_slurm_ranks_per_node].bad ||
        p->place[KEY_resources_ranks].bad)
        return;
    if (nodes > ranks)
        complain(p, KEY_slurm_nodes, false,
                 "%lld nodes, but %lld rank%s in all; use %lld, or raise resources.ranks", nodes,
                 ranks, ranks == 1 ? "" : "s", ranks);
    else if (nodes && each && nodes * each != ranks)
        complain(p, KEY_slurm_ranks_per_node, false,
                 "%lld nodes x %lld ranks are not the %lld of resources.ranks", nodes, each, ranks);
}

static void check_time(struct parse *p)
{
    long long minutes = p->job->slurm_time_minutes, warn = p->job->slurm_warn_seconds;
    if (p->place[KEY_slurm_time_minutes].bad || p->place[KEY_slurm_warn_seconds].bad)
        return;
    if (minutes && warn >= minutes * 60)
        complain(p, KEY_slurm_warn_seconds, false,
                 "the ranks would be told to stop %lld s before the end of a Slurm job of %lld s; "
                 "nothing "
                 "would be computed",
                 warn, minutes * 60);
}

static void check_used(struct parse *p)
{
    for (int key = KEY_slurm_account; key <= KEY_slurm_options; key++)
        if (p->job->resources_launcher == LAUNCHER_MPIRUN && p->place[key].set)
            complain(p, key, true, "has no effect with resources.launcher mpirun");
}

void check_slurm(struct parse *p)
{
    check_words(p);
    check_shape(p);
    check_time(p);
    check_used(p);
}
