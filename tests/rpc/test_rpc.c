/* test_rpc.c - the C client against the test service, and the corners of rpc.h: statuses, text,
 * sockets, calls that outlive their server. */
#include "service.h"

#include "espalier/v1/job.pb-c.h"
#include "espalier/v1/report.pb-c.h"
#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define JOB_SERVICE "/espalier.v1.JobService/"

struct fixture {
    struct service service;
    struct rpc_client *client;
    char dir[64], path[96], address[104];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/espalier-rpc-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/socket", f->dir);
    snprintf(f->address, sizeof f->address, "unix:%s", f->path);
    struct err err;
    assert_int_equal(service_start(&f->service, f->address, NULL, &err), ST_OK);
    assert_int_equal(rpc_client_open(&f->client, f->address, &err), ST_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rpc_client_close(f->client);
    if (f->service.server)
        service_stop(&f->service, 100);
    service_release(&f->service);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void stop_server(struct fixture *f, int grace_ms)
{
    service_stop(&f->service, grace_ms);
    f->service.server = NULL;
}

static enum status get(struct rpc_client *c, const char *id, int deadline_ms, char ret_id[16],
                       struct err *err)
{
    Espalier__V1__GetRequest q = ESPALIER__V1__GET_REQUEST__INIT;
    ProtobufCMessage *reply;
    q.id = (char *)id;
    TRY(rpc_client_call(c, JOB_SERVICE "Get", &q.base, &espalier__v1__get_reply__descriptor,
                        deadline_ms, &reply, err));
    snprintf(ret_id, 16, "%s", ((Espalier__V1__GetReply *)reply)->job->id);
    protobuf_c_message_free_unpacked(reply, NULL);
    return ST_OK;
}

static struct rpc_stream *watch(struct rpc_client *c, const char *id, uint64_t count, bool follow)
{
    Espalier__V1__WatchRequest q = ESPALIER__V1__WATCH_REQUEST__INIT;
    struct rpc_stream *s;
    struct err err;
    q.id = (char *)id;
    q.after = count;
    q.follow = follow;
    assert_int_equal(rpc_stream_open(&s, c, JOB_SERVICE "Watch", &q.base,
                                     &espalier__v1__event__descriptor, &err),
                     ST_OK);
    return s;
}

static enum status next_cursor(struct rpc_stream *s, uint64_t *ret_cursor, struct err *err)
{
    ProtobufCMessage *m;
    TRY(rpc_stream_next(s, &m, err));
    *ret_cursor = m ? ((Espalier__V1__Event *)m)->cursor : 0;
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
    return ST_OK;
}

static void nap(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void status_survives_the_wire(void **state)
{
    (void)state;
    for (int st = 0; st < STATUS_COUNT; st++) {
        enum status back = rpc_status_of(rpc_wire_code((enum status)st));
        bool merged = st == ST_IO || st == ST_NUMERIC || st == ST_NOMEM;
        assert_int_equal(back, !merged ? st : st == ST_NOMEM ? ST_LIMIT : ST_INTERNAL);
    }
    assert_int_equal(rpc_wire_code((enum status)99), 13);
    assert_int_equal(rpc_status_of(16), ST_DENIED);
    assert_int_equal(rpc_status_of(99), ST_INTERNAL);
}

static bool valid_text(const char *text)
{
    Espalier__V1__ReportRequest q = ESPALIER__V1__REPORT_REQUEST__INIT;
    Espalier__V1__Record record = ESPALIER__V1__RECORD__INIT, *records[] = {&record};
    Espalier__V1__Note note = ESPALIER__V1__NOTE__INIT;
    note.text = (char *)text;
    record.kind_case = ESPALIER__V1__RECORD__KIND_NOTE;
    record.note = &note;
    q.n_records = 1;
    q.records = records;
    return rpc_message_valid_utf8(&q.base);
}

static void utf8_is_checked_at_any_depth(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "plain",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xff",
                                      "a\xc3",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xe2\x82",
                                      "\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(valid_text(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(valid_text(bad[i]));
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void unary_calls(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char id[16];
    assert_int_equal(get(f->client, "now", 10000, id, &err), ST_OK);
    assert_string_equal(id, "now");
    assert_int_equal(get(f->client, "later", 10000, id, &err), ST_OK);
    assert_string_equal(id, "later");
    assert_int_equal(get(f->client, "41", 10000, id, &err), ST_NOT_FOUND);
    assert_string_equal(err.text, "job '41' is unknown");
    assert_int_equal(get(f->client, "\xff", 10000, id, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "UTF-8"));
    assert_string_equal(id, "later");
}

static void deadline_names_the_daemon(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char id[16], want[200];
    snprintf(want, sizeof want, "espalierd at %s gave no answer within 100 ms", f->address);
    assert_int_equal(get(f->client, "never", 100, id, &err), ST_TIMEOUT);
    assert_string_equal(err.text, want);
    for (int i = 0; i < 50; i++) {
        enum status st = get(f->client, "now", 1, id, &err);
        assert_true(st == ST_OK || st == ST_TIMEOUT);
    }
}

static void no_daemon_is_said_clearly(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char id[16], want[200];
    snprintf(want, sizeof want,
             "cannot reach espalierd at %s: is it running? start it with: espalierd", f->address);
    stop_server(f, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(get(f->client, "now", 10000, id, &err), ST_UNAVAILABLE);
        assert_string_equal(err.text, want);
    }
    struct rpc_stream *s = watch(f->client, "7", 1, false);
    uint64_t cursor = 0;
    assert_int_equal(next_cursor(s, &cursor, &err), ST_UNAVAILABLE);
    assert_string_equal(err.text, want);
    rpc_stream_close(s);
    assert_int_equal(service_start(&f->service, f->address, NULL, &err), ST_OK);
    int64_t start = clock_mono_ns();
    while (get(f->client, "now", 10000, id, &err) != ST_OK) {
        assert_true(clock_mono_ns() - start < 15000000000);
        nap(20);
    }
}

static void own_unavailable_keeps_its_sentence(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char id[16];
    assert_int_equal(get(f->client, "busy", 10000, id, &err), ST_UNAVAILABLE);
    assert_string_equal(err.text, "the store is locked: try again");
}

static void large_messages_are_refused_here_and_there(void **state)
{
    struct fixture *f = *state;
    Espalier__V1__SubmitRequest q = ESPALIER__V1__SUBMIT_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct err err;
    q.job_file.len = RPC_MESSAGE_MAX + 1;
    q.job_file.data = calloc(1, q.job_file.len);
    assert_int_equal(rpc_client_call(f->client, JOB_SERVICE "Submit", &q.base,
                                     &espalier__v1__submit_reply__descriptor, 5000, &reply, &err),
                     ST_LIMIT);
    assert_non_null(strstr(err.text, "8388608"));
    q.job_file.len = 1u << 20;
    q.request_id = (char *)"r";
    assert_int_equal(rpc_client_call(f->client, JOB_SERVICE "Submit", &q.base,
                                     &espalier__v1__submit_reply__descriptor, 5000, &reply, &err),
                     ST_OK);
    protobuf_c_message_free_unpacked(reply, NULL);
    /* A reply that cannot be sent is the server's failure, not silence. */
    q.file_name = (char *)"bad reply";
    assert_int_equal(rpc_client_call(f->client, JOB_SERVICE "Submit", &q.base,
                                     &espalier__v1__submit_reply__descriptor, 5000, &reply, &err),
                     ST_INTERNAL);
    free(q.job_file.data);
}

static void proxies_are_for_networks(void **state)
{
    struct fixture *f = *state;
    struct rpc_client *c;
    struct err err;
    char id[16];
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("grpc_proxy", "http://127.0.0.1:1", 1);
    assert_int_equal(rpc_client_open(&c, f->address, &err), ST_OK);
    assert_int_equal(get(c, "now", 10000, id, &err), ST_OK);
    rpc_client_close(c);
    unsetenv("http_proxy");
    unsetenv("grpc_proxy");
}

static void *call_often(void *arg)
{
    struct fixture *f = arg;
    struct err err;
    char id[16];
    for (int i = 0; i < 100; i++)
        if (get(f->client, i % 10 ? "now" : "later", 10000, id, &err) != ST_OK)
            return arg;
    return NULL;
}

static void many_threads_share_a_client(void **state)
{
    pthread_t threads[4];
    void *failed;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, *state), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

/* ---- streams --------------------------------------------------------------------------------- */

static void stream_ends(void **state)
{
    struct fixture *f = *state;
    struct err err;
    uint64_t cursor = 0;
    struct rpc_stream *s = watch(f->client, "7", 300, false);
    for (uint64_t i = 1; i <= 300; i++) {
        assert_int_equal(next_cursor(s, &cursor, &err), ST_OK);
        assert_int_equal(cursor, i);
    }
    assert_int_equal(next_cursor(s, &cursor, &err), ST_OK);
    assert_int_equal(cursor, 0);
    rpc_stream_close(s);
    s = watch(f->client, "missing", 1, false);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_NOT_FOUND);
    assert_string_equal(err.text, "job 'missing' is unknown");
    rpc_stream_close(s);
}

static void stream_can_be_left(void **state)
{
    struct fixture *f = *state;
    struct err err;
    uint64_t cursor = 0;
    rpc_stream_close(watch(f->client, "7", 10000, false)); /* before its first message */
    struct rpc_stream *s = watch(f->client, "7", 10000, true);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_OK);
    rpc_stream_close(s);
    rpc_stream_close(NULL);
}

static void *cancel_soon(void *stream)
{
    nap(50);
    rpc_stream_cancel(stream);
    return NULL;
}

static void stream_is_cancelled_from_beside(void **state)
{
    struct fixture *f = *state;
    struct err err;
    uint64_t cursor = 0;
    pthread_t thread;
    struct rpc_stream *s = watch(f->client, "7", 1, true);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_OK);
    pthread_create(&thread, NULL, cancel_soon, s);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_CANCELLED);
    assert_string_equal(err.text, "the call was cancelled");
    pthread_join(thread, NULL);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_CANCELLED); /* and stays so */
    rpc_stream_close(s);
}

static void a_late_hook_still_runs(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        rpc_stream_close(watch(f->client, "late", 1, true));
    nap(50);
    for (unsigned open = 1; open; nap(5)) {
        pthread_mutex_lock(&f->service.lock);
        open = f->service.n_watches;
        pthread_mutex_unlock(&f->service.lock);
    }
}

static void what_cannot_be_sent_ends_the_stream(void **state)
{
    struct fixture *f = *state;
    struct err err;
    uint64_t cursor = 0;
    struct rpc_stream *s = watch(f->client, "spoilt", 3, true);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_OK);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_INTERNAL);
    assert_string_equal(err.text,
                        "the server's espalier.v1.Event holds a string that is not UTF-8");
    rpc_stream_close(s);
}

/* ---- the server's end ------------------------------------------------------------------------ */

static void *hold_a_call(void *arg)
{
    struct fixture *f = arg;
    struct err err;
    char id[16];
    return get(f->client, "never", 10000, id, &err) == ST_UNAVAILABLE ? NULL : arg;
}

static void calls_outlive_their_server(void **state)
{
    struct fixture *f = *state;
    struct err err;
    uint64_t cursor = 0;
    pthread_t thread;
    void *failed;
    struct rpc_stream *s = watch(f->client, "7", 1, true);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_OK);
    pthread_create(&thread, NULL, hold_a_call, f);
    for (bool held = false; !held; nap(5)) {
        pthread_mutex_lock(&f->service.lock);
        held = f->service.n_held > 0;
        pthread_mutex_unlock(&f->service.lock);
    }
    int64_t start = clock_mono_ns();
    stop_server(f, 50);
    assert_true(clock_mono_ns() - start < 8000000000);
    assert_int_equal(next_cursor(s, &cursor, &err), ST_UNAVAILABLE);
    rpc_stream_close(s);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_true(rpc_call_gone(f->service.held[0]));
    service_release(&f->service); /* the handler answers long after: nothing happens */
}

static void a_finishing_call_has_grace(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    void *failed;
    pthread_create(&thread, NULL, call_often, f);
    pthread_join(thread, &failed);
    assert_null(failed);
    int64_t start = clock_mono_ns();
    stop_server(f, 5000); /* nobody is there: no reason to wait */
    assert_true(clock_mono_ns() - start < 4000000000);
}

static void nothing(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
    (void)request;
    (void)user;
    rpc_call_fail(call, ST_INTERNAL, "not called");
}

static void a_service_must_be_whole(void **state)
{
    (void)state;
    static const struct rpc_method none[] = {{"Report", RPC_UNARY, NULL}};
    static const struct rpc_method extra[] = {{"Report", RPC_UNARY, nothing},
                                              {"Rapport", RPC_UNARY, nothing}};
    const ProtobufCServiceDescriptor *service = &espalier__v1__report_service__descriptor;
    struct rpc_server *s;
    struct err err;
    assert_int_equal(rpc_server_create(&s, &err), ST_OK);
    assert_int_equal(rpc_server_add(s, service, none, 0, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "Report"));
    assert_int_equal(rpc_server_add(s, service, none, 1, NULL, &err), ST_INVALID);
    assert_int_equal(rpc_server_add(s, service, extra, 2, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "Rapport"));
    assert_int_equal(rpc_server_add(s, service, extra, 1, NULL, &err), ST_OK);
    assert_int_equal(rpc_server_add(s, service, extra, 1, NULL, &err), ST_EXISTS);
    rpc_server_destroy(s); /* never started */
    rpc_server_destroy(NULL);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void taken_socket_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct service second;
    struct err err;
    struct stat sb;
    char id[16];
    assert_int_equal(stat(f->path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    assert_int_equal(service_start(&second, f->address, NULL, &err), ST_EXISTS);
    assert_non_null(strstr(err.text, f->path));
    assert_int_equal(get(f->client, "now", 10000, id, &err), ST_OK);
}

static void stale_socket_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct service second;
    struct err err;
    char path[104], address[112];
    snprintf(path, sizeof path, "%s/stale", f->dir);
    snprintf(address, sizeof address, "unix:%s", path);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    close(fd); /* never listened: what a killed server leaves */
    assert_int_equal(service_start(&second, address, NULL, &err), ST_OK);
    service_stop(&second, 0);
    assert_false(file_exists(path));
}

static void odd_addresses_are_refused(void **state)
{
    struct fixture *f = *state;
    struct service second;
    struct err err;
    char path[104], address[400];
    snprintf(path, sizeof path, "%s/file", f->dir);
    snprintf(address, sizeof address, "unix:%s", path);
    assert_int_equal(file_write_atomic(path, "precious", 8, 0600, &err), ST_OK);
    assert_int_equal(service_start(&second, address, NULL, &err), ST_EXISTS);
    assert_non_null(strstr(err.text, "is not a socket"));
    assert_true(file_exists(path));
    unlink(path);
    snprintf(address, sizeof address, "unix:%s/%0200d", f->dir, 0);
    assert_int_equal(service_start(&second, address, NULL, &err), ST_INVALID);
    assert_int_equal(service_start(&second, "unix:", NULL, &err), ST_INVALID);
    snprintf(address, sizeof address, "unix:%s/no/folder", f->dir);
    assert_int_equal(service_start(&second, address, NULL, &err), ST_UNAVAILABLE);
    assert_int_equal(service_start(&second, "nowhere at all", NULL, &err), ST_UNAVAILABLE);
    struct rpc_client *c;
    assert_int_equal(rpc_client_open(&c, "", &err), ST_INVALID);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_survives_the_wire),
        cmocka_unit_test(utf8_is_checked_at_any_depth),
        cmocka_unit_test(a_service_must_be_whole),
        WITH_SERVER(unary_calls),
        WITH_SERVER(deadline_names_the_daemon),
        WITH_SERVER(no_daemon_is_said_clearly),
        WITH_SERVER(own_unavailable_keeps_its_sentence),
        WITH_SERVER(large_messages_are_refused_here_and_there),
        WITH_SERVER(proxies_are_for_networks),
        WITH_SERVER(many_threads_share_a_client),
        WITH_SERVER(stream_ends),
        WITH_SERVER(stream_can_be_left),
        WITH_SERVER(stream_is_cancelled_from_beside),
        WITH_SERVER(a_late_hook_still_runs),
        WITH_SERVER(what_cannot_be_sent_ends_the_stream),
        WITH_SERVER(calls_outlive_their_server),
        WITH_SERVER(a_finishing_call_has_grace),
        WITH_SERVER(taken_socket_is_left_alone),
        WITH_SERVER(stale_socket_is_replaced),
        WITH_SERVER(odd_addresses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
