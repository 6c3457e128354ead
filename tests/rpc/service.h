/* service.h - a JobService that behaves on demand, for the tests of the wire.
 *
 * Submit echoes: id = request_id; file_name "fail" fails with job_file as sentence, "bad reply"
 * answers what is not UTF-8. Get by id: "now" answers, "later" answers from another thread, "busy" is UNAVAILABLE, "never"
 * is held until service_release(), anything else is NOT_FOUND with the id in the sentence. Watch
 * sends `after` events and ends, or stays open if `follow`; id "late" registers its hook when the client
 * has left, "spoilt" sends what is not UTF-8 after the first event. Ping counts: jobs_running = open Watch
 * streams, jobs_queued = held calls. Every other method is UNIMPLEMENTED.
 */
#ifndef TESTS_RPC_SERVICE_H
#define TESTS_RPC_SERVICE_H

#include "rpc/rpc.h"

#include <pthread.h>

#define SERVICE_HELD_MAX 4096

struct service {
    struct rpc_server *server;
    pthread_mutex_t lock;
    struct rpc_call *held[SERVICE_HELD_MAX];
    unsigned n_held, n_watches;
};

/* Serves on address; *ret_port as in rpc_server_listen. */
enum status service_start(struct service *s, const char *address, int *ret_port, struct err *err);
/* The same with a guard and, unless files is NULL, certificates. */
enum status service_start_guarded(struct service *s, const char *address,
                                  const struct rpc_tls *files, rpc_guard_f guard, void *user,
                                  int *ret_port, struct err *err);
void service_release(struct service *s);            /* fails the held calls; more may come */
void service_stop(struct service *s, int grace_ms); /* stops and destroys; held calls stay held */

#endif
