/* test_report.c - rank 0's link against a ReportService that is slow, away, or gone for good. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "espalier/v1/report.pb-c.h"
#include "report/record.h"
#include "report/report.h"
#include "rpc/rpc.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define TAKEN_MAX 20000

/* ---- a coordinator in small: takes each number once, in order -------------------------------- */

struct taken {
    uint64_t number;
    int kind;
    uint64_t step;
};

struct coordinator {
    struct rpc_server *server;
    pthread_mutex_t lock;
    uint64_t acknowledged;
    struct taken taken[TAKEN_MAX];
    size_t n, batches;
    bool disordered, bad_head;
    unsigned lose; /* so many answers are lost: taken, but not acknowledged */
    bool stop;
    enum status refuse; /* every report */
    uint64_t poison;    /* a record that no batch may hold */
    char said[80];      /* the newest sentence */
};

static uint64_t step_of(const Espalier__V1__Record *r)
{
    return r->kind_case == ESPALIER__V1__RECORD__KIND_PROGRESS ? r->progress->total_step
           : r->kind_case == ESPALIER__V1__RECORD__KIND_METRIC ? r->metric->total_step
                                                               : 0;
}

static void take(struct coordinator *c, const Espalier__V1__ReportRequest *q)
{
    uint64_t before = 0;
    c->batches += q->n_records > 0;
    c->bad_head |=
        strcmp(q->job_id, "12") != 0 || q->attempt != 2 || strcmp(q->token, "secret") != 0;
    for (size_t i = 0; i < q->n_records; i++) {
        const Espalier__V1__Record *r = q->records[i];
        c->disordered |= r->number <= before;
        before = r->number;
        if (r->number <= c->acknowledged || c->n == TAKEN_MAX)
            continue;
        c->taken[c->n++] = (struct taken){r->number, (int)r->kind_case, step_of(r)};
        c->acknowledged = r->number;
        if (r->kind_case == ESPALIER__V1__RECORD__KIND_NOTE)
            snprintf(c->said, sizeof c->said, "%s", r->note->text);
        else if (r->kind_case == ESPALIER__V1__RECORD__KIND_DONE)
            snprintf(c->said, sizeof c->said, "%s", r->done->text);
    }
}

static bool poisoned(const struct coordinator *c, const Espalier__V1__ReportRequest *q)
{
    for (size_t i = 0; i < q->n_records; i++)
        if (q->records[i]->number == c->poison)
            return true;
    return false;
}

static void on_report(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    const Espalier__V1__ReportRequest *q = (const void *)request;
    Espalier__V1__ReportReply reply = ESPALIER__V1__REPORT_REPLY__INIT;
    struct coordinator *c = user;
    pthread_mutex_lock(&c->lock);
    enum status st = poisoned(c, q) ? ST_INVALID : c->refuse;
    if (st == ST_OK)
        take(c, q);
    if (st == ST_OK && c->lose && q->n_records) {
        c->lose--;
        st = ST_UNAVAILABLE;
    }
    reply.acknowledged = c->acknowledged;
    reply.stop = c->stop;
    reply.stop_reason = (char *)"timeout";
    pthread_mutex_unlock(&c->lock);
    if (st == ST_OK)
        rpc_call_reply(call, &reply.base);
    else
        rpc_call_fail(call, st, "refused");
}

/* *ret_port as in rpc_server_listen; files: for a tls: address. */
static void coordinator_serve(struct coordinator *c, const char *address,
                              const struct rpc_tls *files, int *ret_port)
{
    static const struct rpc_method methods[] = {{"Report", RPC_UNARY, on_report}};
    struct err err;
    assert_int_equal(rpc_server_create(&c->server, &err), ST_OK);
    assert_int_equal(
        rpc_server_add(c->server, &espalier__v1__report_service__descriptor, methods, 1, c, &err),
        ST_OK);
    if (files)
        assert_int_equal(rpc_server_use_tls(c->server, files, &err), ST_OK);
    assert_int_equal(rpc_server_listen(c->server, address, ret_port, &err), ST_OK);
    assert_int_equal(rpc_server_start(c->server, &err), ST_OK);
}

static void coordinator_start(struct coordinator *c, const char *address)
{
    coordinator_serve(c, address, NULL, NULL);
}

static void coordinator_stop(struct coordinator *c)
{
    if (!c->server)
        return;
    rpc_server_stop(c->server, 0);
    rpc_server_destroy(c->server);
    c->server = NULL;
}

/* ---- fixture --------------------------------------------------------------------------------- */

struct fixture {
    struct coordinator coordinator;
    char dir[64], address[104], spool[104];
    struct report_options options;
    struct report *report;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/espalier-report-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->address, sizeof f->address, "unix:%s/socket", f->dir);
    snprintf(f->spool, sizeof f->spool, "%s/spool", f->dir);
    pthread_mutex_init(&f->coordinator.lock, NULL);
    f->options = (struct report_options){.address = f->address,
                                         .job_id = "12",
                                         .attempt = 2,
                                         .token = "secret",
                                         .version = "0.1.0",
                                         .spool_path = f->spool};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    report_close(f->report);
    coordinator_stop(&f->coordinator);
    unlink(f->spool);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void open_report(struct fixture *f)
{
    struct err err;
    enum status st = report_open(&f->report, &f->options, &err);
    if (st != ST_OK)
        fail_msg("%s", err.text);
}

static void close_report(struct fixture *f)
{
    report_close(f->report);
    f->report = NULL;
}

static enum status progress(struct report *r, uint64_t step)
{
    struct report_progress p = {
        .phase = "search", .step = step, .total_step = step, .loss = 0.5, .eta_seconds = -1};
    return report_progress(r, &p, NULL);
}

static void assert_flushed(struct fixture *f)
{
    struct err err;
    if (report_flush(f->report, 20000, &err) != ST_OK)
        fail_msg("%s", err.text);
}

/* Numbers 1..n, each once, in order. */
static void assert_taken(struct coordinator *c, uint64_t n)
{
    pthread_mutex_lock(&c->lock);
    assert_false(c->disordered);
    assert_false(c->bad_head);
    assert_int_equal(c->n, n);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(c->taken[i].number, i + 1);
    pthread_mutex_unlock(&c->lock);
}

static void nap(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static size_t file_size(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 ? (size_t)sb.st_size : 0;
}

/* ---- delivery -------------------------------------------------------------------------------- */

static void every_kind_arrives(void **state)
{
    struct fixture *f = *state;
    struct report_structure s = {.total_step = 5, .params_kept = 0.6, .json = "{}"};
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    struct report *r = f->report;
    assert_int_equal(report_hello(r, "host", 2, 1, "cpu-avx2", 0, NULL), ST_OK);
    assert_int_equal(progress(r, 1), ST_OK);
    assert_int_equal(report_metric(r, "loss.giou", 0.5, "", 1, NULL), ST_OK);
    assert_int_equal(report_structure(r, &s, NULL), ST_OK);
    assert_int_equal(
        report_checkpoint(r,
                          &(struct report_checkpoint){
                              .path = "ckpt/5", .total_step = 5, .size_bytes = 100, .sha256 = "ab"},
                          NULL),
        ST_OK);
    assert_int_equal(report_note(r, REPORT_WARNING, "caf\xc3\xa9", NULL), ST_OK);
    assert_int_equal(report_phase_done(r, "search", 2.5, NULL), ST_OK);
    assert_int_equal(report_artifact(r, "result.json", 3, "cd", NULL), ST_OK);
    /* A file's name in a sentence may be any bytes, and a buffer's end may cut a character. */
    assert_int_equal(report_done(r, false, "io", "no b\xfcro", NULL), ST_OK);
    assert_flushed(f);
    assert_taken(&f->coordinator, 9);
    for (int i = 0; i < 9; i++)
        assert_int_equal(f->coordinator.taken[i].kind, ESPALIER__V1__RECORD__KIND_HELLO + i);
    assert_string_equal(f->coordinator.said, "no b?ro");
    struct err err;
    assert_int_equal(report_metric(r, "\xff", 0.5, "", 1, &err), ST_INVALID);
    assert_int_equal(report_note(r, REPORT_INFO, "caf\xc3", &err), ST_OK);
    assert_flushed(f);
    assert_taken(&f->coordinator, 10);
    assert_string_equal(f->coordinator.said, "caf?");
}

/* Ranks on other machines know the daemon by its certificate, and it them by their token. */
static void a_report_goes_over_tls(void **state)
{
    struct fixture *f = *state;
    char command[512], cert[104], key[104], target[64];
    int port = 0;
    snprintf(cert, sizeof cert, "%s/cert", f->dir);
    snprintf(key, sizeof key, "%s/key", f->dir);
    snprintf(command, sizeof command,
             "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
             "-days 2 -keyout %s -out %s -subj /CN=x -addext subjectAltName=IP:127.0.0.1 2>&1",
             key, cert);
    FILE *openssl = popen(command, "r");
    assert_non_null(openssl);
    assert_int_equal(pclose(openssl), 0);
    coordinator_serve(&f->coordinator, "tls:127.0.0.1:0", &(struct rpc_tls){cert, key, NULL},
                      &port);
    snprintf(target, sizeof target, "tls:127.0.0.1:%d", port);
    f->options.address = target;
    f->options.ca_file = cert;
    open_report(f);
    assert_int_equal(progress(f->report, 1), ST_OK);
    assert_flushed(f);
    assert_taken(&f->coordinator, 1);
    unlink(cert);
    unlink(key);
}

static void a_batch_is_a_batch(void **state)
{
    struct fixture *f = *state;
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    for (uint64_t i = 1; i <= 5000; i++)
        assert_int_equal(progress(f->report, i), ST_OK);
    assert_flushed(f);
    assert_taken(&f->coordinator, 5000);
    coordinator_stop(&f->coordinator);
    assert_true(f->coordinator.batches >= 5 && f->coordinator.batches < 100);
}

static void wait_taken(struct coordinator *c, uint64_t number)
{
    int64_t start = clock_mono_ns();
    for (bool there = false; !there; nap(5)) {
        pthread_mutex_lock(&c->lock);
        there = c->acknowledged >= number;
        pthread_mutex_unlock(&c->lock);
        assert_true(clock_mono_ns() - start < 20000000000);
    }
}

static void the_daemon_may_come_late_and_leave(void **state)
{
    struct fixture *f = *state;
    struct coordinator *c = &f->coordinator;
    struct err err;
    open_report(f);
    assert_int_equal(report_hello(f->report, "host", 1, 1, "ref", 0, NULL), ST_OK);
    assert_int_equal(report_flush(f->report, 50, &err), ST_TIMEOUT);
    assert_string_equal(err.text, "1 reports still wait for the daemon after 50 ms");
    uint64_t n = 1;
    for (int round = 0; round < 4; round++) {
        coordinator_start(c, f->address);
        for (int i = 0; i < 300; i++) {
            assert_int_equal(progress(f->report, ++n), ST_OK);
            if (i == 100)
                wait_taken(c, n - 50); /* some of this round's, but not all */
            if (i == 150)
                coordinator_stop(c);
        }
        nap(20);
    }
    assert_int_equal(report_done(f->report, true, "", "", NULL), ST_OK);
    coordinator_start(c, f->address);
    assert_flushed(f);
    assert_taken(c, n + 1);
}

static void a_lost_answer_is_no_second_record(void **state)
{
    struct fixture *f = *state;
    f->coordinator.lose = 3;
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    for (uint64_t i = 1; i <= 100; i++)
        progress(f->report, i);
    assert_flushed(f);
    assert_taken(&f->coordinator, 100);
}

static void a_refused_record_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    f->coordinator.poison = 7;
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    for (uint64_t i = 1; i <= 20; i++)
        progress(f->report, i);
    assert_flushed(f);
    assert_flushed(f); /* the note about it came after */
    pthread_mutex_lock(&f->coordinator.lock);
    assert_int_equal(f->coordinator.n, 20);
    assert_int_equal(f->coordinator.taken[6].number, 8);
    assert_int_equal(f->coordinator.taken[19].kind, ESPALIER__V1__RECORD__KIND_NOTE);
    pthread_mutex_unlock(&f->coordinator.lock);
}

/* ---- the other direction --------------------------------------------------------------------- */

static void wait_stop(struct report *r, char reason[REPORT_REASON_MAX])
{
    int64_t start = clock_mono_ns();
    while (!report_stop_requested(r, reason)) {
        assert_true(clock_mono_ns() - start < 15000000000);
        nap(10);
    }
}

static void a_stop_is_heard_without_reporting(void **state)
{
    struct fixture *f = *state;
    char reason[REPORT_REASON_MAX] = "";
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    nap(100);
    assert_false(report_stop_requested(f->report, reason));
    pthread_mutex_lock(&f->coordinator.lock);
    f->coordinator.stop = true;
    pthread_mutex_unlock(&f->coordinator.lock);
    wait_stop(f->report, reason);
    assert_string_equal(reason, "timeout");
}

static void an_old_attempt_is_told(void **state)
{
    struct fixture *f = *state;
    char reason[REPORT_REASON_MAX] = "";
    f->coordinator.refuse = ST_STATE;
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    wait_stop(f->report, reason);
    assert_string_equal(reason, "superseded");
}

static void an_unknown_job_goes_on(void **state)
{
    struct fixture *f = *state;
    char reason[REPORT_REASON_MAX] = "";
    f->coordinator.refuse = ST_NOT_FOUND;
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    progress(f->report, 1);
    assert_int_equal(report_flush(f->report, 300, NULL), ST_TIMEOUT);
    assert_false(report_stop_requested(f->report, reason));
}

/* ---- the spool ------------------------------------------------------------------------------- */

static void the_spool_outlives_the_process(void **state)
{
    struct fixture *f = *state;
    open_report(f); /* no daemon */
    for (uint64_t i = 1; i <= 50; i++)
        progress(f->report, i);
    assert_int_equal(report_done(f->report, true, "", "", NULL), ST_OK);
    close_report(f);

    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    assert_flushed(f);
    assert_taken(&f->coordinator, 51);
    close_report(f);

    open_report(f); /* what was delivered stays delivered, and numbers go on */
    progress(f->report, 52);
    assert_flushed(f);
    assert_taken(&f->coordinator, 52);
}

static void a_torn_end_is_cut_off(void **state)
{
    struct fixture *f = *state;
    open_report(f);
    for (uint64_t i = 1; i <= 10; i++)
        progress(f->report, i);
    close_report(f);
    size_t size = file_size(f->spool);
    assert_int_equal(truncate(f->spool, (off_t)size - 3), 0);

    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    progress(f->report, 10);
    progress(f->report, 11);
    assert_flushed(f);
    assert_taken(&f->coordinator, 11);
}

static void a_spool_is_nobody_elses(void **state)
{
    struct fixture *f = *state;
    struct report *second = NULL;
    struct err err;
    open_report(f);
    assert_int_equal(report_open(&second, &f->options, &err), ST_STATE);
    assert_non_null(strstr(err.text, "in use"));
    close_report(f);
    f->options.attempt = 3;
    assert_int_equal(report_open(&second, &f->options, &err), ST_STATE);
    assert_non_null(strstr(err.text, "belongs to attempt 2 of job 12"));
    f->options.attempt = 2;
    f->options.job_id = "13";
    assert_int_equal(report_open(&second, &f->options, &err), ST_STATE);
    assert_int_equal(file_write_atomic(f->spool, "not a spool at all", 18, 0600, &err), ST_OK);
    assert_int_equal(report_open(&second, &f->options, &err), ST_CORRUPT);
    f->options.spool_path = "/nonexistent/folder/spool";
    assert_int_equal(report_open(&second, &f->options, &err), ST_NOT_FOUND);
    assert_null(second);
}

static void write_plain(const char *path, const struct buf *b)
{
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite(b->data, 1, b->len, file), b->len);
    assert_int_equal(fclose(file), 0);
}

static void damage_anywhere_is_no_crash(void **state)
{
    struct fixture *f = *state;
    struct err err;
    f->options.address = NULL;
    open_report(f);
    for (uint64_t i = 1; i <= 5; i++)
        progress(f->report, i);
    close_report(f);
    struct buf good;
    buf_init(&good, 1 << 20);
    assert_int_equal(file_read(&good, f->spool, &err), ST_OK);
    for (size_t i = 0; i < good.len; i++) {
        good.data[i] ^= 0x55;
        write_plain(f->spool, &good);
        enum status st = report_open(&f->report, &f->options, &err);
        assert_true(st == ST_OK || st == ST_CORRUPT);
        if (st == ST_OK)
            close_report(f);
        good.data[i] ^= 0x55;
    }
    buf_fini(&good);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct report_structure s = {.json = "{}"};
    struct err err;
    signal(SIGXFSZ, SIG_IGN);
    open_report(f);
    progress(f->report, 1);
    limit_file_size(file_size(f->spool) + 20); /* room for half a record */
    size_t size = file_size(f->spool);
    assert_int_equal(progress(f->report, 2), ST_IO);
    assert_int_equal(report_structure(f->report, &s, &err), ST_IO);
    assert_non_null(strstr(err.text, f->spool));
    assert_int_equal(file_size(f->spool), size);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(progress(f->report, 4), ST_OK);
    assert_int_equal(report_done(f->report, true, "", "", NULL), ST_OK);
    close_report(f);
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    assert_flushed(f);
    assert_taken(&f->coordinator, 5);
}

static void no_daemon_at_all(void **state)
{
    struct fixture *f = *state;
    char reason[REPORT_REASON_MAX];
    f->options.address = NULL;
    open_report(f);
    progress(f->report, 1);
    assert_int_equal(report_done(f->report, true, "", "", NULL), ST_OK);
    assert_flushed(f);
    assert_false(report_stop_requested(f->report, reason));
    close_report(f);
    f->options.address = f->address; /* somebody delivers it later */
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    assert_flushed(f);
    assert_taken(&f->coordinator, 2);
    close_report(f);
    f->options = (struct report_options){.job_id = "12", .attempt = 1};
    open_report(f); /* neither daemon nor file */
    assert_int_equal(report_done(f->report, true, "", "", NULL), ST_OK);
    assert_flushed(f);
}

/* ---- thinning -------------------------------------------------------------------------------- */

static void a_full_spool_thins_what_may_go(void **state)
{
    struct fixture *f = *state;
    struct coordinator *c = &f->coordinator;
    struct report_structure s = {.json = "{}"};
    f->options.spool_max = 50000;
    open_report(f);
    for (uint64_t i = 1; i <= 5000; i++) {
        assert_int_equal(progress(f->report, i), ST_OK);
        if (i % 500 == 0) {
            assert_int_equal(report_structure(f->report, &s, NULL), ST_OK);
            assert_int_equal(
                report_checkpoint(f->report,
                                  &(struct report_checkpoint){
                                      .path = "c", .total_step = i, .size_bytes = 1, .sha256 = ""},
                                  NULL),
                ST_OK);
        }
    }
    assert_int_equal(report_metric(f->report, "eval.p1", 0.9, "", 5000, NULL), ST_OK);
    assert_int_equal(report_done(f->report, true, "", "", NULL), ST_OK);
    coordinator_start(c, f->address);
    assert_flushed(f);
    coordinator_stop(c);
    size_t kinds[16] = {0};
    uint64_t newest = 0;
    for (size_t i = 0; i < c->n; i++) {
        kinds[c->taken[i].kind]++;
        assert_true(i == 0 || c->taken[i].number > c->taken[i - 1].number);
        if (c->taken[i].kind == ESPALIER__V1__RECORD__KIND_PROGRESS)
            newest = c->taken[i].step;
    }
    assert_false(c->disordered);
    assert_int_equal(newest, 5000);
    assert_true(kinds[ESPALIER__V1__RECORD__KIND_PROGRESS] > 100);
    assert_true(kinds[ESPALIER__V1__RECORD__KIND_PROGRESS] < 2000);
    assert_int_equal(kinds[ESPALIER__V1__RECORD__KIND_STRUCTURE], 10);
    assert_int_equal(kinds[ESPALIER__V1__RECORD__KIND_CHECKPOINT], 10);
    assert_int_equal(kinds[ESPALIER__V1__RECORD__KIND_METRIC], 1);
    assert_int_equal(kinds[ESPALIER__V1__RECORD__KIND_DONE], 1);
}

static void what_never_goes_has_an_end_too(void **state)
{
    struct fixture *f = *state;
    struct err err;
    f->options.spool_max = 10000;
    open_report(f);
    enum status st = ST_OK;
    size_t notes = 0, artifacts = 0;
    while (notes < 10000 && (st = report_note(f->report, REPORT_INFO, "a note", &err)) == ST_OK)
        notes++;
    assert_int_equal(st, ST_LIMIT);
    assert_non_null(strstr(err.text, "the report spool is full"));
    while (artifacts < 10000 && (st = report_artifact(f->report, "a", 1, "", &err)) == ST_OK)
        artifacts++;
    assert_int_equal(st, ST_LIMIT);
    assert_int_equal(report_done(f->report, true, "", "", NULL),
                     ST_OK); /* but for how it all ended */
    coordinator_start(&f->coordinator, f->address);
    assert_flushed(f);
    assert_taken(&f->coordinator, notes + artifacts + 1);
}

static void a_delivered_spool_is_short(void **state)
{
    struct fixture *f = *state;
    struct report_structure s = {.json = calloc(1, 100001)};
    memset((char *)s.json, 'x', 100000);
    coordinator_start(&f->coordinator, f->address);
    open_report(f);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(report_structure(f->report, &s, NULL), ST_OK);
        assert_flushed(f);
    }
    assert_true(file_size(f->spool) < 2000000);
    free((char *)s.json);
}

static void a_series_keeps_its_shape(void **state)
{
    (void)state;
    struct record_queue q = {0};
    for (uint64_t i = 1; i <= 12; i++) /* series 1 and 2 in turn, every fourth never goes */
        record_push(&q, record_create(i, i % 4 == 0 ? 0 : 1 + i % 2, (const uint8_t *)"x", 1));
    record_thin(&q);
    uint64_t last[3] = {0}, n = 0;
    for (struct record *r = q.first; r; r = r->next, n++)
        last[r->series] = r->number;
    assert_int_equal(last[1], 10); /* the newest of each stays */
    assert_int_equal(last[2], 11);
    assert_int_equal(last[0], 12);
    assert_int_equal(n, 3 + 2 + 3);
    assert_int_equal(q.n, n);
    assert_int_equal(q.bytes, n);
    record_drop_all(&q);
    assert_null(q.first);
    assert_null(q.last);
}

#define LINK(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK(every_kind_arrives),
        LINK(a_report_goes_over_tls),
        LINK(a_batch_is_a_batch),
        LINK(the_daemon_may_come_late_and_leave),
        LINK(a_lost_answer_is_no_second_record),
        LINK(a_refused_record_holds_up_nobody),
        LINK(a_stop_is_heard_without_reporting),
        LINK(an_old_attempt_is_told),
        LINK(an_unknown_job_goes_on),
        LINK(the_spool_outlives_the_process),
        LINK(a_torn_end_is_cut_off),
        LINK(a_spool_is_nobody_elses),
        LINK(damage_anywhere_is_no_crash),
        LINK(a_full_disk_loses_nothing),
        LINK(no_daemon_at_all),
        LINK(a_full_spool_thins_what_may_go),
        LINK(what_never_goes_has_an_end_too),
        LINK(a_delivered_spool_is_short),
        cmocka_unit_test(a_series_keeps_its_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
