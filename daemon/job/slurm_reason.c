/* slurm_reason.c - see slurm_reason.h. */
#include "job/slurm_reason.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- codes that stand for themselves ---------------------------------------------------------- */

#define TIME_LIMIT                                                                                 \
    "`scontrol update JobId=%s TimeLimit=MINUTES` for this one, a lower slurm.time_minutes for "   \
    "those after it: it is then cut into more attempts"
#define OTHER_QOS "`scontrol update JobId=%s QOS=NAME` gives it another one"
#define OTHER_ACCOUNT "`scontrol update JobId=%s Account=NAME` gives it another one"
#define MY_ASSOCIATIONS                                                                            \
    "`sacctmgr show assoc user=$USER format=account,partition,qos` lists what may be used"

/* Slurm 20.11 to 24.05; squeue(1), "JOB REASON CODES". */
static const struct slurm_reason reasons[] = {
    {"Priority", "jobs of higher priority wait in front of it",
     "nothing to do but wait; `sprio -j %s` shows what its priority is made of", ""},
    {"Resources", "it is next, and waits until enough nodes are free",
     "`squeue --start -j %s` gives Slurm's estimate; fewer ranks or less memory may start sooner",
     ""},
    {"PartitionNodeLimit", "it asks for more nodes than the partition has or allows",
     "ask for fewer nodes, or another slurm.partition", ""},
    {"PartitionDown", "the partition is down", "`sinfo` shows which are up; ask the operators", ""},
    {"PartitionInactive", "the partition takes no jobs now",
     "`sinfo` shows which do; ask the operators", ""},
    {"PartitionConfig", "the partition cannot give what it asks for",
     "compare it with `scontrol show partition`", ""},
    {"ReqNodeNotAvail", "a node that it needs is down, drained or reserved",
     "`sinfo -R` says why; a maintenance reservation that begins soon needs a shorter "
     "slurm.time_minutes",
     ""},
    {"NodeDown", "a node that it needs is down", "`sinfo -R` says why", ""},
    {"Nodes_required_for_job_are_DOWN", "nodes that it needs are down, drained or reserved",
     "`sinfo -R` says why", ""},
    {"Reservation", "it waits for its reservation to begin", "`scontrol show reservation`", ""},
    {"ReservationDeleted", "its reservation is gone", "correct slurm.reservation and submit again",
     ""},
    {"BadConstraints", "no node has what it asks for",
     "compare slurm.constraint and resources with `sinfo -o '%%N %%c %%m %%G %%f'`", ""},
    {"BeginTime", "its start is set for later", "`scontrol show job %s` says when", ""},
    {"Dependency", "it waits for another job in Slurm", "`scontrol show job %s` says which", ""},
    {"DependencyNeverSatisfied", "what it waits for in Slurm failed", "cancel it and submit again",
     ""},
    {"JobHeldUser", "somebody of this account holds it in Slurm", "scontrol release %s", ""},
    {"JobHeldAdmin", "an operator of the cluster holds it", "ask the cluster's operators", ""},
    {"JobLaunchFailure", "Slurm could not start it on a node",
     "`scontrol show job %s` names the node; exclude it by slurm.exclude", ""},
    {"launch_failed_requeued_held", "Slurm could not start it on a node and holds it",
     "exclude the node by slurm.exclude, then: scontrol release %s", ""},
    {"Licenses", "it waits for a licence", "`scontrol show lic`", ""},
    {"Prolog", "the node's prolog runs", "nothing to do but wait", ""},
    {"Cleaning", "an earlier run of it is being cleaned up", "nothing to do but wait", ""},
    {"FrontEndDown", "the front end is down", "ask the cluster's operators", ""},
    {"SystemFailure", "Slurm or a node failed", "ask the cluster's operators", ""},
    {"PartitionTimeLimit", "its time is above the partition's limit",
     "`sinfo -o '%%P %%l'` lists the limits", TIME_LIMIT},
    {"InvalidPartition", "Slurm knows no such partition", "`sinfo -s` lists them", ""},
    {"InvalidAccount", "Slurm does not know the account, or this user may not use it",
     MY_ASSOCIATIONS, OTHER_ACCOUNT},
    {"InvalidQOS", "Slurm does not know the QOS, or this user may not use it with that account",
     MY_ASSOCIATIONS, OTHER_QOS},
    {"QOSNotAllowed", "the partition does not take this QOS, or the account may not use it",
     MY_ASSOCIATIONS, OTHER_QOS},
    {"AccountNotAllowed", "the partition does not take this account",
     "`scontrol show partition` says whom it takes", OTHER_ACCOUNT},
    {"QOSUsageThreshold", "this user has used too much of the cluster for its QOS",
     "`sshare` shows what is used", OTHER_QOS},
    {"QOSJobLimit", "its QOS runs as many jobs as it may", "", OTHER_QOS},
    {"QOSResourceLimit", "its QOS is at one of its limits", "", OTHER_QOS},
    {"QOSTimeLimit", "its QOS has used up its time", "", OTHER_QOS},
    {"AssociationJobLimit", "its account runs as many jobs as it may", "", OTHER_ACCOUNT},
    {"AssociationResourceLimit", "its account is at one of its limits", "", OTHER_ACCOUNT},
    {"AssociationTimeLimit", "its account has used up its time", "", OTHER_ACCOUNT},
};

/* What sbatch says of a job that it does not take. */
static const struct {
    const char *sentence, *code;
} refusals[] = {
    {"Invalid account or account/partition combination", "InvalidAccount"},
    {"Invalid qos specification", "InvalidQOS"},
    {"Invalid partition name", "InvalidPartition"},
    {"Requested time limit is invalid", "PartitionTimeLimit"},
    {"Requested node configuration is not available", "BadConstraints"},
    {"Invalid feature specification", "BadConstraints"},
};

/* ---- codes of limits -------------------------------------------------------------------------- */

/* QOSMaxCpuMinutesPerJobLimit is owner, bound, thing, Minutes, scope and a tail that says nothing. */
enum owner { QOS, ASSOC };
enum bound { GRP, MAX, MIN };
enum budget { COUNT, MINUTES, RUN_MINUTES };
enum scope { WHOLE, A_JOB, A_NODE, A_USER, AN_ACCOUNT };
struct limit {
    enum owner owner;
    enum bound bound;
    enum budget budget;
    enum scope scope;
    const char *things; /* "cores" */
};

static const struct {
    const char *part, *things;
} things[] = {
    {"SubmitJobs", "jobs in the queue"},
    {"SubmitJob", "jobs in the queue"},
    {"Jobs", "jobs"},
    {"Cpu", "cores"},
    {"CPU", "cores"},
    {"Memory", "MiB of memory"},
    {"Mem", "MiB of memory"},
    {"Node", "nodes"},
    {"GRES", "GPUs or other GRES"},
    {"License", "licences"},
    {"BB", "burst buffers"},
    {"Energy", "joules"},
    {"Billing", "billing units"},
    {"WallDuration", "time"},
    {"Wall", "time"},
    {"Unknown", "resources"},
};

static bool take(const char **at, const char *part)
{
    size_t n = strlen(part);
    bool there = strncmp(*at, part, n) == 0;
    *at += there ? n : 0;
    return there;
}

static bool take_thing(const char **at, struct limit *l)
{
    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        if (take(at, things[i].part)) {
            l->things = things[i].things;
            return true;
        }
    return false;
}

static bool limit_read(const char *word, struct limit *ret_limit)
{
    const char *at = word;
    struct limit l = {.owner = QOS};
    bool named = take(&at, "QOS");
    if (!named && (named = take(&at, "Assoc")))
        l.owner = ASSOC;
    l.bound = take(&at, "Max") ? MAX : take(&at, "Min") ? MIN : GRP;
    if ((l.bound == GRP && !take(&at, "Grp")) || !take_thing(&at, &l))
        return false;
    l.budget = take(&at, "RunMinutes") ? RUN_MINUTES : take(&at, "Minutes") ? MINUTES : COUNT;
    l.scope = take(&at, "PerJob")       ? A_JOB
              : take(&at, "PerNode")    ? A_NODE
              : take(&at, "PerUser")    ? A_USER
              : take(&at, "PerAccount") ? AN_ACCOUNT
                                        : WHOLE;
    if (!take(&at, "Limit"))
        take(&at, "NotSatisfied");
    if (*at || (!named && l.scope != AN_ACCOUNT))
        return false; /* MaxJobs alone is no code */
    *ret_limit = l;
    return true;
}

static bool is_time(const struct limit *l)
{
    return strcmp(l->things, "time") == 0;
}

static bool is_of_one_job(const struct limit *l)
{
    return l->bound == MIN || l->scope == A_JOB || l->scope == A_NODE;
}

static const char *whose(const struct limit *l)
{
    if (l->scope == A_USER)
        return "this user's jobs in its QOS";
    if (l->scope == AN_ACCOUNT)
        return "its account's jobs in its QOS";
    if (l->owner == ASSOC)
        return l->bound == GRP ? "all jobs of its account together"
                               : "this user's jobs in its account";
    return "all jobs of its QOS together";
}

static void describe(const struct limit *l, char *out, size_t size)
{
    const char *by = l->owner == QOS ? "its QOS" : "its account";
    const char *minutes = l->budget == COUNT || is_time(l) ? "" : " x minutes";
    if (l->bound == MIN)
        snprintf(out, size, "it asks for fewer %s than %s wants of a job", l->things, by);
    else if (is_of_one_job(l))
        snprintf(out, size, "it asks for more %s%s than %s allows a job%s", l->things, minutes, by,
                 l->scope == A_NODE ? " on one node" : "");
    else if (l->budget == MINUTES || is_time(l))
        snprintf(out, size, "%s have used up their %s%s", whose(l), l->things, minutes);
    else if (l->budget == RUN_MINUTES)
        snprintf(out, size, "%s have as many %s%s before them as they may", whose(l), l->things,
                 minutes);
    else
        snprintf(out, size, "%s have as many %s as they may", whose(l), l->things);
}

static void explain_limit(const char *code, const struct limit *l, struct slurm_reason *ret_reason)
{
    bool alone = is_of_one_job(l);
    const char *flags = l->owner == QOS ? "flags=qos" : "users=$USER flags=assoc";
    snprintf(ret_reason->code, sizeof ret_reason->code, "%s", code);
    describe(l, ret_reason->words, sizeof ret_reason->words);
    snprintf(ret_reason->look, sizeof ret_reason->look,
             "`scontrol show assoc_mgr %s` shows the limits and what is used", flags);
    snprintf(ret_reason->change, sizeof ret_reason->change, "%s%s",
             alone ? "it never starts as it is; " : "wait until some of them have ended, or ",
             alone && is_time(l) ? TIME_LIMIT
             : l->owner == ASSOC ? OTHER_ACCOUNT
                                 : OTHER_QOS);
}

/* ---- finding them ----------------------------------------------------------------------------- */

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

static const struct slurm_reason *find_code(const char *text)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (begins_with(text, reasons[i].code))
            return &reasons[i];
    return NULL;
}

static const struct slurm_reason *find_refusal(const char *text)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strstr(text, refusals[i].sentence))
            return find_code(refusals[i].code);
    return NULL;
}

static bool find_limit(const char *text, struct slurm_reason *ret_reason)
{
    char word[sizeof ret_reason->code];
    struct limit l;
    size_t n = 0;
    while (is_word(text[n]))
        n++;
    if (n >= sizeof word)
        return false;
    snprintf(word, sizeof word, "%.*s", (int)n, text);
    if (!limit_read(word, &l))
        return false;
    explain_limit(word, &l, ret_reason);
    return true;
}

bool slurm_reason_find(const char *text, struct slurm_reason *ret_reason)
{
    const struct slurm_reason *found = NULL;
    for (const char *at = text; *at && !found; at++) {
        if (at != text && is_word(at[-1]))
            continue;
        found = find_code(at);
        if (!found && find_limit(at, ret_reason))
            return true;
    }
    if (!found)
        found = find_refusal(text);
    if (found)
        *ret_reason = *found;
    return found != NULL;
}
