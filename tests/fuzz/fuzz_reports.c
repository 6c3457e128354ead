/* fuzz_reports.c - any bytes as what a worker says: a Report with the right token, or the spool file that it left. The
 * first byte says which; in a spool the sums of the frames are made right, so that what is behind them is reached.
 * Holds: see daemon_bed.h; the job can still be read, and all that was reported with it; no report is a failure of the
 * store.
 */
#include "daemon_bed.h"

#include "base/file.h"
#include "espalier/v1/report.pb-c.h"
#include "job/jobs.h"
#include "job/records.h"
#include "loop.h"
#include "rpc/core.h"
#include "service/access.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAME_HEAD 13

static void replace(char **field, const char *text)
{
    if (*field != protobuf_c_empty_string)
        free(*field);
    *field = strdup(text);
}

static void as_report(struct active *a, const uint8_t *data, size_t size)
{
    if (rpc_check_bytes(&espalier__v1__report_request__descriptor, data, size, NULL) != ST_OK)
        return;
    Espalier__V1__ReportRequest *r = espalier__v1__report_request__unpack(NULL, size, data);
    if (!r)
        return;
    replace(&r->job_id, "1");
    replace(&r->token, a->job.attempt.token);
    r->attempt = (uint32_t)a->job.attempt.number;
    bed_call(bed_method("Report"), ROLE_NONE, &r->base);
}

/* The frames' sums, written over whatever stands there. */
static void make_right(uint8_t *data, size_t size)
{
    for (size_t at = 0; size - at >= FRAME_HEAD;) {
        uint32_t len = 0;
        uint64_t h = 0xcbf29ce484222325u;
        for (int i = 0; i < 4; i++)
            len |= (uint32_t)data[at + 1 + (size_t)i] << (8 * i);
        if (len > size - at - FRAME_HEAD)
            return;
        for (size_t i = 0; i < len; i++)
            h = (h ^ data[at + FRAME_HEAD + i]) * 0x100000001b3u;
        for (int i = 0; i < 8; i++)
            data[at + 5 + (size_t)i] = (uint8_t)(h >> (8 * i));
        at += FRAME_HEAD + len;
    }
}

static void as_spool(struct daemon *d, struct active *a, const uint8_t *data, size_t size)
{
    char path[256];
    struct err err = {0};
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    make_right(copy, size);
    snprintf(path, sizeof path, "%s/jobs/1/spool/attempt-1", d->options.home);
    BED_REQUIRE(file_write_atomic(path, copy, size, 0600, NULL) == ST_OK);
    free(copy);
    if (records_take_spool(d, a, &err) != ST_OK)
        bed_broken(err.text, __FILE__, __LINE__);
    loop_pass(d);
}

static void watch(int64_t after)
{
    Espalier__V1__WatchRequest *q = calloc(1, sizeof *q);
    espalier__v1__watch_request__init(q);
    q->id = strdup("1");
    q->after = (uint64_t)after;
    bed_call(bed_method("Watch"), ROLE_OPERATOR, &q->base);
}

/* Everybody who reads what was taken. */
static void look(const struct daemon *d)
{
    static const uint8_t job_one[] = {0x0a, 1, '1'}, dry_run[] = {0x0a, 1, '1', 0x10, 1};
    static const char *const readers[] = {"Get", "Explain", "GetStructure", "ListStructures",
                                          "ListCheckpoints"};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        bed_call_bytes(bed_method(readers[i]), ROLE_OPERATOR, job_one, sizeof job_one);
    bed_call_bytes(bed_method("CollectCheckpoints"), ROLE_OPERATOR, dry_run, sizeof dry_run);
    bed_call_bytes(bed_method("List"), ROLE_OPERATOR, job_one, 0);
    const struct active *a = jobs_find(d->jobs, 1);
    BED_REQUIRE(a && isfinite(a->progress.step_seconds) && isfinite(a->progress.params_kept));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct daemon *d = bed_begin();
    struct active *a = jobs_find(d->jobs, 1);
    if (!a || job_state_is_over(a->job.state) || size == 0)
        return 0;
    int64_t before = store_event_last(d->store, 1);
    a->job.attempt.reported = 0; /* so that every input counts */
    if (data[0] & 1)
        as_spool(d, a, data + 1, size - 1);
    else
        as_report(a, data + 1, size - 1);
    watch(before);
    look(d);
    bed_end();
    return 0;
}
