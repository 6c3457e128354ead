/* sender.c - see sender.h. */
#include "webhook/sender.h"

#include "base/clock.h"
#include "base/log.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BACKOFF_MAX_MS 300000
#define COMPLAIN_EVERY_MS 60000

struct item {
    int64_t id, since_ms;
    char *body; /* owned */
};

struct sender {
    struct sender_options options;
    char *url, *agent, *secret; /* owned */

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct item queue[SENDER_QUEUE]; /* behind lock, like all below */
    int first, n;
    bool stop;
    struct sender_meters meters;
};

/* ---- the signature ---------------------------------------------------------------------------- */

void sender_sign(char ret_signature[SENDER_SIGNATURE_MAX], const void *secret, size_t secret_len,
                 int64_t seconds, const char *body)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    char stamp[24];
    int stamp_len = snprintf(stamp, sizeof stamp, "%lld.", (long long)seconds);
    size_t body_len = strlen(body), len = (size_t)stamp_len + body_len;
    unsigned char *text = malloc(len + 1);
    if (text) {
        memcpy(text, stamp, (size_t)stamp_len);
        memcpy(text + stamp_len, body, body_len + 1);
        HMAC(EVP_sha256(), secret, (int)secret_len, text, len, sum, &n);
        free(text);
    }
    int at = snprintf(ret_signature, SENDER_SIGNATURE_MAX, "t=%lld,v1=", (long long)seconds);
    for (unsigned int i = 0; i < n && at + 2 < SENDER_SIGNATURE_MAX; i++)
        at += snprintf(ret_signature + at, SENDER_SIGNATURE_MAX - (size_t)at, "%02x", sum[i]);
}

/* ---- one POST --------------------------------------------------------------------------------- */

enum outcome { TAKEN, TRY_AGAIN, REFUSED };

static size_t ignore_body(char *data, size_t size, size_t n, void *user)
{
    (void)data, (void)user;
    return size * n;
}

/* Breaks a transfer off when the daemon ends. */
static int watch_stop(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t e)
{
    struct sender *s = user;
    (void)a, (void)b, (void)c, (void)e;
    pthread_mutex_lock(&s->lock);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static struct curl_slist *make_headers(const struct sender *s, const struct item *item)
{
    char signature[SENDER_SIGNATURE_MAX], line[SENDER_SIGNATURE_MAX + 64];
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json"), *next;
    sender_sign(signature, s->secret, s->options.secret_len,
                clock_system()->wall_ms(clock_system()) / 1000, item->body);
    snprintf(line, sizeof line, "Espalier-Signature: %s", signature);
    next = list ? curl_slist_append(list, line) : NULL;
    snprintf(line, sizeof line, "Espalier-Event: %lld", (long long)item->id);
    next = next ? curl_slist_append(next, line) : NULL;
    if (!next)
        curl_slist_free_all(list);
    return next;
}

static void set_options(struct sender *s, CURL *curl, const struct item *item,
                        struct curl_slist *headers)
{
    curl_easy_setopt(curl, CURLOPT_URL, s->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)s->options.timeout_ms);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, s->agent);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, item->body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, watch_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, s);
}

/* 2xx is an answer; of the rest, what may pass by itself is tried again: no connection, 408, 425, 429, 5xx. */
static enum outcome judge(CURLcode rc, long http, char why[128])
{
    if (rc != CURLE_OK) {
        snprintf(why, 128, "%s", curl_easy_strerror(rc));
        return TRY_AGAIN;
    }
    snprintf(why, 128, "HTTP status %ld", http);
    if (http >= 200 && http < 300)
        return TAKEN;
    return http == 408 || http == 425 || http == 429 || http >= 500 ? TRY_AGAIN : REFUSED;
}

static enum outcome post(struct sender *s, CURL *curl, const struct item *item, char why[128])
{
    struct curl_slist *headers = make_headers(s, item);
    long http = 0;
    if (!headers) {
        snprintf(why, 128, "out of memory");
        return TRY_AGAIN;
    }
    set_options(s, curl, item, headers);
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
    curl_slist_free_all(headers);
    return judge(rc, http, why);
}

/* ---- the thread ------------------------------------------------------------------------------- */

/* Waits under the lock; false when the daemon ends. */
static bool pause_ms(struct sender *s, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (!s->stop && pthread_cond_timedwait(&s->wake, &s->lock, &until) == 0)
        ;
    return !s->stop;
}

static void complain(int64_t *last_ms, const char *what, int64_t id, const char *why)
{
    int64_t now = clock_mono_ns() / 1000000;
    if (*last_ms && now - *last_ms < COMPLAIN_EVERY_MS)
        return;
    *last_ms = now;
    log_warn("webhook: event %lld %s: %s", (long long)id, what, why);
}

/* Until it is settled; false when the daemon ends first. Called and left with the lock held. */
static bool deliver(struct sender *s, CURL *curl, const struct item *item, int64_t *complained_ms)
{
    int64_t wait = s->options.retry_ms;
    for (;;) {
        char why[128];
        pthread_mutex_unlock(&s->lock);
        enum outcome outcome = post(s, curl, item, why);
        pthread_mutex_lock(&s->lock);
        if (s->stop && outcome != TAKEN)
            return false;
        bool late =
            clock_system()->wall_ms(clock_system()) - item->since_ms >= s->options.give_up_ms;
        if (outcome == TAKEN)
            s->meters.delivered++;
        if (outcome == REFUSED || (outcome == TRY_AGAIN && late)) {
            s->meters.dropped++;
            log_warn("webhook: event %lld was dropped: %s", (long long)item->id, why);
        } else if (outcome == TRY_AGAIN) {
            s->meters.failed++;
            complain(complained_ms, "is tried again", item->id, why);
            if (!pause_ms(s, wait))
                return false;
            wait = wait * 2 < BACKOFF_MAX_MS ? wait * 2 : BACKOFF_MAX_MS;
            continue;
        }
        s->meters.settled_id = item->id;
        return true;
    }
}

static void *run(void *user)
{
    struct sender *s = user;
    CURL *curl = curl_easy_init();
    int64_t complained_ms = 0;
    pthread_mutex_lock(&s->lock);
    while (curl && !s->stop) {
        if (s->n == 0) {
            pthread_cond_wait(&s->wake, &s->lock);
            continue;
        }
        /* Its place stays taken meanwhile: nobody else touches the first one. */
        struct item *item = &s->queue[s->first];
        if (!deliver(s, curl, item, &complained_ms))
            break;
        free(item->body);
        item->body = NULL;
        s->first = (s->first + 1) % SENDER_QUEUE;
        s->n--;
        pthread_mutex_unlock(&s->lock);
        s->options.settled(s->options.user);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    curl_easy_cleanup(curl);
    return NULL;
}

/* ---- the owner's side ------------------------------------------------------------------------- */

static void init_locks(struct sender *s)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
}

enum status sender_start(struct sender *s, struct err *err)
{
    if (pthread_create(&s->thread, NULL, run, s) != 0)
        return err_set(err, ST_NOMEM, "cannot start the webhook's thread");
    s->started = true;
    return ST_OK;
}

enum status sender_create(struct sender **ret_sender, const struct sender_options *options,
                          struct err *err)
{
    struct sender *s = calloc(1, sizeof *s);
    if (s) {
        init_locks(s);
        s->options = *options;
        s->url = strdup(options->url);
        s->agent = strdup(options->agent);
        s->secret = malloc(options->secret_len + 1);
    }
    if (!s || !s->url || !s->agent || !s->secret || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        sender_destroy(s);
        return err_set(err, ST_NOMEM, "out of memory for the webhook");
    }
    memcpy(s->secret, options->secret, options->secret_len);
    *ret_sender = s;
    return ST_OK;
}

void sender_stop(struct sender *s)
{
    if (!s->started)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->started = false;
}

void sender_destroy(struct sender *s)
{
    if (!s)
        return;
    sender_stop(s);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    for (int i = 0; i < SENDER_QUEUE; i++)
        free(s->queue[i].body);
    if (s->secret)
        explicit_bzero(s->secret, s->options.secret_len);
    free(s->secret);
    free(s->agent);
    free(s->url);
    free(s);
}

bool sender_push(struct sender *s, int64_t id, int64_t since_ms, char *body)
{
    pthread_mutex_lock(&s->lock);
    bool room = s->n < SENDER_QUEUE;
    if (room) {
        s->queue[(s->first + s->n++) % SENDER_QUEUE] = (struct item){id, since_ms, body};
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

int sender_waiting(struct sender *s)
{
    pthread_mutex_lock(&s->lock);
    int n = s->n;
    pthread_mutex_unlock(&s->lock);
    return n;
}

struct sender_meters sender_meters(struct sender *s)
{
    pthread_mutex_lock(&s->lock);
    struct sender_meters m = s->meters;
    pthread_mutex_unlock(&s->lock);
    return m;
}
