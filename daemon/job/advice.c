/* advice.c - see advice.h. */
#include "job/advice.h"

#include <ctype.h>
#include <string.h>

static const struct {
    const char *reason, *advice;
} advices[] = {
    {"", ""},
    {"cancelled", "to run it again: espalier show %s --file > job.yaml; espalier submit job.yaml"},
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
    {"bad_input", "correct the file that the sentence names and submit again; espalier plan FILE "
                  "checks before"},
    {"io", "free space or repair the file system that the sentence names, then: espalier retry %s"},
    {"internal", "an error of the program: please report it with the output of espalier logs %s"},
};

#define NODE_LOST_HERE                                                                             \
    "see whether the node that the sentence names can be reached by the remote shell (espalier "   \
    "doctor), or keep jobs off it: espalier nodes --drain NODE; then: espalier retry %s"

const char *reason_advice(enum job_reason reason, bool in_slurm)
{
    if (reason == REASON_NODE_LOST && !in_slurm)
        return NODE_LOST_HERE;
    const char *name = job_reason_name(reason);
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (strcmp(advices[i].reason, name) == 0)
            return advices[i].advice;
    return "";
}

/* Slurm 20.11 to 24.05; squeue(1), "JOB REASON CODES". */
static const struct slurm_reason slurm_reasons[] = {
    {"Priority", "jobs of higher priority wait in front of it",
     "nothing to do but wait; `sprio -j %s` shows what its priority is made of"},
    {"Resources", "it is next, and waits until enough nodes are free",
     "`squeue --start -j %s` gives Slurm's estimate; fewer ranks or less memory may start sooner"},
    {"QOSMaxJobsPerUserLimit", "the account runs as many jobs as its QOS lets it",
     "wait for one of them, or ask for another slurm.qos"},
    {"QOSMaxCpuPerUserLimit", "the account uses as many cores as its QOS lets it",
     "wait, ask for fewer ranks, or another slurm.qos"},
    {"QOSMaxGRESPerUser", "the account uses as many GPUs as its QOS lets it",
     "wait, ask for fewer GPUs, or another slurm.qos"},
    {"QOSMaxWallDurationPerJobLimit", "its time is above what the QOS allows",
     "lower slurm.time_minutes: the job is then cut into several attempts"},
    {"QOSGrpCpuLimit", "all jobs of the QOS together use as many cores as it has", "wait"},
    {"QOSGrpNodeLimit", "all jobs of the QOS together use as many nodes as it has", "wait"},
    {"AssocGrpCpuLimit", "the account's group uses as many cores as it may", "wait"},
    {"AssocGrpCPUMinutesLimit", "the account's core minutes are used up",
     "ask the cluster's operators for more, or another slurm.account"},
    {"AssocGrpGRES", "the account's group uses as many GPUs as it may", "wait"},
    {"AssocGrpNodeLimit", "the account's group uses as many nodes as it may", "wait"},
    {"AssocMaxJobsLimit", "the account runs as many jobs as it may", "wait for one of them"},
    {"AssocMaxWallDurationPerJobLimit", "its time is above what the account may ask for",
     "lower slurm.time_minutes: the job is then cut into several attempts"},
    {"MaxCpuPerAccount", "the account uses as many cores as it may", "wait"},
    {"InvalidAccount", "Slurm does not know the account",
     "`sacctmgr show assoc user=$USER` lists yours; correct slurm.account"},
    {"InvalidQOS", "Slurm does not know the QOS, or the account may not use it",
     "`sacctmgr show assoc user=$USER format=qos` lists yours; correct slurm.qos"},
    {"AccountNotAllowed", "the partition does not take this account",
     "`scontrol show partition` says whom it takes; correct slurm.partition or slurm.account"},
    {"PartitionTimeLimit", "its time is above the partition's limit",
     "lower slurm.time_minutes: the job is then cut into several attempts"},
    {"PartitionNodeLimit", "it asks for more nodes than the partition has or allows",
     "ask for fewer nodes, or another slurm.partition"},
    {"PartitionDown", "the partition is down", "`sinfo` shows which are up; ask the operators"},
    {"PartitionInactive", "the partition takes no jobs now",
     "`sinfo` shows which do; ask the operators"},
    {"PartitionConfig", "the partition cannot give what it asks for",
     "compare it with `scontrol show partition`"},
    {"ReqNodeNotAvail", "a node that it needs is down, drained or reserved",
     "`sinfo -R` says why; a maintenance reservation that begins soon needs a shorter "
     "slurm.time_minutes"},
    {"NodeDown", "a node that it needs is down", "`sinfo -R` says why"},
    {"Nodes_required_for_job_are_DOWN", "nodes that it needs are down, drained or reserved",
     "`sinfo -R` says why"},
    {"Reservation", "it waits for its reservation to begin", "`scontrol show reservation`"},
    {"ReservationDeleted", "its reservation is gone", "correct slurm.reservation and submit again"},
    {"BadConstraints", "no node has what it asks for",
     "compare slurm.constraint and resources with `sinfo -o '%%N %%c %%m %%G %%f'`"},
    {"BeginTime", "its start is set for later", "`scontrol show job %s` says when"},
    {"Dependency", "it waits for another job in Slurm", "`scontrol show job %s` says which"},
    {"DependencyNeverSatisfied", "what it waits for in Slurm failed", "cancel it and submit again"},
    {"JobHeldUser", "somebody of this account holds it in Slurm", "scontrol release %s"},
    {"JobHeldAdmin", "an operator of the cluster holds it", "ask the cluster's operators"},
    {"JobLaunchFailure", "Slurm could not start it on a node",
     "`scontrol show job %s` names the node; exclude it by slurm.exclude"},
    {"launch_failed_requeued_held", "Slurm could not start it on a node and holds it",
     "exclude the node by slurm.exclude, then: scontrol release %s"},
    {"Licenses", "it waits for a licence", "`scontrol show lic`"},
    {"Prolog", "the node's prolog runs", "nothing to do but wait"},
    {"Cleaning", "an earlier run of it is being cleaned up", "nothing to do but wait"},
    {"FrontEndDown", "the front end is down", "ask the cluster's operators"},
    {"SystemFailure", "Slurm or a node failed", "ask the cluster's operators"},
};

static bool is_word(int c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* scontrol writes _ where squeue writes a blank. */
static bool begins_with(const char *text, const char *code)
{
    while (*code && (*text == *code || (*text == ' ' && *code == '_')))
        text++, code++;
    return !*code && !is_word(*text);
}

static bool names(const char *text, const char *code)
{
    for (const char *at = text; *at; at++)
        if ((at == text || !is_word(at[-1])) && begins_with(at, code))
            return true;
    return false;
}

const struct slurm_reason *slurm_reason_find(const char *text)
{
    for (size_t i = 0; i < sizeof slurm_reasons / sizeof *slurm_reasons; i++)
        if (names(text, slurm_reasons[i].code))
            return &slurm_reasons[i];
    return NULL;
}
