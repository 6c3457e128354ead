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
    struct buf said;
    int code = 0;
    *out = '\0';
    buf_init(&said, 1u << 20);
    if (capture(argv, COMMAND_MS, &said, &code, NULL) == ST_OK) {
        const char *line = strstr(buf_str(&said), "AuthInfo"),
                   *at = line ? strstr(line, "socket=") : NULL;
        if (at && at < strchrnul(line, '\n'))
            snprintf(out, 256, "%.*s", (int)strcspn(at + 7, ",; \n"), at + 7);
    }
    buf_fini(&said);
}

static void check_munge(struct doctor *d)
{
    char words[200], socket[256];
    munge_socket(d, socket);
    const char *usual[] = {"munge", "-n", NULL}, *other[] = {"munge", "-n", "-S", socket, NULL};
    struct buf said;
    struct err err;
    int code = 0;
    buf_init(&said, 1u << 20);
    enum status st = capture(socket[0] ? other : usual, COMMAND_MS, &said, &code, &err);
    first_words(&said, words, sizeof words);
    if (st == ST_NOT_FOUND)
        doctor_say(d, "munge", CHECK_SKIPPED, "munge is not installed; Slurm may use another way");
    else if (st != ST_OK || code != 0)
        check_remedy(doctor_say(d, "munge", CHECK_FAULT, "munge makes no credential: %.200s",
                                st == ST_OK ? words : err.text),
                     "start it (systemctl start munge); /etc/munge/munge.key must be the same on "
                     "all nodes, and clocks within 5 minutes");
    else
        doctor_say(d, "munge", CHECK_OK, "munge makes credentials");
    buf_fini(&said);
}

static void check_controller(struct doctor *d)
{
    char path[1200], words[200];
    const char *argv[] = {slurm_command(d, "scontrol", path), "ping", NULL};
    struct buf said;
    struct err err;
    int code = 0;
    buf_init(&said, 1u << 20);
    enum status st = capture(argv, COMMAND_MS, &said, &code, &err);
    first_words(&said, words, sizeof words);
    if (st == ST_OK && code == 0 && strstr(buf_str(&said), " is UP"))
        doctor_say(d, "slurmctld", CHECK_OK, "%.200s", words);
    else
        check_remedy(doctor_say(d, "slurmctld", CHECK_FAULT,
                                "Slurm's controller does not answer: %.200s",
                                st == ST_OK ? words : err.text),
                     "jobs go on and are told of when it is back; ask the cluster's operators. "
                     "SLURM_CONF must name its slurm.conf");
    buf_fini(&said);
}

static void check_pmix(struct doctor *d)
{
    char path[1200], words[200];
    const char *argv[] = {slurm_command(d, "srun", path), "--mpi=list", NULL};
    struct buf said;
    struct err err;
    int code = 0;
    buf_init(&said, 1u << 20);
    enum status st = capture(argv, COMMAND_MS, &said, &code, &err);
    first_words(&said, words, sizeof words);
    if (st != ST_OK || code != 0)
        check_remedy(doctor_say(d, "srun", CHECK_FAULT, "srun --mpi=list fails: %.200s",
                                st == ST_OK ? words : err.text),
                     "repair Slurm's client here, or say slurm.start: mpirun");
    else if (!strstr(buf_str(&said), "pmix"))
        check_remedy(
            doctor_say(d, "srun", CHECK_WARNING,
                       "srun has no PMIx plugin: Open MPI's ranks would each be alone under "
                       "it"),
            "install Slurm's PMIx plugin, or leave slurm.start at auto: mpirun starts the "
            "ranks in the allocation then");
    else
        doctor_say(d, "srun", CHECK_OK, "srun has a PMIx plugin");
    buf_fini(&said);
}

/* A job of one rank on whatever node is free: does it find worker, home and the daemon? */
static void check_compute_node(struct doctor *d)
{
    char path[1200], words[200], mpi[] = "--mpi=none";
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
    struct buf said;
    struct probe p;
    struct err err;
    int code = 0;
    buf_init(&said, 1u << 20);
    enum status st = capture(argv, SRUN_MS, &said, &code, &err);
    first_words(&said, words, sizeof words);
    if (st != ST_OK || probes_read(&said, &p, 1) != 1)
        check_remedy(doctor_say(d, "compute node", CHECK_WARNING,
                                "no compute node ran the worker within 10 s: %.200s",
                                st == ST_OK ? words : err.text),
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
    buf_fini(&said);
}

void examine_slurm(struct doctor *d)
{
    char path[1200];
    const char *argv[] = {slurm_command(d, "sbatch", path), "--version", NULL};
    bool wanted = d->options->config.launcher == CONFIG_LAUNCHER_SLURM;
    struct buf said;
    struct err err;
    int code = 0;
    buf_init(&said, 1u << 20);
    enum status st = capture(argv, COMMAND_MS, &said, &code, &err);
    buf_fini(&said);
    if (st != ST_OK && !wanted) {
        doctor_say(d, "slurm", CHECK_SKIPPED, "there is no sbatch here, and no job needs it");
        return;
    }
    if (st != ST_OK) {
        check_remedy(doctor_say(d, "slurm", CHECK_FAULT, "launcher is slurm, but %s", err.text),
                     "install Slurm's client here, or say where it is: slurm.bin");
        return;
    }
    check_controller(d);
    struct check *controller = &d->list[d->n - 1];
    if (!wanted && controller->result != CHECK_OK) {
        controller->result = CHECK_SKIPPED; /* the commands alone are no cluster */
        return;
    }
    check_munge(d);
    check_pmix(d);
    if (controller->result == CHECK_OK)
        check_compute_node(d);
}
