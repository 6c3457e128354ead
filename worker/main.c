/* main.c - espalier-worker: a rank of a job, or one of the offline verbs. */
#include "base/log.h"
#include "run/bind.h"
#include "run/cores.h"
#include "run/run.h"
#include "run/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: espalier-worker VERB ...\n"
    "\n"
    "  run --job-dir DIR     one rank of a job (started by mpirun; see "
    "docs/spec/worker-environment.md);\n"
    "      [--trace FILE]    and when it did what (docs/howto/read-a-trace.md)\n"
    "  data make shaperef    make a data set\n"
    "  data check | words    read annotation files as a job would; list the words of their "
    "captions\n"
    "  report FILE           print a job's result.json as a table\n"
    "  probe                 say what a rank finds here, as JSON\n"
    "  --version, --help\n"
    "\n"
    "Exit codes: docs/spec/exit-codes.md\n";

/* The reason in the end record, from the closed list of report.proto. */
static const char *done_reason(enum status st)
{
    switch (st) {
    case ST_OK:
        return "";
    case ST_CANCELLED:
        return "stopped";
    case ST_NUMERIC:
        return "nan_loss";
    case ST_INVALID:
    case ST_NOT_FOUND:
    case ST_CORRUPT:
    case ST_UNSUPPORTED:
        return "bad_input";
    case ST_IO:
    case ST_LIMIT:
    case ST_DENIED:
        return "io";
    default:
        return "internal";
    }
}

#define FLUSH_MS 10000

static int finish(struct run *r, struct comm *comm, enum status st, const struct err *err)
{
    if (r)
        pulse_mark(r->pulse, PULSE_DONE, r->state.total_step);
    if (comm->rank == 0) {
        if (st != ST_OK)
            log_error("%s", err->text);
        if (r && r->report) {
            struct err lost;
            if (report_done(r->report, st == ST_OK, done_reason(st), st == ST_OK ? "" : err->text,
                            &lost) != ST_OK)
                log_error("the end of this attempt is not on disk: %s", lost.text);
            report_flush(r->report, FLUSH_MS, NULL);
        }
    }
    return status_exit_code(st);
}

static void log_binding(const struct binding *b, const struct comm *comm, int64_t threads)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    log_info("rank %d on %s: %lld thread%s, %s%s%s%s", comm->rank, host, (long long)threads,
             threads == 1 ? "" : "s", b->pinned ? "cores " : "not bound, ",
             b->pinned ? b->cores : b->unbound,
             !b->placed   ? ""
             : b->gpus[0] ? ", GPUs "
                          : ", no GPU",
             b->gpus);
    if (b->lowered[0])
        log_warn("%s", b->lowered);
}

static int verb_run(int argc, char **argv)
{
    struct err err = {0};
    struct comm *comm = NULL;
    struct run *r = NULL;
    struct job_folder folder = {0};
    bool traced = argc == 5 && strcmp(argv[3], "--trace") == 0;
    if ((argc != 3 && !traced) || strcmp(argv[1], "--job-dir") != 0) {
        fputs("usage: espalier-worker run --job-dir DIR [--trace FILE]\n", stderr);
        return status_exit_code(ST_INVALID);
    }
    const char *dir = argv[2], *trace_path = traced ? argv[4] : NULL;
    struct binding binding;
    if (rank_bind(dir, &binding, &err) != ST_OK ||
        comm_mpi_open(&comm, &argc, &argv, &err) != ST_OK) {
        log_error("%s", err.text);
        return status_exit_code(ST_UNAVAILABLE);
    }
    /* `espalier logs --rank` goes by the name. */
    static char name[32];
    snprintf(name, sizeof name, "worker.%d", comm->rank);
    log_init(name, LOG_INFO);
    run_catch_sigterm();
    enum status st = job_folder_open(&folder, dir, &err);
    if (st != ST_OK) {
        log_error("%s", err.text);
        comm_abort(comm, status_exit_code(st));
    }
    folder.trace_path = trace_path;
    cores_settle(comm, &folder.job->resources_threads, &binding);
    log_binding(&binding, comm, folder.job->resources_threads);
    st = run_create(&r, &folder, comm, &err);
    if (st == ST_OK)
        st = run_recipe(r, &err);
    int code = finish(r, comm, st, &err);
    run_destroy(r);
    job_folder_close(&folder);
    comm->close(comm);
    return code;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"run", verb_run}, {"data", verb_data}, {"report", verb_report}, {"probe", verb_probe}};

int main(int argc, char **argv)
{
    log_init("worker", LOG_INFO);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("espalier-worker " ESPALIER_VERSION);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    if (argc > 1)
        fprintf(stderr, "espalier-worker: no such verb '%s'\n", argv[1]);
    fputs(usage, stderr);
    return status_exit_code(ST_INVALID);
}
