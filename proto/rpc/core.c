/* core.c - gRPC's start, its silence, and what ThreadSanitizer must be told.
 *
 * There is no end: grpc_shutdown() waits up to ten seconds for gRPC's own poller of sockets whose buffer was
 * full once, so that a client that sent a large job file would hang at its exit. What gRPC keeps for the
 * life of the process is bounded and reachable, leak checkers have nothing to say.
 */
#include "rpc/core.h"

#include <grpc/support/log.h>
#include <stdlib.h>

#if defined(__SANITIZE_THREAD__)
#define RPC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RPC_TSAN 1
#endif
#endif

#ifdef RPC_TSAN
#include <sanitizer/tsan_interface.h>

void rpc_publish(void *tag)
{
    __tsan_release(tag);
}

void rpc_observe(void *tag)
{
    __tsan_acquire(tag);
}
#else
void rpc_publish(void *tag)
{
    (void)tag;
}

void rpc_observe(void *tag)
{
    (void)tag;
}
#endif

static void silent(gpr_log_func_args *args)
{
    (void)args;
}

static void start(void)
{
    /* What a peer does must not write into a daemon's log; a person who debugs sets the variable. */
    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_function(silent);
    grpc_init();
}

void rpc_core_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}
