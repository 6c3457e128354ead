/* daemon_bed.h - a whole coordinator in the fuzzer's process, without gRPC and without worker processes.
 *
 * rpc.h's server half is replaced (daemon_bed.c): handlers are called directly, and what they answer is held against
 * what they owe: one answer a call, of the right type, valid UTF-8, a failure with a sentence. The store and the jobs'
 * folders lie in memory (/dev/shm). Job 1 runs, has left a log, a checkpoint and a result, and never ends; job 2 has ended, job 3 waits. The bed is used for many
 * inputs and then made anew; the first input of a process finds it fresh, so that a crash can be repeated.
 */
#ifndef TESTS_FUZZ_DAEMON_BED_H
#define TESTS_FUZZ_DAEMON_BED_H

#include "daemon.h"
#include "rpc/rpc.h"

#include <stddef.h>
#include <stdint.h>

/* Begins an input; borrowed. */
struct daemon *bed_begin(void);
/* Ends it: open streams are left by their clients, every call must have been answered. */
void bed_end(void);
void bed_spoil(void); /* the next input gets a new bed */

/* A method by its name ("Get"), or by any number: the one whose name's letters have this sum, so that a corpus outlives
 * new methods, else any. */
size_t bed_method(const char *name);
size_t bed_method_by_sum(unsigned sum);

/* Calls a method as a caller of that role (service/access.h) would: checked and unpacked as proto/rpc does, unless the
 * role may not call it; the folder "/bed" becomes that of the bed, where a file `data` lies. Returns when the answer is there or, for a stream, when nothing more comes. */
void bed_call_bytes(size_t method, int role, const uint8_t *data, size_t len);
/* The same with a message that is freed by it. */
void bed_call(size_t method, int role, ProtobufCMessage *request);

/* Our own fault if this does not hold: stops the fuzzer. */
#define BED_REQUIRE(what)                                                                          \
    do {                                                                                           \
        if (!(what))                                                                               \
            bed_broken(#what, __FILE__, __LINE__);                                                 \
    } while (0)
_Noreturn void bed_broken(const char *what, const char *file, int line);

#endif
