/* launcher_main.c - espalier-launcher [--in-slurm] ATTEMPT_DIR: the small process between the daemon and mpirun.
 *
 * It outlives the daemon (own session, deaf to TERM, INT and HUP), runs command.json, waits, and
 * leaves an exit record that survives a crash. Of two launchers of one attempt only the first runs
 * anything. It links nothing but base: what must not die is small.
 *
 * In a Slurm job it stands between the batch step and srun or mpirun. There the signals mean something (record.h): each
 * one reaches the ranks as SIGUSR1, which srun and mpirun both pass on, and the exit record says which it was. It stays
 * in the step's session, where Slurm looks for processes.
 *
 * Exit codes: 0 the record is written, or the attempt is in other hands; in a Slurm job that of srun or mpirun, which
 * Slurm and its accounting take for the job's; 2 usage; 11 it could not start; 75 nor could it now, but another launcher
 * may later (a full disk or process table).
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "launch/hosts.h"
#include "launch/record.h"
#include "launch/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool in_slurm;
static volatile sig_atomic_t asked_by;  /* the newest signal; 0 = none */
static volatile sig_atomic_t passes_to; /* pid of srun or mpirun; 0 = not started yet */

static const int deaf_to[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
#define DEAF_COUNT (sizeof deaf_to / sizeof *deaf_to)

#define CANNOT_RUN 127 /* as shells say it */
#define CLEAR_GRACE_MS 3000
#define CLEAR_LOOK_MS 50
#define CLEAR_TRIES 3
#define CLEAR_PAUSE_S 10

static void set_signals(void (*handler)(int))
{
    for (size_t i = 0; i < DEAF_COUNT; i++)
        signal(deaf_to[i], handler);
}

static void pass_on(int signal)
{
    asked_by = signal;
    if (passes_to)
        kill((pid_t)passes_to, SIGUSR1);
}

static void hear_slurm(void)
{
    static const int heard[] = {SIGUSR1, SIGUSR2, SIGTERM};
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; in_slurm && i < sizeof heard / sizeof *heard; i++)
        sigaction(heard[i], &action, NULL);
}

/* In the child: only returns by exec, or after telling the parent why not. */
static void run_command(char **argv, char **env, int tell)
{
    set_signals(SIG_DFL);
    for (int i = 0; env[i]; i++)
        putenv(env[i]);
    execvp(argv[0], argv);
    int e = errno;
    if (write(tell, &e, sizeof e) != (ssize_t)sizeof e)
        _exit(126);
    _exit(127);
}

/* *ret_errno: 0 = the program runs. */
static enum status start_child(char **argv, char **env, pid_t *ret_pid, int *ret_errno,
                               struct err *err)
{
    int tell[2];
    if (pipe2(tell, O_CLOEXEC) < 0)
        return err_errno(err, "cannot make a pipe");
    pid_t pid = fork();
    if (pid == 0)
        run_command(argv, env, tell[1]);
    close(tell[1]);
    enum status st = pid < 0 ? err_errno(err, "cannot start a process") : ST_OK;
    int e = 0;
    if (st == ST_OK && read(tell[0], &e, sizeof e) != (ssize_t)sizeof e)
        e = 0;
    close(tell[0]);
    if (st == ST_OK) {
        *ret_pid = pid;
        *ret_errno = e;
    }
    return st;
}

static void wait_child(pid_t pid, struct exit_record *ret_exit)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    ret_exit->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ret_exit->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Without the record the attempt's end would never be known: a full disk is waited out. A folder that is gone has
 * nobody who would read it. */
static enum status leave_record(const char *dir, struct exit_record *record, struct err *err)
{
    record->ended_ms = clock_system()->wall_ms(clock_system());
    const char *asked = asked_by == SIGUSR1   ? ASKED_STOP
                        : asked_by == SIGUSR2 ? ASKED_TIME
                        : asked_by == SIGTERM ? ASKED_TERM
                                              : "";
    snprintf(record->asked, sizeof record->asked, "%s", asked);
    for (int failed = 1;; failed++) {
        enum status st = record_write_exit(dir, record, err);
        if (st == ST_OK || st == ST_NOT_FOUND)
            return st;
        int64_t ms = clock_backoff_ms(failed, (uint64_t)getpid());
        log_error("%s; trying again in %.1f s", err->text, (double)ms / 1000);
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    }
}

static void point_to_shm(const struct launcher_record *me)
{
    char path[SHM_PATH_MAX];
    shm_path(me, path);
    if (shm_create(me))
        setenv(SHM_VARIABLE, path, 1);
}

/* Ranks on other nodes end by themselves once mpirun is gone. The next attempt starts after the record of this one, so
 * first they are made sure of; a node that does not answer is not waited for for ever: the fence keeps what may
 * be left there from writing. */
static void clear_nodes(char **argv, const char *dir, char ret_lost[NODE_HOST_MAX])
{
    struct reach reach = reach_of(argv);
    char self[PATH_MAX] = "";
    struct err err;
    if (!reach.hostfile || readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return;
    for (int i = 0; i < CLEAR_TRIES; i++) {
        if (reap_there(&reach, self, dir, ret_lost, &err) == ST_OK)
            return;
        log_error("%s", err.text);
        sleep(i + 1 < CLEAR_TRIES ? CLEAR_PAUSE_S : 0);
    }
}

/* mpirun may be killed before its ranks, which end once they notice. The record is what the next attempt waits for, and no
 * two attempts may run at a time: what is left of this one is given a moment, then killed. In Slurm the step does it. */
static void clear_session(void)
{
    pid_t self = getpid();
    for (int ms = 0; !in_slurm && proc_session_count(self, self) != 0; ms += CLEAR_LOOK_MS) {
        if (ms >= CLEAR_GRACE_MS)
            proc_session_kill(self, self, SIGKILL);
        usleep(CLEAR_LOOK_MS * 1000);
    }
}

/* *ret_code: of what ran. */
static enum status run_attempt(const char *dir, char **argv, char **env, int *ret_code,
                               struct err *err)
{
    const char *slurm_id = in_slurm ? getenv("SLURM_JOB_ID") : NULL;
    struct launcher_record me = {.pid = getpid(),
                                 .start_time = proc_start_time(getpid()),
                                 .slurm_id = slurm_id ? strtoll(slurm_id, NULL, 10) : 0};
    TRY(boot_id_read(me.boot_id, err));
    TRY(record_write_launcher(dir, &me, err));
    if (!in_slurm && !reach_of(argv).hostfile) /* other nodes have no such folder */
        point_to_shm(&me);
    struct exit_record record = {0};
    int why = 0;
    struct err start_err;
    if (start_child(argv, env, &me.child, &why, &start_err) != ST_OK) {
        if (status_is_passing(start_err.code) && !in_slurm && record_remove_launcher(dir)) {
            shm_remove(&me);
            return err_set(err, start_err.code, "%s", start_err.text);
        }
        snprintf(record.refused, sizeof record.refused, "%.250s", start_err.text);
    } else {
        me.child_start_time = proc_start_time(me.child);
        passes_to = me.child;
        if (asked_by) /* before there was anybody to pass it on to */
            kill(me.child, SIGUSR1);
        if (record_write_launcher(dir, &me, err) != ST_OK)
            log_error("%s", err->text);
        wait_child(me.child, &record);
        clear_session();
        if (record.exit_code != 0)
            clear_nodes(argv, dir, record.lost);
        if (why)
            snprintf(record.refused, sizeof record.refused, "cannot run %.150s: %s", argv[0],
                     strerror(why));
    }
    shm_remove(&me);
    *ret_code = record.refused[0] ? CANNOT_RUN : record.exit_code;
    return leave_record(dir, &record, err);
}

/* Missing records are what allows a start; one that cannot be read is a failure, not a licence to run. */
static enum status is_untouched(const char *dir, bool *ret_untouched, struct err *err)
{
    struct launcher_record other;
    struct exit_record end;
    enum status ran = record_read_launcher(dir, &other, err);
    enum status over = record_read_exit(dir, &end, err);
    *ret_untouched = ran == ST_NOT_FOUND && over == ST_NOT_FOUND;
    return ran != ST_OK && ran != ST_NOT_FOUND     ? ran
           : over != ST_OK && over != ST_NOT_FOUND ? over
                                                   : ST_OK;
}

static enum status run(const char *dir, int *ret_code, struct err *err)
{
    int lock = -1; /* stays open: it is held for the life of this process */
    bool untouched = false;
    TRY(record_lock(dir, &lock, err));
    if (lock < 0)
        return ST_OK;
    TRY(is_untouched(dir, &untouched, err));
    if (!untouched)
        return ST_OK;
    char **argv = NULL, **env = NULL;
    TRY(record_read_command(dir, &argv, &env, err));
    enum status st = run_attempt(dir, argv, env, ret_code, err);
    record_free_list(argv);
    record_free_list(env);
    return st;
}

/* --reap: on another node, on behalf of reap_there(). --clear: for a daemon that found an attempt gone whose launcher
 * did not live to ask the other nodes; the file "clear" says that it was done. */
static int clear_up(const char *how, const char *dir)
{
    char **argv = NULL, **env = NULL, self[PATH_MAX] = "", path[PATH_MAX], silent[NODE_HOST_MAX];
    struct err err;
    if (strcmp(how, "--reap") == 0)
        return reap_here(dir) ? 0 : status_exit_code(ST_TIMEOUT);
    enum status st = record_read_command(dir, &argv, &env, &err);
    if (st == ST_OK) {
        struct reach reach = reach_of(argv);
        snprintf(path, sizeof path, "%s/clear", dir);
        if (reach.hostfile && readlink("/proc/self/exe", self, sizeof self - 1) > 0)
            st = reap_there(&reach, self, dir, silent, &err);
        if (st == ST_OK)
            st = file_write_atomic(path, "", 0, 0600, &err);
    }
    record_free_list(argv);
    record_free_list(env);
    if (st != ST_OK)
        log_error("%s", err.text);
    return status_exit_code(st);
}

int main(int argc, char **argv)
{
    log_init("espalier-launcher", LOG_INFO);
    if (argc == 3 && (strcmp(argv[1], "--reap") == 0 || strcmp(argv[1], "--clear") == 0))
        return clear_up(argv[1], argv[2]);
    in_slurm = argc == 3 && strcmp(argv[1], "--in-slurm") == 0;
    if (argc != 2 && !in_slurm) {
        fprintf(stderr, "usage: espalier-launcher [--in-slurm] ATTEMPT_DIR\n"
                        "Started by espalierd, or by a batch script that it wrote; runs "
                        "ATTEMPT_DIR/command.json and leaves\n"
                        "ATTEMPT_DIR/exit.json.\n");
        return 2;
    }
    set_signals(SIG_IGN);
    hear_slurm();
    if (!in_slurm)
        setsid();
    struct err err;
    int code = 0;
    enum status st = run(argv[argc - 1], &code, &err);
    if (st == ST_OK)
        return in_slurm ? code : 0;
    log_error("%s", err.text);
    return in_slurm || !status_is_passing(st) ? status_exit_code(ST_IO) : LAUNCHER_TRY_AGAIN;
}
