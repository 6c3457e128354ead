/* log_limit.c - see log_limit.h. */
#include "job/log_limit.h"

#include "base/log.h"
#include "daemon.h"
#include "job/folder.h"
#include "job/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK 65536 /* bytes behind the hole in which a line's end is looked for */

bool log_trim(const char *path, const struct log_limit *limit, int64_t *cut)
{
    struct stat sb;
    if (stat(path, &sb) < 0 || !S_ISREG(sb.st_mode))
        return true; /* there is no log yet */
    int64_t whole = sb.st_size / limit->part_bytes, over = whole - limit->parts;
    int64_t until = over > 0 ? over * limit->part_bytes : 0;
    if (until <= *cut)
        return true;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return true;
    int rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)until);
    bool can = rc == 0 || (errno != EOPNOTSUPP && errno != ENOSYS);
    if (rc == 0)
        *cut = until;
    close(fd);
    return can;
}

int64_t log_first_line(int fd)
{
    char text[LOOK];
    off_t data = lseek(fd, 0, SEEK_DATA);
    if (data <= 0)
        return 0;
    ssize_t n = pread(fd, text, sizeof text, data);
    size_t len = n > 0 ? (size_t)n : 0, at = 0;
    /* Blocks may be larger than pages: then the hole ends in zeros. */
    while (at < len && text[at] == '\0')
        at++;
    const char *end = memchr(text + at, '\n', len - at);
    return (int64_t)data + (int64_t)(end ? (size_t)(end - text) + 1 : len);
}

static void trim_one(struct daemon *d, struct active *a, const struct log_limit *limit)
{
    char path[FOLDER_PATH_MAX + 16];
    folder_path(d, a->job.id, path);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, "/log.txt");
    if (!log_trim(path, limit, &a->log_cut) && !d->log_uncut) {
        d->log_uncut = true;
        log_warn("%s cannot be kept to log_parts: its file system knows no holes, so it grows",
                 path);
    }
}

void logs_trim(struct daemon *d)
{
    const struct log_limit limit = {d->options.config.log_part_mib << 20,
                                    (int)d->options.config.log_parts};
    int64_t now = d->clock->mono_ms(d->clock);
    if (now < d->next_trim_ms)
        return;
    d->next_trim_ms = now + LOG_TRIM_MS;
    for (size_t i = 0; i < d->jobs->n; i++)
        if (job_state_holds(d->jobs->list[i]->job.state))
            trim_one(d, d->jobs->list[i], &limit);
}
