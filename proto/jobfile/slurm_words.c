/* slurm_words.c - see slurm_words.h. */
#include "jobfile/slurm_words.h"

#include <stdio.h>
#include <string.h>

static bool word_ok(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (word[i] <= ' ' || word[i] >= 127 || strchr("'\"\\$`;#", word[i]))
            return false;
    return true;
}

bool slurm_word_ok(const char *word)
{
    return word_ok(word, strlen(word));
}

/* Options that are set elsewhere, and where. sbatch takes any unambiguous beginning of a name, so that "--outp" is
 * "--output" too. */
static const struct {
    const char *name, *instead;
} managed[] = {
    {"account", "slurm.account"},
    {"array", NULL},
    {"batch", NULL},
    {"bb", NULL},
    {"bbf", NULL},
    {"begin", NULL},
    {"chdir", NULL},
    {"clusters", NULL},
    {"comment", NULL},
    {"constraint", "slurm.constraint"},
    {"cpus-per-gpu", "resources.threads"},
    {"cpus-per-task", "resources.threads"},
    {"dependency", NULL},
    {"error", NULL},
    {"exclude", "slurm.exclude"},
    {"export", NULL},
    {"export-file", NULL},
    {"get-user-env", NULL},
    {"gid", NULL},
    {"gpus", "resources.gpus"},
    {"gpus-per-node", "resources.gpus"},
    {"gpus-per-socket", "resources.gpus"},
    {"gpus-per-task", "resources.gpus"},
    {"gres", "slurm.gres"},
    {"hold", NULL},
    {"ignore-pbs", NULL},
    {"input", NULL},
    {"job-name", NULL},
    {"kill-on-invalid-dep", NULL},
    {"mem", "resources.memory_mib"},
    {"mem-per-cpu", "resources.memory_mib"},
    {"mem-per-gpu", "resources.memory_mib"},
    {"nice", "resources.priority"},
    {"no-kill", NULL},
    {"no-requeue", NULL},
    {"nodes", "slurm.nodes"},
    {"ntasks", "resources.ranks"},
    {"ntasks-per-core", "resources.ranks"},
    {"ntasks-per-gpu", "resources.ranks"},
    {"ntasks-per-node", "slurm.ranks_per_node"},
    {"ntasks-per-socket", "resources.ranks"},
    {"open-mode", NULL},
    {"output", NULL},
    {"parsable", NULL},
    {"partition", "slurm.partition"},
    {"priority", "resources.priority"},
    {"qos", "slurm.qos"},
    {"quiet", NULL},
    {"requeue", NULL},
    {"reservation", "slurm.reservation"},
    {"signal", "slurm.warn_seconds"},
    {"tasks-per-node", "slurm.ranks_per_node"},
    {"test-only", NULL},
    {"time", "slurm.time_minutes"},
    {"time-min", "slurm.time_minutes"},
    {"uid", NULL},
    {"wait", NULL},
    {"workdir", NULL},
    {"wrap", NULL},
};

static const char *const unmanaged[] = {
    "acctg-freq",
    "contiguous",
    "container",
    "core-spec",
    "cores-per-socket",
    "cpu-freq",
    "deadline",
    "delay-boot",
    "distribution",
    "exclusive",
    "extra-node-info",
    "gpu-bind",
    "gpu-freq",
    "gres-flags",
    "hint",
    "licenses",
    "mail-type",
    "mail-user",
    "mcs-label",
    "mem-bind",
    "mincpus",
    "network",
    "nodefile",
    "nodelist",
    "overcommit",
    "oversubscribe",
    "power",
    "prefer",
    "profile",
    "propagate",
    "reboot",
    "sockets-per-node",
    "spread-job",
    "switches",
    "thread-spec",
    "threads-per-core",
    "tmp",
    "tres-per-task",
    "use-min-nodes",
    "wait-all-nodes",
    "wckey",
};

static bool is_unmanaged(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof unmanaged / sizeof *unmanaged; i++)
        if (strlen(unmanaged[i]) == len && memcmp(unmanaged[i], name, len) == 0)
            return true;
    return false;
}

static bool option_ok(const char *option, size_t len, char *why, size_t size)
{
    int shown = len < 60 ? (int)len : 60;
    if (len < 3 || memcmp(option, "--", 2) != 0 || option[2] == '-' || option[2] == '=') {
        snprintf(why, size, "'%.*s' is no option; each is --name or --name=value", shown, option);
        return false;
    }
    const char *equals = memchr(option, '=', len);
    const char *name = option + 2;
    size_t n = (equals ? (size_t)(equals - option) : len) - 2;
    for (size_t i = 0; i < sizeof managed / sizeof *managed && !is_unmanaged(name, n); i++) {
        if (strncmp(managed[i].name, name, n) != 0)
            continue;
        if (managed[i].instead)
            snprintf(why, size, "--%.*s is set from %s; set that", (int)(n < 40 ? n : 40), name,
                     managed[i].instead);
        else
            snprintf(why, size, "--%.*s is set by espalier itself and cannot be changed",
                     (int)(n < 40 ? n : 40), name);
        return false;
    }
    if (!word_ok(option, len)) {
        snprintf(why, size,
                 "'%.*s' has a quote, $, `, ;, # or a character that is not printable ASCII", shown,
                 option);
        return false;
    }
    return true;
}

bool slurm_options_ok(const char *options, char *why, size_t size)
{
    for (const char *at = options; *at;) {
        size_t len = strcspn(at, " ");
        if (len > 0 && !option_ok(at, len, why, size))
            return false;
        at += len + (at[len] == ' ');
    }
    return true;
}
