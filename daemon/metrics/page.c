/* page.c - see page.h. */
#include "metrics/page.h"

#include <string.h>

#define BOUND_MS(ms) ms,
static const int bounds[] = {PAGE_COMMIT_BOUNDS(BOUND_MS)};
#undef BOUND_MS

void meters_commit(struct meters *m, int64_t ns, bool failed)
{
    int i = 0;
    while (i < PAGE_COMMIT_BUCKETS - 1 && ns > (int64_t)bounds[i] * 1000000)
        i++;
    m->bucket[i]++;
    m->commits++;
    m->commits_failed += failed;
    m->commit_ns += (uint64_t)ns;
}

/* ---- lines ------------------------------------------------------------------------------------ */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP espalier_%s %s\n# TYPE espalier_%s %s\n", name, help, name, type);
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    buf_printf(out, "espalier_%s %.17g\n", name, value);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    buf_printf(out, "espalier_%s %llu\n", name, (unsigned long long)value);
}

/* ---- parts ------------------------------------------------------------------------------------ */

static void print_states(struct buf *out, const struct metrics_page *p)
{
    head(out, "jobs", "gauge", "Jobs in the store by state.");
    for (int s = 1; s < JOB_STATE_COUNT; s++)
        buf_printf(out, "espalier_jobs{state=\"%s\"} %lld\n", job_state_name((enum job_state)s),
                   (long long)p->jobs[s]);
    gauge(out, "queue_length", "Jobs that wait for room.", p->waiting);
    gauge(out, "jobs_placed", "Jobs that hold cores, memory or GPUs.", p->running);
}

static void print_commits(struct buf *out, const struct meters *m)
{
    uint64_t below = 0;
    head(out, "commit_seconds", "histogram", "Time to make a group of changes durable.");
    for (int i = 0; i < PAGE_COMMIT_BUCKETS - 1; i++) {
        below += m->bucket[i];
        buf_printf(out, "espalier_commit_seconds_bucket{le=\"%g\"} %llu\n", bounds[i] / 1e3,
                   (unsigned long long)below);
    }
    buf_printf(out, "espalier_commit_seconds_bucket{le=\"+Inf\"} %llu\n",
               (unsigned long long)m->commits);
    buf_printf(out, "espalier_commit_seconds_sum %.9f\n", (double)m->commit_ns / 1e9);
    buf_printf(out, "espalier_commit_seconds_count %llu\n", (unsigned long long)m->commits);
    counter(out, "commit_failures_total", "Groups of changes that could not be made durable.",
            m->commits_failed);
}

static void print_capacity(struct buf *out, const struct metrics_page *p)
{
    gauge(out, "cores", "Cores that jobs may use together.", (double)p->total.cores);
    gauge(out, "cores_free", "Of them, those that no job holds.", (double)p->free.cores);
    gauge(out, "memory_bytes", "Memory that jobs may use together.", (double)p->total.memory_bytes);
    gauge(out, "memory_free_bytes", "Of it, what no job holds.", (double)p->free.memory_bytes);
    gauge(out, "gpus", "GPUs that jobs may use together.", (double)p->total.gpus);
    gauge(out, "gpus_free", "Of them, those that no job holds.", (double)p->free.gpus);
}

static void print_webhook(struct buf *out, const struct metrics_page *p)
{
    if (!p->webhook.on)
        return;
    counter(out, "webhook_delivered_total", "Changes of state that the receiver took.",
            p->webhook.delivered);
    counter(out, "webhook_dropped_total", "Changes of state that were given up.",
            p->webhook.dropped);
    counter(out, "webhook_failures_total", "Attempts to deliver that failed and are tried again.",
            p->webhook.failed);
    gauge(out, "webhook_waiting", "Changes of state to be delivered; at 64 more wait in the store.",
          p->webhook.waiting);
}

static void print_jobs(struct buf *out, const struct metrics_page *p)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } lines[] = {
        {"job_step_seconds", "Median time of a job's recent steps.",
         offsetof(struct metrics_job, step_seconds)},
        {"job_params_kept", "Part of the model's parameters that its structure keeps.",
         offsetof(struct metrics_job, params_kept)},
        {"job_progress", "Part of the job's steps that is done.",
         offsetof(struct metrics_job, progress)},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        head(out, lines[i].name, "gauge", lines[i].help);
        for (int j = 0; j < p->njobs; j++) {
            double value;
            memcpy(&value, (const char *)&p->job[j] + lines[i].offset, sizeof value);
            buf_printf(out, "espalier_%s{job=\"%lld\"} %.9g\n", lines[i].name,
                       (long long)p->job[j].id, value);
        }
    }
}

void page_print(const struct metrics_page *p, struct buf *out)
{
    head(out, "build_info", "gauge", "1; version of the daemon and schema of its store.");
    buf_printf(out, "espalier_build_info{version=\"%s\",schema=\"%d\"} 1\n", p->version, p->schema);
    gauge(out, "start_time_seconds", "When the daemon was started, in seconds since 1970.",
          (double)p->started_ms / 1e3);
    print_states(out, p);
    counter(out, "events_total", "Number of the newest event in the store.", (uint64_t)p->cursor);
    counter(out, "reports_total", "Reports taken from workers.", p->meters.reports);
    counter(out, "report_records_total", "Records in them that were new.", p->meters.records);
    print_commits(out, &p->meters);
    gauge(out, "streams", "Open Watch, Logs and Download calls.", p->streams);
    print_capacity(out, p);
    print_webhook(out, p);
    print_jobs(out, p);
}
