/* cmd_data.c - `espalier data`: made data sets. The worker has the generator; this finds the worker and becomes it. */
#include "client/commands.h"

#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKER "espalier-worker"

/* Beside this program; "" when that cannot be told. */
static void beside(char out[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    out[0] = '\0';
    if (n <= 0)
        return;
    self[n] = '\0';
    char *dir = path_dir(self);
    if (dir && snprintf(out, PATH_MAX, "%s/%s", dir, WORKER) >= PATH_MAX)
        out[0] = '\0';
    free(dir);
}

/* Returns only when the worker could not be started. */
static enum status become(const char *path, char **argv, struct err *err)
{
    if (strchr(path, '/'))
        execv(path, argv);
    else
        execvp(path, argv);
    if (errno == ENOENT)
        return err_set(
            err, ST_UNSUPPORTED,
            "%s is not installed here (looked beside espalier and in PATH); install it, or "
            "name it in $ESPALIER_WORKER",
            path_base(path));
    return err_errno(err, "cannot start %s", path);
}

static int run_data(struct cli *cli, const struct args *args)
{
    struct err err;
    char near[PATH_MAX];
    char *argv[ARGS_MAX + 3] = {(char *)WORKER, (char *)"data"};
    const char *worker = getenv("ESPALIER_WORKER");
    for (int i = 0; i < args->npositionals; i++)
        argv[i + 2] = (char *)args->positional[i];
    beside(near);
    if (!worker || !worker[0])
        worker = near[0] && access(near, X_OK) == 0 ? near : WORKER;
    become(worker, argv, &err);
    return cli_fail(cli, &err);
}

const struct command command_data = {
    .name = "data",
    .summary = "check annotations, list their words, make data sets (runs espalier-worker here)",
    .usage = "check FILE [OPTIONS] | words FILE... | make shaperef --out DIR [OPTIONS]",
    .details = "Everything behind `data` goes to `espalier-worker data` as it is; `espalier data "
               "check --help`\n"
               "shows all options. The worker is $ESPALIER_WORKER, or lies beside espalier, or in "
               "PATH.\n",
    .examples = "espalier data words train.json > vocabulary.txt\n"
                "espalier data check test.json --vocabulary vocabulary.txt --rec\n"
                "espalier data make shaperef --out data\n",
    .min_args = 1,
    .max_args = ARGS_MAX,
    .raw = true,
    .run = run_data,
};
