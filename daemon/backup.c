/* backup.c - see backup.h. */
#include "backup.h"

#include "daemon.h"
#include "home.h"
#include "job/folder.h"
#include "store/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct err *err)
{
    fprintf(stderr, "espalierd: %s\n", err->text);
    return status_exit_code(err->code);
}

static enum status done(const char *what, const char *from, const char *to,
                        const struct store_facts *f, struct err *err)
{
    int n = printf("%s %s to %s: %lld jobs, %lld events, schema %d, %.1f MiB\n", what, from, to,
                   (long long)f->jobs, (long long)f->events, f->schema,
                   (double)f->size_bytes / (1 << 20));
    return n < 0 || fflush(stdout) != 0 ? err_errno(err, "cannot write to standard output") : ST_OK;
}

/* FILE and the options behind it. *ret_exit as in options_parse(). */
static enum status parse(int argc, char **argv, const char **ret_file, struct options *ret_options,
                         int *ret_exit, struct err *err)
{
    bool file = argc > 1 && argv[1][0] != '-';
    if (!file && (argc != 2 || strcmp(argv[1], "--help") != 0))
        return err_set(err, ST_INVALID, "usage: espalierd %s FILE [options]", argv[0]);
    *ret_file = file ? argv[1] : NULL;
    return options_parse(ret_options, argc - file, argv + file, ret_exit, err);
}

static enum status backup(const struct options *o, const char *file, struct err *err)
{
    struct store_facts facts;
    TRY(store_backup(o->store, file, &facts, err));
    return done("copied", o->store, file, &facts, err);
}

static enum status restore(const struct options *o, const char *file, struct err *err)
{
    struct store_facts facts;
    struct daemon d = {.options = *o, .home_lock = -1, .store_lock = -1, .socket_lock = -1};
    enum status st = home_lock(&d, err); /* no daemon starts here meanwhile */
    if (st == ST_OK)
        st = store_restore(o->store, file, folder_last(o->home), &facts, err);
    home_unlock(&d);
    TRY(st);
    return done("restored", file, o->store, &facts, err);
}

static int run(int argc, char **argv,
               enum status (*verb)(const struct options *o, const char *file, struct err *err))
{
    struct options options = {0};
    struct err err;
    const char *file = NULL;
    int code = -1;
    enum status st = parse(argc, argv, &file, &options, &code, &err);
    if (st == ST_OK && code < 0) {
        st = verb(&options, file, &err);
        code = 0;
    }
    options_fini(&options);
    return st == ST_OK ? code : fail(&err);
}

int backup_command(int argc, char **argv)
{
    return run(argc, argv, backup);
}

int restore_command(int argc, char **argv)
{
    return run(argc, argv, restore);
}
