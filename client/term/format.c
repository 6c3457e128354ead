/* format.c - see format.h. */
#include "term/format.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *format_duration(char out[FORMAT_MAX], double seconds)
{
    if (!(seconds >= 0) || seconds > 1e9)
        snprintf(out, FORMAT_MAX, "-");
    else if (seconds < 0.9995)
        snprintf(out, FORMAT_MAX, "%.0f ms", seconds * 1e3);
    else if (seconds < 9.95)
        snprintf(out, FORMAT_MAX, "%.1f s", seconds);
    else {
        long s = lround(seconds);
        if (s < 3600)
            snprintf(out, FORMAT_MAX, "%ld:%02ld", s / 60, s % 60);
        else if (s < 86400)
            snprintf(out, FORMAT_MAX, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
        else
            snprintf(out, FORMAT_MAX, "%ldd %02ld:%02ld", s / 86400, s / 3600 % 24, s / 60 % 60);
    }
    return out;
}

const char *format_size(char out[FORMAT_MAX], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes / 1024;
    int unit = 0;
    if (bytes < 1024) {
        snprintf(out, FORMAT_MAX, "%u B", (unsigned)bytes);
        return out;
    }
    for (; value >= 1023.95 && unit < 4; unit++)
        value /= 1024;
    snprintf(out, FORMAT_MAX, "%.1f %s", value, units[unit]);
    return out;
}

const char *format_count(char out[FORMAT_MAX], uint64_t n)
{
    char digits[FORMAT_MAX];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len && at < FORMAT_MAX - 2; i++) {
        if (i && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *format_percent(char out[FORMAT_MAX], double part)
{
    snprintf(out, FORMAT_MAX, "%.1f %%", 100 * part);
    return out;
}

/* False, and "-" in out, for a time that is not known. */
static bool local(char out[FORMAT_MAX], int64_t wall_ms, struct tm *ret_tm)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    if (wall_ms > 0 && localtime_r(&seconds, ret_tm))
        return true;
    snprintf(out, FORMAT_MAX, "-");
    return false;
}

const char *format_time(char out[FORMAT_MAX], int64_t wall_ms)
{
    struct tm tm;
    if (local(out, wall_ms, &tm))
        strftime(out, FORMAT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

const char *format_clock(char out[FORMAT_MAX], int64_t wall_ms)
{
    struct tm tm;
    if (local(out, wall_ms, &tm))
        strftime(out, FORMAT_MAX, "%H:%M:%S", &tm);
    return out;
}
