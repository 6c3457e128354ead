/* webhook.h - every change of a job's state as a signed POST to one address. The loop's side.
 *
 * The store is the queue: what was delivered last is a mark in it, the rest is read after that mark, so nothing is
 * lost by a restart or by a receiver that is away for less than webhook.give_up_s; a change may come twice (its id
 * says so). A thread (sender.h) does the waiting. No thread where webhook.url is not set.
 */
#ifndef WEBHOOK_WEBHOOK_H
#define WEBHOOK_WEBHOOK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct config;
struct metrics_page;

/* What is wrong with the rows webhook.*; ST_OK when nothing is, or none is set. */
enum status webhook_check(const struct config *c, struct err *err);

/* Two pairs: what the thread settles after webhook_stop() began still reaches the loop's last pass. */
enum status webhook_create(struct daemon *d, struct err *err);
void webhook_destroy(struct daemon *d);
enum status webhook_start(struct daemon *d, struct err *err);
void webhook_stop(struct daemon *d);

void webhook_note_commit(struct daemon *d);
/* After a commit: hands over what the thread has room for. */
void webhook_pass(struct daemon *d);
/* Whether changes of the job that the receiver wants have not reached it; with its rows they would be gone. */
enum status webhook_owes(struct daemon *d, int64_t job_id, bool *ret_owes, struct err *err);
void webhook_meters(struct daemon *d, struct metrics_page *page);

#endif
