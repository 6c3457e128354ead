/* Slurm's reasons in words: every limit of Slurm 22.05 by its code, the other codes, and what sbatch says when it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "job/slurm_reason.h"

#include <stdio.h>
#include <string.h>

static const char limits[] =
    "AssocGrpBB AssocGrpBBMinutes AssocGrpBBRunMinutes AssocGrpBilling "
    "AssocGrpBillingMinutes AssocGrpBillingRunMinutes AssocGrpCPUMinutesLimit "
    "AssocGrpCPURunMinutesLimit AssocGrpCpuLimit AssocGrpEnergy AssocGrpEnergyMinutes "
    "AssocGrpEnergyRunMinutes AssocGrpGRES AssocGrpGRESMinutes AssocGrpGRESRunMinutes "
    "AssocGrpJobsLimit AssocGrpLicense AssocGrpLicenseMinutes AssocGrpLicenseRunMinutes "
    "AssocGrpMemLimit AssocGrpMemMinutes AssocGrpMemRunMinutes AssocGrpNodeLimit "
    "AssocGrpNodeMinutes AssocGrpNodeRunMinutes AssocGrpSubmitJobsLimit AssocGrpUnknown "
    "AssocGrpUnknownMinutes AssocGrpUnknownRunMinutes AssocGrpWallLimit "
    "AssocMaxBBMinutesPerJob AssocMaxBBPerJob AssocMaxBBPerNode "
    "AssocMaxBillingMinutesPerJob AssocMaxBillingPerJob AssocMaxBillingPerNode "
    "AssocMaxCpuMinutesPerJobLimit AssocMaxCpuPerJobLimit AssocMaxCpuPerNode "
    "AssocMaxEnergyMinutesPerJob AssocMaxEnergyPerJob AssocMaxEnergyPerNode "
    "AssocMaxGRESMinutesPerJob AssocMaxGRESPerJob AssocMaxGRESPerNode AssocMaxJobsLimit "
    "AssocMaxLicenseMinutesPerJob AssocMaxLicensePerJob AssocMaxMemMinutesPerJob "
    "AssocMaxMemPerJob AssocMaxMemPerNode AssocMaxNodeMinutesPerJob AssocMaxNodePerJobLimit "
    "AssocMaxSubmitJobLimit AssocMaxUnknownMinutesPerJob AssocMaxUnknownPerJob "
    "AssocMaxUnknownPerNode AssocMaxWallDurationPerJobLimit MaxBBPerAccount "
    "MaxBillingPerAccount MaxCpuPerAccount MaxEnergyPerAccount MaxGRESPerAccount "
    "MaxJobsPerAccount MaxLicensePerAccount MaxMemoryPerAccount MaxNodePerAccount "
    "MaxSubmitJobsPerAccount MaxUnknownPerAccount QOSGrpBB QOSGrpBBMinutes "
    "QOSGrpBBRunMinutes QOSGrpBilling QOSGrpBillingMinutes QOSGrpBillingRunMinutes "
    "QOSGrpCPUMinutesLimit QOSGrpCPURunMinutesLimit QOSGrpCpuLimit QOSGrpEnergy "
    "QOSGrpEnergyMinutes QOSGrpEnergyRunMinutes QOSGrpGRES QOSGrpGRESMinutes "
    "QOSGrpGRESRunMinutes QOSGrpJobsLimit QOSGrpLicense QOSGrpLicenseMinutes "
    "QOSGrpLicenseRunMinutes QOSGrpMemLimit QOSGrpMemoryMinutes QOSGrpMemoryRunMinutes "
    "QOSGrpNodeLimit QOSGrpNodeMinutes QOSGrpNodeRunMinutes QOSGrpSubmitJobsLimit "
    "QOSGrpUnknown QOSGrpUnknownMinutes QOSGrpUnknownRunMinutes QOSGrpWallLimit "
    "QOSMaxBBPerJob QOSMaxBBPerNode QOSMaxBBPerUser QOSMaxBillingMinutesPerJob "
    "QOSMaxBillingPerJob QOSMaxBillingPerNode QOSMaxBillingPerUser "
    "QOSMaxCpuMinutesPerJobLimit QOSMaxCpuPerJobLimit QOSMaxCpuPerNode "
    "QOSMaxCpuPerUserLimit QOSMaxEnergyMinutesPerJob QOSMaxEnergyPerJob QOSMaxEnergyPerNode "
    "QOSMaxEnergyPerUser QOSMaxGRESMinutesPerJob QOSMaxGRESPerJob QOSMaxGRESPerNode "
    "QOSMaxGRESPerUser QOSMaxJobsPerUserLimit QOSMaxLicenseMinutesPerJob "
    "QOSMaxLicensePerJob QOSMaxLicensePerUser QOSMaxMemoryMinutesPerJob QOSMaxMemoryPerJob "
    "QOSMaxMemoryPerNode QOSMaxMemoryPerUser QOSMaxNodeMinutesPerJob QOSMaxNodePerJobLimit "
    "QOSMaxNodePerUserLimit QOSMaxSubmitJobPerUserLimit QOSMaxUnknownMinutesPerJob "
    "QOSMaxUnknownPerJob QOSMaxUnknownPerNode QOSMaxUnknownPerUser "
    "QOSMaxWallDurationPerJobLimit QOSMinBB QOSMinBilling QOSMinCpuNotSatisfied "
    "QOSMinEnergy QOSMinGRES QOSMinLicense QOSMinMemory QOSMinNode QOSMinUnknown";

static void expect(const char *text, const char *code, const char *words, const char *advice)
{
    struct slurm_reason r;
    char all[512];
    if (!slurm_reason_find(text, &r))
        fail_msg("nothing is known of '%s'", text);
    assert_string_equal(r.code, code);
    snprintf(all, sizeof all, "%s; %s", r.look, r.change);
    if (!strstr(r.words, words) || !strstr(all, advice))
        fail_msg("%s: %s. %s", code, r.words, all);
}

static void every_limit_is_known(void **state)
{
    (void)state;
    char copy[sizeof limits], *rest = copy;
    memcpy(copy, limits, sizeof limits);
    for (const char *code; (code = strsep(&rest, " "));)
        expect(code, code, "", "scontrol show assoc_mgr");
}

static void limits_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *code, *words, *advice;
    } cases[] = {
        {"QOSMaxJobsPerUserLimit", "this user's jobs in its QOS have as many jobs as they may",
         "scontrol update JobId=%s QOS=NAME"},
        {"QOSMaxWallDurationPerJobLimit", "more time than its QOS allows a job",
         "TimeLimit=MINUTES"},
        {"AssocMaxWallDurationPerJobLimit", "more time than its account allows a job",
         "it never starts as it is"},
        {"AssocGrpCpuLimit", "all jobs of its account together have as many cores as they may",
         "users=$USER flags=assoc"},
        {"AssocGrpCPUMinutesLimit", "have used up their cores x minutes", "Account=NAME"},
        {"QOSGrpMemoryRunMinutes", "have as many MiB of memory x minutes before them", "wait"},
        {"QOSGrpWallLimit", "all jobs of its QOS together have used up their time", "wait"},
        {"AssocMaxNodePerJobLimit", "more nodes than its account allows a job", "never"},
        {"QOSMaxGRESPerNode", "more GPUs or other GRES than its QOS allows a job on one node", ""},
        {"QOSMinCpuNotSatisfied", "fewer cores than its QOS wants", "never"},
        {"MaxCpuPerAccount", "its account's jobs in its QOS have as many cores", "QOS=NAME"},
        {"AssocMaxJobsLimit", "this user's jobs in its account have as many jobs", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].code, cases[i].code, cases[i].words, cases[i].advice);
}

static void codes_in_a_sentence(void **state)
{
    (void)state;
    expect("Resources", "Resources", "it is next", "squeue --start -j %s");
    expect("(Priority)", "Priority", "", "sprio -j %s");
    expect("(ReqNodeNotAvail, UnavailableNodes:n[1-2])", "ReqNodeNotAvail", "", "sinfo -R");
    expect("job 7: QOSMaxCpuPerUserLimit", "QOSMaxCpuPerUserLimit", "cores", "");
    expect("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
           "partitions",
           "Nodes_required_for_job_are_DOWN", "", "sinfo -R");
}

static void what_sbatch_refuses(void **state)
{
    (void)state;
    expect("Invalid account or account/partition combination specified", "InvalidAccount",
           "account", "sacctmgr show assoc user=$USER");
    expect("Invalid qos specification", "InvalidQOS", "QOS", "sacctmgr show assoc");
    expect("the ranks could not be started: Invalid partition name specified", "InvalidPartition",
           "no such partition", "sinfo -s");
    expect(
        "QOSMaxCpuPerJobLimit: Job violates accounting/QOS policy (job submit limit, user's size "
        "and/or time limits)",
        "QOSMaxCpuPerJobLimit", "more cores than its QOS allows", "assoc_mgr");
}

static void no_reason(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "None",
                                        "PriorityX",
                                        "MaxJobs",
                                        "QOSMax",
                                        "QOSGrpXLimit",
                                        "AssocGrpCpuLimits",
                                        "MaxCpuPerJob",
                                        "xQOSGrpCpuLimit"};
    struct slurm_reason r;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (slurm_reason_find(texts[i], &r))
            fail_msg("'%s' passes for %s", texts[i], r.code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_limit_is_known),
        cmocka_unit_test(limits_in_words),
        cmocka_unit_test(codes_in_a_sentence),
        cmocka_unit_test(what_sbatch_refuses),
        cmocka_unit_test(no_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
