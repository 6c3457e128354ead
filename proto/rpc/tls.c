/* tls.c - certificates and keys: read, judged before gRPC sees them, read anew when they change.
 *
 * gRPC says of an unusable file only that it could not listen or connect. libcrypto tells the reason first, so that
 * there is a sentence. A password is never asked for: a daemon has nobody to ask.
 */
#include "rpc/core.h"

#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <grpc/grpc_security.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PEM_MAX (4u << 20) /* a file of all the CAs of a system has 200 kB */

/* The files' bytes, as text. */
struct pems {
    struct buf cert, key, ca;
    bool has_key, has_ca;
};

static void pems_init(struct pems *p)
{
    *p = (struct pems){.has_key = false};
    buf_init(&p->cert, PEM_MAX);
    buf_init(&p->key, PEM_MAX);
    buf_init(&p->ca, PEM_MAX);
}

static void pems_fini(struct pems *p)
{
    if (p->key.data)
        explicit_bzero(p->key.data, p->key.len);
    buf_fini(&p->cert);
    buf_fini(&p->key);
    buf_fini(&p->ca);
}

static int no_password(char *out, int size, int writing, void *user)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)user;
    return 0;
}

static X509 *parse_cert(const struct buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return cert;
}

static EVP_PKEY *parse_key(const struct buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static enum status check_pair(const struct pems *p, const struct rpc_tls *f, struct err *err)
{
    X509 *cert = parse_cert(&p->cert);
    EVP_PKEY *key = parse_key(&p->key);
    enum status st = ST_OK;
    if (!cert)
        st = err_set(err, ST_INVALID, "%s holds no certificate in PEM format", f->cert_file);
    else if (!key)
        st = err_set(err, ST_INVALID,
                     "%s holds no private key in PEM format that needs no password", f->key_file);
    else if (X509_check_private_key(cert, key) != 1)
        st = err_set(err, ST_INVALID, "the key in %s is not that of the certificate in %s",
                     f->key_file, f->cert_file);
    else if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        st = err_set(err, ST_INVALID, "the certificate in %s has expired; renew it", f->cert_file);
    X509_free(cert);
    EVP_PKEY_free(key);
    return st;
}

static enum status check_ca(const struct pems *p, const struct rpc_tls *f, struct err *err)
{
    X509 *ca = parse_cert(&p->ca);
    X509_free(ca);
    return ca ? ST_OK
              : err_set(err, ST_INVALID, "%s holds no certificate in PEM format", f->ca_file);
}

static enum status check_key_mode(const char *path, struct err *err)
{
    struct stat sb;
    if (stat(path, &sb) < 0)
        return err_errno(err, "cannot look at the key %s", path);
    if (sb.st_mode & 077)
        return err_set(err, ST_DENIED, "the key %s is open to others (mode %03o); chmod 600 it",
                       path, sb.st_mode & 0777);
    return ST_OK;
}

static enum status pems_read(struct pems *p, const struct rpc_tls *f, struct err *err)
{
    if (!f->cert_file != !f->key_file)
        return err_set(err, ST_INVALID, "%s is given without its %s",
                       f->cert_file ? f->cert_file : f->key_file,
                       f->cert_file ? "key" : "certificate");
    if (f->cert_file) {
        TRY(check_key_mode(f->key_file, err));
        TRY(file_read(&p->cert, f->cert_file, err));
        TRY(file_read(&p->key, f->key_file, err));
        TRY(check_pair(p, f, err));
        p->has_key = true;
    }
    if (f->ca_file) {
        TRY(file_read(&p->ca, f->ca_file, err));
        TRY(check_ca(p, f, err));
        p->has_ca = true;
    }
    return ST_OK;
}

/* ---- client ------------------------------------------------------------------------------- */

grpc_channel_credentials *rpc_tls_channel_credentials(const struct rpc_tls *files, struct err *err)
{
    struct pems p;
    grpc_channel_credentials *creds = NULL;
    pems_init(&p);
    if (pems_read(&p, files, err) == ST_OK) {
        grpc_ssl_pem_key_cert_pair pair = {buf_str(&p.key), buf_str(&p.cert)};
        creds = grpc_ssl_credentials_create_ex(p.has_ca ? buf_str(&p.ca) : NULL,
                                               p.has_key ? &pair : NULL, NULL, NULL);
        if (!creds)
            err_set(err, ST_INVALID,
                    "no CA certificates are installed here; name one by a CA file");
    }
    pems_fini(&p);
    return creds;
}

/* ---- server ------------------------------------------------------------------------------- */

struct rpc_server_tls {
    char *cert_file, *key_file, *ca_file;
    struct fetcher { /* one an address */
        struct rpc_server_tls *tls;
        struct timespec seen[3]; /* the files' times of change when they were last taken */
    } fetcher[RPC_TLS_MAX];
    int n;
};

static struct rpc_tls files_of(const struct rpc_server_tls *t)
{
    return (struct rpc_tls){t->cert_file, t->key_file, t->ca_file};
}

static void look(const struct rpc_server_tls *t, struct timespec ret_seen[3])
{
    const char *const paths[] = {t->cert_file, t->key_file, t->ca_file};
    for (int i = 0; i < 3; i++) {
        struct stat sb;
        ret_seen[i] =
            paths[i] && stat(paths[i], &sb) == 0 ? sb.st_mtim : (struct timespec){.tv_sec = -1};
    }
}

/* gRPC asks before each handshake, one thread at a time. While a renewal is half written the old pair serves on. */
static grpc_ssl_certificate_config_reload_status fetch(void *user,
                                                       grpc_ssl_server_certificate_config **config)
{
    struct fetcher *f = user;
    struct timespec now[3];
    struct rpc_tls files = files_of(f->tls);
    struct pems p;
    look(f->tls, now);
    if (memcmp(now, f->seen, sizeof now) == 0)
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    pems_init(&p);
    enum status st = pems_read(&p, &files, NULL);
    if (st == ST_OK) {
        grpc_ssl_pem_key_cert_pair pair = {buf_str(&p.key), buf_str(&p.cert)};
        /* gRPC 1.51 aborts without roots, even where no client is asked for a certificate. */
        const char *roots = buf_str(p.has_ca ? &p.ca : &p.cert);
        *config = grpc_ssl_server_certificate_config_create(roots, &pair, 1);
        memcpy(f->seen, now, sizeof now);
    }
    pems_fini(&p);
    return st == ST_OK ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW
                       : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

struct grpc_server_credentials *rpc_tls_server_credentials(struct rpc_server_tls *tls)
{
    if (tls->n == RPC_TLS_MAX)
        return NULL;
    struct fetcher *f = &tls->fetcher[tls->n++];
    f->tls = tls;
    grpc_ssl_client_certificate_request_type ask =
        tls->ca_file ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                     : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(ask, fetch, f));
}

enum status rpc_server_use_tls(struct rpc_server *s, const struct rpc_tls *files, struct err *err)
{
    struct pems p;
    if (!files->cert_file || !files->key_file)
        return err_set(err, ST_INVALID, "TLS needs a certificate and its key");
    pems_init(&p);
    enum status st = pems_read(&p, files, err);
    pems_fini(&p);
    TRY(st);
    struct rpc_server_tls *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(err, ST_NOMEM, "out of memory for the certificate");
    t->cert_file = strdup(files->cert_file);
    t->key_file = strdup(files->key_file);
    t->ca_file = files->ca_file ? strdup(files->ca_file) : NULL;
    rpc_tls_destroy(s->tls);
    s->tls = t;
    return t->cert_file && t->key_file
               ? ST_OK
               : err_set(err, ST_NOMEM, "out of memory for the certificate");
}

bool rpc_tls_names(const struct rpc_server_tls *t, const char *host)
{
    struct buf pem;
    buf_init(&pem, PEM_MAX);
    X509 *cert = file_read(&pem, t->cert_file, NULL) == ST_OK ? parse_cert(&pem) : NULL;
    bool named = cert && (X509_check_ip_asc(cert, host, 0) == 1 ||
                          X509_check_host(cert, host, strlen(host),
                                          X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1);
    X509_free(cert);
    buf_fini(&pem);
    return named;
}

void rpc_tls_destroy(struct rpc_server_tls *t)
{
    if (!t)
        return;
    free(t->cert_file);
    free(t->key_file);
    free(t->ca_file);
    free(t);
}
