/* ingest.c - points from many simulated ranks through the worker's own report link.
 *
 *     bench_ingest FOLDER SECONDS RATE JOB...
 *
 * FOLDER is the daemon's HOME/jobs; each JOB's attempt.json says where and as whom to report. A thread a job reports
 * metrics in 8 series, together RATE points a second (0 = as fast as they are taken), and waits until all are
 * acknowledged. Prints {"points", "offered_seconds", "seconds"}: from the first point to the last one, and to the last
 * acknowledgement.
 */
#include "base/clock.h"
#include "base/json.h"
#include "report/report.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RANKS_MAX = 256, SERIES = 8, FLUSH_MS = 60000, AHEAD = 4000 };

struct rank {
    pthread_t thread;
    const char *folder, *job;
    double seconds, rate; /* points a second of this rank; 0 = no limit */
    pthread_barrier_t *start;
    int64_t points, begun_ns, offered_ns, ended_ns;
    enum status st;
    struct err err;
};

static enum status open_link(struct rank *r, struct report **ret_report)
{
    char path[1024], spool[1024];
    struct json_object *o = NULL;
    snprintf(path, sizeof path, "%s/%s/attempt.json", r->folder, r->job);
    snprintf(spool, sizeof spool, "%s/%s/spool/attempt-1", r->folder, r->job);
    TRY(json_read_file(&o, path, 1 << 20, &r->err));
    const struct report_options options = {.address = json_get_str(o, "report_address", ""),
                                           .job_id = r->job,
                                           .attempt = (uint32_t)json_get_int(o, "attempt", 1),
                                           .token = json_get_str(o, "token", ""),
                                           .version = "bench",
                                           .spool_path = spool};
    enum status st = report_open(ret_report, &options, &r->err);
    json_object_put(o);
    return st;
}

static void nap_until(int64_t ns)
{
    const struct timespec at = {ns / 1000000000, ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static enum status one_point(struct rank *r, struct report *report)
{
    char name[32];
    snprintf(name, sizeof name, "bench.%d", (int)(r->points % SERIES));
    enum status st =
        report_metric(report, name, (double)r->points, "", (uint64_t)r->points, &r->err);
    r->points += st == ST_OK;
    return st;
}

/* At the rate of its share; without one, in bursts that are waited for, so that no spool thins. */
static enum status send_points(struct rank *r, struct report *report)
{
    int64_t most = r->rate > 0 ? (int64_t)(r->rate * r->seconds) : INT64_MAX;
    int64_t end = r->begun_ns + (int64_t)(1e9 * r->seconds);
    while (r->points < most && (r->rate > 0 || clock_mono_ns() < end)) {
        if (r->rate > 0)
            nap_until(r->begun_ns + (int64_t)(1e9 * (double)r->points / r->rate));
        TRY(one_point(r, report));
        if (r->rate <= 0 && r->points % AHEAD == 0)
            TRY(report_flush(report, FLUSH_MS, &r->err));
    }
    r->offered_ns = clock_mono_ns();
    return report_flush(report, FLUSH_MS, &r->err);
}

static void *run(void *arg)
{
    struct rank *r = arg;
    struct report *report = NULL;
    r->st = open_link(r, &report);
    if (r->st == ST_OK)
        r->st = report_hello(report, "bench", 1, 1, "none", 0, &r->err);
    pthread_barrier_wait(r->start);
    r->begun_ns = clock_mono_ns();
    if (r->st == ST_OK)
        r->st = send_points(r, report);
    r->ended_ns = clock_mono_ns();
    report_close(report);
    return NULL;
}

static int summarise(const struct rank *ranks, int n)
{
    int64_t points = 0, begun = ranks[0].begun_ns, offered = 0, ended = 0;
    for (int i = 0; i < n; i++) {
        if (ranks[i].st != ST_OK) {
            fprintf(stderr, "bench_ingest: job %s: %s\n", ranks[i].job, ranks[i].err.text);
            return status_exit_code(ranks[i].st);
        }
        points += ranks[i].points;
        begun = ranks[i].begun_ns < begun ? ranks[i].begun_ns : begun;
        offered = ranks[i].offered_ns > offered ? ranks[i].offered_ns : offered;
        ended = ranks[i].ended_ns > ended ? ranks[i].ended_ns : ended;
    }
    printf("{\"points\":%lld,\"offered_seconds\":%.4f,\"seconds\":%.4f}\n", (long long)points,
           1e-9 * (double)(offered - begun), 1e-9 * (double)(ended - begun));
    return 0;
}

int main(int argc, char **argv)
{
    static struct rank ranks[RANKS_MAX];
    pthread_barrier_t start;
    int n = argc - 4;
    if (n < 1 || n > RANKS_MAX) {
        fputs("usage: bench_ingest FOLDER SECONDS RATE JOB...\n", stderr);
        return 2;
    }
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        ranks[i] = (struct rank){.folder = argv[1],
                                 .job = argv[4 + i],
                                 .seconds = strtod(argv[2], NULL),
                                 .rate = strtod(argv[3], NULL) / n,
                                 .start = &start};
        if (pthread_create(&ranks[i].thread, NULL, run, &ranks[i]) != 0) {
            fprintf(stderr, "cannot start rank %d\n", i);
            return 1; /* the others wait at the barrier */
        }
    }
    for (int i = 0; i < n; i++)
        pthread_join(ranks[i].thread, NULL);
    pthread_barrier_destroy(&start);
    return summarise(ranks, n);
}
