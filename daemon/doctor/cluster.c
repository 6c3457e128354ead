/* cluster.c - munge and Slurm. See doctor.h. */
#include "doctor/doctor.h"

#include <stdio.h>
#include <string.h>

#define COMMAND_MS 10000
#define SRUN_MS 30000

/* A command of Slurm by the configuration's folder; borrowed from path. */
static const char *slurm_command(const struct doctor *d, const char *name, char path[1200])
{
    const char *bin = d->options->config.slurm_bin;
    snprintf(path, 1200, "%s%s%s", bin, *bin ? "/" : "", name);
    return path;
}

/* Where munged listens, as Slurm is told ("AuthInfo = socket=/path"); "" = the usual place. */
static void munge_socket(const struct doctor *d, char out[256])
{
    char path[1200];
    const char *argv[] = {slurm_command(d, "scontrol", path), "show", "config", NULL};
    struct asked a;
    *out = '\0';
    ask(&a, argv, COMMAND_MS);
    const char *line = strstr(buf_str(&a.said), "AuthInfo"),
               *at = line ? strstr(line, "socket=") : NULL;
    if (at && at < strchrnul(line, '\n'))
        snprintf(out, 256, "%.*s", (int)strcspn(at + 7, ",; \n"), at + 7);
    asked_fini(&a);
}

static void check_munge(struct doctor *d)
{
    char socket[256];
    munge_socket(d, socket);
    const char *usual[] = {"munge", "-n", NULL}, *other[] = {"munge", "-n", "-S", socket, NULL};
    struct asked a;
    ask(&a, socket[0] ? other : usual, COMMAND_MS);
    if (a.status == ST_NOT_FOUND)
        doctor_say(d, "munge", CHECK_SKIPPED, "munge is not installed; Slurm may use another way");
    else if (!a.well)
        check_remedy(
            doctor_say(d, "munge", CHECK_FAULT, "munge makes no credential: %.200s", a.words),
            "start it (systemctl start munge); /etc/munge/munge.key must be the same on "
            "all nodes, and clocks within 5 minutes");
    else
        doctor_say(d, "munge", CHECK_OK, "munge makes credentials");
    asked_fini(&a);
}

static void check_controller(struct doctor *d)
{
    char path[1200];
    const char *argv[] = {slurm_command(d, "scontrol", path), "ping", NULL};
    struct asked a;
    ask(&a, argv, COMMAND_MS);
    if (a.well && strstr(buf_str(&a.said), " is UP"))
        doctor_say(d, "slurmctld", CHECK_OK, "%.200s", a.words);
    else
        check_remedy(doctor_say(d, "slurmctld", CHECK_FAULT,
                                "Slurm's controller does not answer: %.200s", a.words),
                     "jobs go on and are told of when it is back; ask the cluster's operators. "
                     "SLURM_CONF must name its slurm.conf");
    asked_fini(&a);
}

static void check_pmix(struct doctor *d)
{
    char path[1200];
    const char *argv[] = {slurm_command(d, "srun", path), "--mpi=list", NULL};
    struct asked a;
    ask(&a, argv, COMMAND_MS);
    if (!a.well)
        check_remedy(doctor_say(d, "srun", CHECK_FAULT, "srun --mpi=list fails: %.200s", a.words),
                     "repair Slurm's client here, or say slurm.start: mpirun");
    else if (!strstr(buf_str(&a.said), "pmix"))
        check_remedy(
            doctor_say(d, "srun", CHECK_WARNING,
                       "srun has no PMIx plugin: Open MPI's ranks would each be alone under "
                       "it"),
            "install Slurm's PMIx plugin, or leave slurm.start at auto: mpirun starts the "
            "ranks in the allocation then");
    else
        doctor_say(d, "srun", CHECK_OK, "srun has a PMIx plugin");
    asked_fini(&a);
}

/* A job of one rank on whatever node is free: does it find worker, home and the daemon? */
static void check_compute_node(struct doctor *d)
{
    char path[1200], mpi[] = "--mpi=none";
    const char *home = home_to_find(d);
    const char *argv[] = {slurm_command(d, "srun", path),
                          "--immediate=10",
                          "-n1",
                          "-t1",
                          "-Jespalier-doctor",
                          "-Q",
                          mpi,
                          d->options->worker,
                          "probe",
                          "--report",
                          d->options->listen,
                          home ? "--home" : NULL,
                          home,
                          NULL};
    struct asked a;
    struct probe p;
    ask(&a, argv, SRUN_MS);
    if (a.status != ST_OK || probes_read(&a.said, &p, 1) != 1)
        check_remedy(doctor_say(d, "compute node", CHECK_WARNING,
                                "no compute node ran the worker within 10 s: %.200s", a.words),
                     "if the cluster is full, try again later; else by hand: srun -n1 %.150s probe",
                     d->options->worker);
    else if (home && strcmp(p.home, "ok") != 0)
        check_remedy(doctor_say(d, "compute node", CHECK_FAULT,
                                "%.100s does not have the home %.150s: %.100s", p.host,
                                d->options->home, p.home),
                     "put the home on a file system that all nodes have, under the same path");
    else if (strcmp(p.report, "ok") != 0)
        check_remedy(
            doctor_say(d, "way back", CHECK_WARNING,
                       "from %.100s ranks cannot report to %.150s: %.100s", p.host,
                       d->options->listen, p.report),
            "progress is then seen when an attempt is over; nothing is lost: reports wait in "
            "the job's folder");
    else
        doctor_say(d, "way back", CHECK_OK, "ranks on %.100s find worker, home and daemon", p.host);
    asked_fini(&a);
}

void examine_slurm(struct doctor *d)
{
    char path[1200];
    const char *argv[] = {slurm_command(d, "sbatch", path), "--version", NULL};
    bool wanted = d->options->config.launcher == CONFIG_LAUNCHER_SLURM;
    struct asked a;
    ask(&a, argv, COMMAND_MS);
    asked_fini(&a);
    if (a.status != ST_OK && !wanted) {
        doctor_say(d, "slurm", CHECK_SKIPPED, "there is no sbatch here, and no job needs it");
        return;
    }
    if (a.status != ST_OK) {
        check_remedy(doctor_say(d, "slurm", CHECK_FAULT, "launcher is slurm, but %s", a.words),
                     "install Slurm's client here, or say where it is: slurm.bin");
        return;
    }
    check_controller(d);
    struct check *controller = &d->list[d->n - 1];
    if (!wanted && controller->result != CHECK_OK) {
        d->n--; /* the commands alone are no cluster */
        doctor_say(d, "slurmctld", CHECK_SKIPPED,
                   "Slurm's commands are here, but no controller answers; only jobs with launcher: "
                   "slurm need one");
        return;
    }
    check_munge(d);
    check_pmix(d);
    if (controller->result == CHECK_OK)
        check_compute_node(d);
}
