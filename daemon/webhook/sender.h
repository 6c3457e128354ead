/* sender.h - a thread that POSTs signed bodies in order, each until it was taken or given up. Knows nothing of jobs.
 *
 * The queue is bounded: sender_push() says no when it is full, and the caller keeps what it has elsewhere (the store).
 */
#ifndef WEBHOOK_SENDER_H
#define WEBHOOK_SENDER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SENDER_QUEUE 64
#define SENDER_SECRET_MAX 4096

struct sender_options {
    const char *url;    /* http:// or https:// */
    const void *secret; /* key of the signature */
    size_t secret_len;
    const char *agent; /* User-Agent */
    int64_t timeout_ms, retry_ms, give_up_ms;
    /* On the sender's thread, after a body was taken or given up. */
    void (*settled)(void *user);
    void *user;
};

struct sender_meters {
    uint64_t delivered, dropped, failed;
    int64_t settled_id; /* of the newest body that was taken or given up; 0 = none */
};

struct sender;

/* Copies what options point to. */
enum status sender_create(struct sender **ret_sender, const struct sender_options *options,
                          struct err *err);
enum status sender_start(struct sender *s, struct err *err);
/* Ends the thread; a delivery under way is broken off. What was not settled is not. */
void sender_stop(struct sender *s);
void sender_destroy(struct sender *s); /* NULL allowed */

/* Takes ownership of body (malloc'ed) when it returns true; false: the queue is full. since_ms: wall time from which
 * give_up_ms counts; a body that is older is tried once. */
bool sender_push(struct sender *s, int64_t id, int64_t since_ms, char *body);
int sender_waiting(struct sender *s); /* SENDER_QUEUE = it is full */
struct sender_meters sender_meters(struct sender *s);

/* "t=SECONDS,v1=HEX": HMAC-SHA256 of "SECONDS.BODY". Pure. */
#define SENDER_SIGNATURE_MAX 128
void sender_sign(char ret_signature[SENDER_SIGNATURE_MAX], const void *secret, size_t secret_len,
                 int64_t seconds, const char *body);

#endif
