/* err.c - see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STATUS_ROW(name, text, code) {#name, text, code},
static const struct {
    const char *name, *text;
    int exit_code;
} status_table[] = {STATUS_LIST(STATUS_ROW)};
#undef STATUS_ROW

static int status_index(enum status st)
{
    return (unsigned)st < STATUS_COUNT ? (int)st : ST_INTERNAL;
}

const char *status_name(enum status st)
{
    return status_table[status_index(st)].name;
}

const char *status_text(enum status st)
{
    return status_table[status_index(st)].text;
}

int status_exit_code(enum status st)
{
    return status_table[status_index(st)].exit_code;
}

bool status_is_passing(enum status st)
{
    return st == ST_LIMIT || st == ST_NOMEM || st == ST_IO || st == ST_UNAVAILABLE;
}

enum status(err_set)(struct err *err, enum status code, const char *fmt, ...)
{
    if (err) {
        /* The arguments may point into err->text itself: format aside, then copy. */
        char text[ERR_TEXT_MAX];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        err->code = code;
        memcpy(err->text, text, sizeof text);
    }
    return code;
}

static enum status status_of_errno(int e)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
        return ST_NOT_FOUND;
    case EEXIST:
        return ST_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ST_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
        return ST_LIMIT;
    case ENOMEM:
        return ST_NOMEM;
    case ENOEXEC:
        return ST_INVALID;
    default:
        return ST_IO;
    }
}

enum status(err_errno)(struct err *err, const char *fmt, ...)
{
    int e = errno;
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(err, status_of_errno(e), "%s: %s", text, strerror(e));
}

enum status(err_prefix)(struct err *err, const char *fmt, ...)
{
    if (!err)
        return ST_INTERNAL;
    char prefix[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    return err_set(err, err->code, "%s: %s", prefix, err->text);
}
