/* advice.c - see advice.h. */
#include "job/advice.h"

#include <string.h>

static const struct {
    const char *reason, *advice;
} advices[] = {
    {"", ""},
    {"cancelled", "espalier retry %s (goes on from its newest checkpoint)"},
    {"time_limit", "raise resources.time_minutes, then: espalier retry %s (goes on from its newest "
                   "checkpoint)"},
    {"held", "espalier release %s"},
    {"paused", "espalier resume %s"},
    {"resolved", ""},
    {"preempted", "it goes on by itself from its newest checkpoint; a partition or QOS that is "
                  "not preempted avoids it"},
    {"no_contact", "if you know that nothing of it runs any more: espalier resolve %s --as requeue "
                   "(or --as failed)"},
    {"stalled", "espalier logs %s, to see what the ranks wait for; on_stall: restart in the job "
                "file starts it anew by itself"},
    {"launch_failed", "espalier doctor (checks mpirun and the worker); the last lines of espalier "
                      "logs %s say what mpirun said"},
    {"rank_lost", "espalier logs %s; a rank killed by signal 9 has often used too much memory: "
                  "lower train.micro_batch"},
    {"vanished", "look into the system's log for the out-of-memory killer (dmesg), then: espalier "
                 "retry %s"},
    {"host_restarted", "espalier retry %s (goes on from its newest checkpoint)"},
    {"no_done_record", "espalier logs %s; exit 0 without a result is an error of the worker"},
    {"stopped", "something sent the ranks SIGTERM; espalier retry %s"},
    {"worker_failed", "espalier logs %s says what went wrong"},
    {"wall_time", "it goes on by itself; a longer slurm.time_minutes needs fewer attempts"},
    {"too_short", "raise slurm.time_minutes, or lower train.checkpoint_every so that an attempt "
                  "leaves a checkpoint; then: espalier retry %s"},
    {"node_lost", "sinfo -R says what is wrong with the node; espalier retry %s"},
    {"out_of_memory",
     "raise resources.memory_mib, or lower train.micro_batch; then submit it anew"},
    {"nan_loss", "lower the phase's lr or raise its warmup_steps; train.clip limits the gradient. "
                 "espalier logs %s names the steps"},
    {"collapse", "lower the phase's lr, or train longer before the search; train.on_collapse: warn "
                 "goes on in spite of it"},
    {"bad_input",
     "correct the file that the sentence names, then: espalier retry %s; a changed "
     "job file is submitted anew. espalier data check reads annotations as a job does"},
    {"io", "free space or repair the file system that the sentence names, then: espalier retry %s"},
    {"internal", "an error of the program: please report it with the output of espalier logs %s"},
};

/* What reads otherwise in Slurm, or outside of it. */
static const struct {
    enum job_reason reason;
    bool in_slurm;
    const char *advice;
} by_place[] = {
    {REASON_NODE_LOST, false,
     "see whether the node that the sentence names can be reached by the remote shell (espalier "
     "doctor), or keep jobs off it: espalier nodes --drain NODE; then: espalier retry %s"},
    {REASON_LAUNCH_FAILED, true,
     "correct what the sentence names and submit it again; espalier plan FILE asks Slurm (sbatch "
     "--test-only) without submitting"},
};

const char *reason_advice(enum job_reason reason, bool in_slurm)
{
    for (size_t i = 0; i < sizeof by_place / sizeof *by_place; i++)
        if (by_place[i].reason == reason && by_place[i].in_slurm == in_slurm)
            return by_place[i].advice;
    const char *name = job_reason_name(reason);
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (strcmp(advices[i].reason, name) == 0)
            return advices[i].advice;
    return "";
}
