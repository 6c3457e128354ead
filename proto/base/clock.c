/* clock.c - see clock.h. */
#include "base/clock.h"

#include <time.h>

#define BACKOFF_MOST_MS 60000

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_wall(const struct clock *c)
{
    (void)c;
    return read_ms(CLOCK_REALTIME);
}

static int64_t system_mono(const struct clock *c)
{
    (void)c;
    return read_ms(CLOCK_MONOTONIC);
}

const struct clock *clock_system(void)
{
    static const struct clock system = {system_wall, system_mono};
    return &system;
}

static int64_t fake_wall(const struct clock *c)
{
    return ((const struct clock_fake *)c)->wall;
}

static int64_t fake_mono(const struct clock *c)
{
    return ((const struct clock_fake *)c)->mono;
}

void clock_fake_init(struct clock_fake *f, int64_t wall_ms)
{
    *f = (struct clock_fake){.clock = {fake_wall, fake_mono}, .wall = wall_ms};
}

void clock_fake_advance(struct clock_fake *f, int64_t ms)
{
    f->wall += ms;
    f->mono += ms;
}

int64_t clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_backoff_ms(int failed, uint64_t who)
{
    int64_t ms = 1000;
    for (int i = 1; i < failed && ms < BACKOFF_MOST_MS; i++)
        ms *= 2;
    if (ms > BACKOFF_MOST_MS)
        ms = BACKOFF_MOST_MS;
    uint64_t mixed = (who + (uint64_t)failed) * UINT64_C(0x9e3779b97f4a7c15);
    return ms - (int64_t)(mixed >> 32) % (ms / 4);
}

void clock_format(char out[21], int64_t wall_ms)
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&t, &tm);
    if (strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
}

/* "dd" at text as a number in [low, high]; -1 for anything else. */
static int two_digits(const char *text, int low, int high)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return -1;
    int n = 10 * (text[0] - '0') + (text[1] - '0');
    return n >= low && n <= high ? n : -1;
}

bool clock_parse(const char *text, size_t len, int64_t *ret_wall_ms)
{
    static const struct {
        int at;
        char is;
    } marks[] = {{4, '-'}, {7, '-'}, {10, 'T'}, {13, ':'}, {16, ':'}, {19, 'Z'}};
    if (len < 20)
        return false;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (text[marks[i].at] != marks[i].is)
            return false;
    int century = two_digits(text, 19, 99), year = two_digits(text + 2, 0, 99);
    int month = two_digits(text + 5, 1, 12), day = two_digits(text + 8, 1, 31);
    int hour = two_digits(text + 11, 0, 23), minute = two_digits(text + 14, 0, 59);
    int second = two_digits(text + 17, 0, 60);
    if (century < 0 || year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0)
        return false;
    struct tm tm = {.tm_year = 100 * century + year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    *ret_wall_ms = 1000 * (int64_t)timegm(&tm);
    return true;
}
