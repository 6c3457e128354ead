/* log.c - see log.h. */
#include "base/log.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *log_who = "espalier";
static enum log_level log_least = LOG_INFO;

void log_init(const char *who, enum log_level least)
{
    log_who = who;
    log_least = least;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    if (level < log_least)
        return;
    char stamp[21], line[2048];
    clock_format(stamp, clock_system()->wall_ms(clock_system()));
    int used = snprintf(line, sizeof line, "%s %s %s: ", stamp, names[level], log_who);
    va_list ap;
    va_start(ap, fmt);
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, fmt, ap);
    va_end(ap);
    size_t len = strlen(line);
    (void)more;
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* nowhere left to say so */
}
