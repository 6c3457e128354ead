/* local.c - environment, folders, disk, store, worker. See doctor.h. */
#include "doctor/doctor.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define VERSION_MS 10000

/* ---- environment ------------------------------------------------------------------------------ */

/* gRPC takes the first of these that is set; no_proxy names hosts that are reached without. */
static const char *const proxies[] = {"grpc_proxy", "https_proxy", "http_proxy"};

static void check_proxies(struct doctor *d)
{
    const char *except = getenv("no_grpc_proxy") ? getenv("no_grpc_proxy") : getenv("no_proxy");
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
        const char *value = getenv(proxies[i]);
        if (!value || !*value)
            continue;
        struct check *c = doctor_say(
            d, "proxy", CHECK_WARNING,
            "%s is '%.100s' and no_proxy is '%.100s': gRPC sends calls over TCP to that proxy, and "
            "so do webhooks",
            proxies[i], value, except ? except : "");
        check_remedy(c, "unset it for the daemon, or put the names of the daemon's host and of the "
                        "nodes into no_proxy");
        return;
    }
    doctor_say(d, "proxy", CHECK_OK, "no proxy is set");
}

static void check_temp(struct doctor *d)
{
    const char *dir = getenv("TMPDIR");
    struct stat sb;
    if (!dir || !*dir)
        dir = "/tmp";
    if (stat(dir, &sb) == 0 && S_ISDIR(sb.st_mode) && access(dir, W_OK | X_OK) == 0) {
        doctor_say(d, "temp folder", CHECK_OK, "%.200s can be written", dir);
        return;
    }
    check_remedy(doctor_say(d, "temp folder", CHECK_FAULT,
                            "TMPDIR is %.200s, which is no folder that can be written; mpirun puts "
                            "its session there",
                            dir),
                 "unset TMPDIR, or make the folder: mkdir -p %.200s", dir);
}

void examine_environment(struct doctor *d)
{
    check_proxies(d);
    check_temp(d);
}

/* ---- folders ---------------------------------------------------------------------------------- */

/* The folder, or the nearest one above it that is there. */
static void nearest(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    while (!file_exists(out) && strlen(out) > 1) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out)
            snprintf(out, size, "/");
        else
            *slash = '\0';
    }
}

static void check_private(struct doctor *d, const char *name, const char *path, const char *why)
{
    struct stat sb;
    if (stat(path, &sb) != 0) {
        char up[1024];
        nearest(path, up, sizeof up);
        if (errno == ENOENT && access(up, W_OK | X_OK) == 0)
            doctor_say(d, name, CHECK_OK, "%.200s will be made", path);
        else
            check_remedy(doctor_say(d, name, CHECK_FAULT,
                                    "%.200s cannot be made: %.150s is not "
                                    "writable for this account",
                                    path, up),
                         "make it: mkdir -m 700 -p %.200s, owned by the daemon's account", path);
    } else if (sb.st_uid != geteuid()) {
        check_remedy(doctor_say(d, name, CHECK_FAULT, "%.200s belongs to account %u, not to %u",
                                path, sb.st_uid, geteuid()),
                     "chown it, or run the daemon as its owner");
    } else if (sb.st_mode & 077) {
        check_remedy(doctor_say(d, name, CHECK_FAULT, "%.200s is open to others (mode %03o): %s",
                                path, sb.st_mode & 0777, why),
                     "chmod 700 %.200s", path);
    } else if (access(path, W_OK | X_OK) != 0) {
        check_remedy(doctor_say(d, name, CHECK_FAULT, "%.200s cannot be written", path),
                     "chmod u+rwx %.200s; or is the file system read-only?", path);
    } else {
        doctor_say(d, name, CHECK_OK, "%.200s is this account's alone", path);
    }
}

void judge_disk(struct doctor *d, const char *path, uint64_t free_bytes, uint64_t free_files)
{
    bool none = free_bytes < 100 * MIB || free_files < 1000;
    bool little = free_bytes < 2048 * MIB || free_files < 10000;
    struct check *c =
        doctor_say(d, "disk",
                   none     ? CHECK_FAULT
                   : little ? CHECK_WARNING
                            : CHECK_OK,
                   "%llu MiB and room for %llu files are free where %.150s is",
                   (unsigned long long)(free_bytes / MIB), (unsigned long long)free_files, path);
    if (little)
        check_remedy(c, "free space there (espalier rm removes finished jobs), or move the home: "
                        "checkpoints need it, and new work is refused when it is full");
}

static const struct {
    long magic;
    const char *name;
} shared[] = {{0x6969, "NFS"},        {0xff534d42, "CIFS"},  {0xfe534d42, "SMB"},
              {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},  {0x19830326, "BeeGFS"},
              {0x65735546, "FUSE"},   {0x01021997, "9P"},    {0x00c36400, "Ceph"},
              {0x5346414f, "AFS"},    {0x7461636f, "OCFS2"}, {0x01161970, "GFS2"}};

void judge_store(struct doctor *d, const char *path, long magic)
{
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if ((unsigned long)shared[i].magic == ((unsigned long)magic & 0xffffffffUL)) {
            struct check *c =
                doctor_say(d, "store", CHECK_WARNING,
                           "the job store %.150s lies on %s: SQLite needs locks and shared memory "
                           "that such file systems often do not keep",
                           path, shared[i].name);
            check_remedy(
                c,
                "stop the daemon, `espalierd backup FILE`, set store: /var/lib/espalier/jobs.db or "
                "another file on a local disk, `espalierd restore FILE`, start it");
            return;
        }
    doctor_say(d, "store", CHECK_OK, "the job store lies on a local file system");
}

const char *home_to_find(const struct doctor *d)
{
    char jobs[4200];
    snprintf(jobs, sizeof jobs, "%s/jobs", d->options->home);
    return file_exists(jobs) ? d->options->home : NULL;
}

void examine_folders(struct doctor *d)
{
    const char *home = d->options->home, *listen = d->options->listen;
    char there[1024], store[1024];
    struct statvfs vfs;
    struct statfs fs;
    check_private(d, "home", home, "jobs and their tokens lie there");
    char *dir = path_dir(listen + strlen("unix:"));
    if (dir)
        check_private(d, "socket", dir, "whoever may enter it may use the daemon");
    free(dir);
    nearest(d->options->store, store, sizeof store);
    nearest(home, there, sizeof there);
    if (statvfs(there, &vfs) == 0)
        judge_disk(d, home, (uint64_t)vfs.f_bavail * vfs.f_frsize,
                   vfs.f_files ? vfs.f_favail : UINT32_MAX);
    if (statfs(store, &fs) == 0)
        judge_store(d, d->options->store, (long)fs.f_type);
}

/* ---- worker ----------------------------------------------------------------------------------- */

void examine_worker(struct doctor *d)
{
    const char *worker = d->options->worker, *argv[] = {worker, "--version", NULL};
    struct asked a;
    ask(&a, argv, VERSION_MS);
    if (a.status != ST_OK)
        check_remedy(doctor_say(d, "worker", CHECK_FAULT, "%s", a.words),
                     "install espalier-worker beside espalierd, or say where it is: --worker PATH");
    else if (a.code != 0)
        check_remedy(doctor_say(d, "worker", CHECK_FAULT, "%.150s ends with code %d: %.150s",
                                worker, a.code, a.words),
                     "install the package that it belongs to again; `ldd %.150s` names libraries "
                     "that are missing",
                     worker);
    else if (strcmp(a.words, "espalier-worker " ESPALIER_VERSION) != 0)
        check_remedy(doctor_say(d, "worker", CHECK_WARNING,
                                "%.150s says '%.100s', this is espalierd %s", worker, a.words,
                                ESPALIER_VERSION),
                     "install the same version of both");
    else
        doctor_say(d, "worker", CHECK_OK, "%s", a.words);
    asked_fini(&a);
}
