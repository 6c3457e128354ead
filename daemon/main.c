/* main.c - espalierd: command line, start, loop, end. */
#include "backup.h"
#include "base/log.h"
#include "daemon.h"
#include "doctor/command.h"
#include "job/jobs.h"
#include "loop.h"
#include "notify.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int fail(const char *doing, const struct err *err)
{
    log_error("%s%s", doing, err->text);
    return status_exit_code(err->code);
}

/* On stdout, for people and for scripts that wait for the first line; the socket comes first. */
static void print_addresses(const struct daemon *d)
{
    const struct config *c = &d->options.config;
    printf("listening on %s\n", c->listen[0]);
    for (int i = 1; i < c->n_listen; i++)
        printf("listening on %.*s:%d\n", (int)(strrchr(c->listen[i], ':') - c->listen[i]),
               c->listen[i], d->ports[i]);
    fflush(stdout);
}

static int run(const struct options *options)
{
    struct err err;
    struct daemon *d = NULL;
    if (daemon_create(&d, options, &err) != ST_OK)
        return fail("cannot start: ", &err);
    struct jobs_load load = jobs_load(d->jobs, &d->options.node);
    log_info("espalierd %s, home %s, %lld cores, %lld MiB, %lld GPUs, launcher %s",
             ESPALIER_VERSION, options->home, (long long)d->options.node.cores,
             (long long)(d->options.node.memory_bytes >> 20), (long long)d->options.node.gpus,
             options->fake                                       ? "fake"
             : options->config.launcher == CONFIG_LAUNCHER_SLURM ? "slurm"
                                                                 : "mpirun");
    if (load.running || load.waiting)
        log_info("found %u running and %u waiting jobs", load.running, load.waiting);
    print_addresses(d);
    notify_send("READY=1");
    loop_run(d);
    notify_send("STOPPING=1");
    log_info("ending by signal %d (%s); running jobs go on", d->stop_signal,
             strsignal(d->stop_signal));
    daemon_destroy(d);
    return 0;
}

/* What is not the daemon itself. */
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {{"config", config_command},
             {"backup", backup_command},
             {"restore", restore_command},
             {"doctor", doctor_command}};

int main(int argc, char **argv)
{
    struct options options;
    struct err err;
    int code = -1;
    log_init("espalierd", LOG_INFO);
    umask(077);
    notify_init();
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(argv[1], verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    if (options_parse(&options, argc, argv, &code, &err) != ST_OK)
        return fail("", &err);
    if (code >= 0)
        return code;
    options.argv = argv;
    code = run(&options);
    options_fini(&options);
    return code;
}
