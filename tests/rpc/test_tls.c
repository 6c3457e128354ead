/* test_tls.c - certificates, tokens and the guard: who is let in, who is told what, and what the guard is told. */
#include "service.h"

#include "espalier/v1/job.pb-c.h"
#include "base/file.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATHS 160

/* c-ares loses the name it looked up. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcares.so";
}

/* What the guard was told last. */
struct arrival {
    char method[64], peer[64], bearer[RPC_NAME_MAX];
    bool local, had_bearer;
};

struct fixture {
    struct service service;
    char dir[64], cert[PATHS], key[PATHS], ca[PATHS];
    char target[64];
    struct rpc_tls files;
    int port;
    pthread_mutex_t lock;
    struct arrival last; /* behind lock: the guard is asked on a thread of the server's */
};

static struct arrival told(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    struct arrival last = f->last;
    pthread_mutex_unlock(&f->lock);
    return last;
}

static enum status guard(const struct rpc_arrival *a, struct rpc_identity *ret_identity, void *user,
                         struct err *err)
{
    struct fixture *f = user;
    struct arrival now = {.local = a->local, .had_bearer = a->bearer != NULL};
    snprintf(now.method, sizeof now.method, "%s", a->method);
    snprintf(now.peer, sizeof now.peer, "%s", a->peer);
    snprintf(now.bearer, sizeof now.bearer, "%s", a->bearer ? a->bearer : "");
    pthread_mutex_lock(&f->lock);
    f->last = now;
    pthread_mutex_unlock(&f->lock);
    if (!a->local && (!a->bearer || strcmp(a->bearer, "good") != 0))
        return err_set(err, ST_DENIED, "a token is needed");
    snprintf(ret_identity->name, sizeof ret_identity->name, "anna");
    if (strstr(a->method, "Cancel"))
        return err_set(err, ST_DENIED, "anna may not cancel");
    return ST_OK;
}

/* NAME.pem and NAME.key: a certificate for 127.0.0.1 that signed itself. */
static void make_cert(struct fixture *f, const char *name)
{
    char command[1024];
    snprintf(
        command, sizeof command,
        "umask 077; cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
        "-nodes -days 2 -keyout %s.key -out %s.pem -subj /CN=%s "
        "-addext subjectAltName=IP:127.0.0.1 2>/dev/null",
        f->dir, name, name, name);
    assert_int_equal(system(command), 0);
}

static void path_of(const struct fixture *f, const char *name, char ret_path[PATHS])
{
    snprintf(ret_path, PATHS, "%s/%s", f->dir, name);
}

static void serve(struct fixture *f, const char *address)
{
    struct err err;
    enum status st =
        service_start_guarded(&f->service, address, &f->files, guard, f, &f->port, &err);
    if (st != ST_OK)
        fail_msg("%s", err.text);
    snprintf(f->target, sizeof f->target, "tls:127.0.0.1:%d", f->port);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/espalier-tls-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    make_cert(f, "server");
    path_of(f, "server.pem", f->cert);
    path_of(f, "server.key", f->key);
    f->files = (struct rpc_tls){f->cert, f->key, NULL};
    pthread_mutex_init(&f->lock, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->service.server)
        service_stop(&f->service, 100);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    assert_int_equal(system(command), 0);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static enum status call_as(const struct rpc_access *access, const char *method, struct err *err)
{
    struct rpc_client *c;
    ProtobufCMessage *reply = NULL;
    Espalier__V1__GetRequest q = ESPALIER__V1__GET_REQUEST__INIT;
    q.id = (char *)"now";
    TRY(rpc_client_open_as(&c, access, err));
    enum status st = rpc_client_call(c, method, &q.base, &espalier__v1__get_reply__descriptor,
                                     20000, &reply, err);
    if (st == ST_OK)
        protobuf_c_message_free_unpacked(reply, NULL);
    rpc_client_close(c);
    return st;
}

static enum status get_as(const struct rpc_access *access, struct err *err)
{
    return call_as(access, "/espalier.v1.JobService/Get", err);
}

static void a_token_and_the_right_ca_let_in(void **state)
{
    struct fixture *f = *state;
    struct err err;
    serve(f, "tls:127.0.0.1:0");
    struct rpc_access a = {.target = f->target, .tls.ca_file = f->cert, .token = "good"};
    assert_int_equal(get_as(&a, &err), ST_OK);
    struct arrival last = told(f);
    assert_string_equal(last.method, "/espalier.v1.JobService/Get");
    assert_string_equal(last.peer, "ipv4:127.0.0.1");
    assert_string_equal(last.bearer, "good");
    assert_false(last.local);

    a.token = "bad";
    assert_int_equal(get_as(&a, &err), ST_DENIED);
    assert_string_equal(err.text, "a token is needed");
    a.token = NULL;
    assert_int_equal(get_as(&a, &err), ST_DENIED);
    assert_false(told(f).had_bearer);
    a.token = "good";
    assert_int_equal(call_as(&a, "/espalier.v1.JobService/Cancel", &err), ST_DENIED);
    assert_string_equal(err.text, "anna may not cancel");
    /* A stranger does not even learn which methods there are. */
    assert_int_equal(call_as(&a, "/espalier.v1.JobService/Nothing", &err), ST_UNSUPPORTED);
    a.token = NULL;
    assert_int_equal(call_as(&a, "/espalier.v1.JobService/Nothing", &err), ST_DENIED);
}

static void an_unknown_certificate_is_not_talked_to(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char other[PATHS];
    serve(f, "tls:127.0.0.1:0");
    make_cert(f, "other");
    path_of(f, "other.pem", other);
    struct rpc_access a = {.target = f->target, .tls.ca_file = other, .token = "good"};
    assert_int_equal(get_as(&a, &err), ST_UNAVAILABLE);
    assert_non_null(strstr(err.text, "certificate"));
    assert_false(told(f).had_bearer);
    a.tls.ca_file = NULL; /* the system's do not know it either */
    assert_int_equal(get_as(&a, &err), ST_UNAVAILABLE);
    a.tls.ca_file = f->cert; /* its certificate names the address, not this name */
    char by_name[64];
    snprintf(by_name, sizeof by_name, "tls:localhost:%d", f->port);
    a.target = by_name;
    assert_int_equal(get_as(&a, &err), ST_UNAVAILABLE);
}

static void a_client_certificate_may_be_demanded(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char cert[PATHS], key[PATHS];
    make_cert(f, "client");
    path_of(f, "client.pem", cert);
    path_of(f, "client.key", key);
    f->files.ca_file = cert;
    serve(f, "tls:127.0.0.1:0");
    struct rpc_access a = {.target = f->target, .tls.ca_file = f->cert, .token = "good"};
    assert_int_equal(get_as(&a, &err), ST_UNAVAILABLE);
    a.tls.cert_file = cert;
    a.tls.key_file = key;
    assert_int_equal(get_as(&a, &err), ST_OK);
    a.tls.cert_file = f->cert;
    a.tls.key_file = f->key;
    assert_int_equal(get_as(&a, &err), ST_UNAVAILABLE);
}

static void a_socket_is_local_and_gets_no_token(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char address[96];
    snprintf(address, sizeof address, "unix:%s/s", f->dir);
    serve(f, address);
    struct rpc_access a = {.target = address, .token = "good"};
    assert_int_equal(get_as(&a, &err), ST_OK);
    assert_true(told(f).local);
    assert_false(told(f).had_bearer);
}

static void plain_tcp_is_not_local(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char target[64];
    serve(f, "127.0.0.1:0");
    snprintf(target, sizeof target, "127.0.0.1:%d", f->port);
    struct rpc_access a = {.target = target, .token = "good"};
    assert_int_equal(get_as(&a, &err), ST_DENIED);
    assert_false(told(f).local);
    assert_false(told(f).had_bearer); /* nor does the token travel in the clear */
}

static void refuses(struct rpc_tls files, enum status st, const char *part)
{
    struct service s;
    struct err err;
    assert_int_equal(service_start_guarded(&s, "tls:127.0.0.1:0", &files, NULL, NULL, NULL, &err),
                     st);
    if (!strstr(err.text, part))
        fail_msg("'%s' is not in: %s", part, err.text);
}

/* The command line of openssl makes no certificate that is over. */
static void expire(const char *cert_path, const char *key_path)
{
    FILE *cert_file = fopen(cert_path, "r+"), *key_file = fopen(key_path, "r");
    assert_true(cert_file && key_file);
    X509 *cert = PEM_read_X509(cert_file, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_PrivateKey(key_file, NULL, NULL, NULL);
    X509_gmtime_adj(X509_getm_notAfter(cert), -1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    rewind(cert_file);
    PEM_write_X509(cert_file, cert);
    fclose(cert_file);
    fclose(key_file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void unusable_files_are_named(void **state)
{
    struct fixture *f = *state;
    char other[PATHS], missing[PATHS], old[PATHS], old_key[PATHS];
    make_cert(f, "other");
    path_of(f, "other.key", other);
    path_of(f, "missing", missing);
    refuses((struct rpc_tls){f->cert, other, NULL}, ST_INVALID, "is not that of the certificate");
    refuses((struct rpc_tls){f->key, f->key, NULL}, ST_INVALID, "holds no certificate");
    refuses((struct rpc_tls){missing, f->key, NULL}, ST_NOT_FOUND, "missing");
    refuses((struct rpc_tls){f->cert, missing, NULL}, ST_NOT_FOUND, "missing");
    refuses((struct rpc_tls){f->cert, f->key, f->key}, ST_INVALID, "holds no certificate");
    refuses((struct rpc_tls){f->cert, NULL, NULL}, ST_INVALID, "needs a certificate and its key");
    chmod(f->key, 0640);
    refuses((struct rpc_tls){f->cert, f->key, NULL}, ST_DENIED, "chmod 600");
    chmod(f->key, 0600);
    make_cert(f, "old");
    path_of(f, "old.pem", old);
    path_of(f, "old.key", old_key);
    expire(old, old_key);
    refuses((struct rpc_tls){old, old_key, NULL}, ST_INVALID, "has expired");

    struct service s;
    struct err err;
    assert_int_equal(service_start(&s, "tls:127.0.0.1:0", NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "without a certificate"));
    struct rpc_client *c;
    struct rpc_access a = {.target = "tls:127.0.0.1:1", .tls.ca_file = missing};
    assert_int_equal(rpc_client_open_as(&c, &a, &err), ST_NOT_FOUND);
    a = (struct rpc_access){.target = "tls:127.0.0.1:1", .token = "two\nlines"};
    assert_int_equal(rpc_client_open_as(&c, &a, &err), ST_INVALID);
    assert_null(strstr(err.text, "two")); /* a secret is never repeated */
}

static void rename_in(const struct fixture *f, const char *from, const char *to)
{
    char a[PATHS], b[PATHS];
    path_of(f, from, a);
    path_of(f, to, b);
    assert_int_equal(rename(a, b), 0);
}

static void a_renewed_certificate_is_taken_up(void **state)
{
    struct fixture *f = *state;
    struct err err;
    char before[PATHS], command[400];
    path_of(f, "before.pem", before);
    serve(f, "tls:127.0.0.1:0");
    snprintf(command, sizeof command, "cp %s %s", f->cert, before);
    assert_int_equal(system(command), 0);
    struct rpc_access a = {.target = f->target, .tls.ca_file = before, .token = "good"};
    assert_int_equal(get_as(&a, &err), ST_OK);
    make_cert(f, "new");
    rename_in(f, "new.pem", "server.pem"); /* half of a renewal: the old pair serves on */
    assert_int_equal(get_as(&a, &err), ST_OK);
    rename_in(f, "new.key", "server.key");
    assert_int_equal(get_as(&a, &err), ST_UNAVAILABLE);
    a.tls.ca_file = f->cert;
    assert_int_equal(get_as(&a, &err), ST_OK);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_and_the_right_ca_let_in),
        TEST(an_unknown_certificate_is_not_talked_to),
        TEST(a_client_certificate_may_be_demanded),
        TEST(a_socket_is_local_and_gets_no_token),
        TEST(plain_tcp_is_not_local),
        TEST(unusable_files_are_named),
        TEST(a_renewed_certificate_is_taken_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
