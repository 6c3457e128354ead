/* err.h - one code space and one sentence for every failure of the control plane.
 *
 * A function that can fail returns enum status and takes `struct err *err` last (NULL allowed).
 * On failure err holds one sentence with the value, the place and what to do; ret_ out-parameters
 * are untouched. Libraries never print, log or exit. The engine's operators use the sticky error of
 * struct ctx instead (engine/core/ctx.h), which is built on this one.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/* name, text, exit code of a program that ends with it (docs/spec/exit-codes.md) */
#define STATUS_LIST(X)                                                                             \
    X(ST_OK, "ok", 0)                                                                              \
    X(ST_INVALID, "invalid input", 2)                                                              \
    X(ST_NOT_FOUND, "not found", 3)                                                                \
    X(ST_EXISTS, "already exists", 4)                                                              \
    X(ST_STATE, "not possible in this state", 5)                                                   \
    X(ST_LIMIT, "limit exceeded", 6)                                                               \
    X(ST_DENIED, "permission denied", 7)                                                           \
    X(ST_UNAVAILABLE, "unavailable", 8)                                                            \
    X(ST_TIMEOUT, "timed out", 9)                                                                  \
    X(ST_CANCELLED, "cancelled", 10)                                                               \
    X(ST_IO, "input/output error", 11)                                                             \
    X(ST_CORRUPT, "corrupt data", 12)                                                              \
    X(ST_NOMEM, "out of memory", 13)                                                               \
    X(ST_NUMERIC, "numerical failure", 14)                                                         \
    X(ST_UNSUPPORTED, "not supported", 15)                                                         \
    X(ST_INTERNAL, "internal error", 16)

#define STATUS_ENUM(name, text, code) name,
enum status { STATUS_LIST(STATUS_ENUM) STATUS_COUNT };
#undef STATUS_ENUM

#define ERR_TEXT_MAX 512

struct err {
    enum status code;
    char text[ERR_TEXT_MAX];
};

#if defined(__GNUC__)
#define BASE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define BASE_PRINTF(fmt, args)
#endif

const char *status_name(enum status st);
const char *status_text(enum status st);
int status_exit_code(enum status st);
/* Nothing is wrong with what was asked for: later it may succeed (a full disk, a full process table, a file server that
 * is away). */
bool status_is_passing(enum status st);

/* Sets code and sentence, returns code, so that a check is one line:
 *     return err_set(err, ST_INVALID, "lr must be > 0, got %g", lr);                      */
enum status err_set(struct err *err, enum status code, const char *fmt, ...) BASE_PRINTF(3, 4);

/* As err_set, with strerror(errno) appended; code chosen from errno (ENOENT -> ST_NOT_FOUND,
 * EACCES -> ST_DENIED, what there is too much of (ENOSPC, EDQUOT, EMFILE, ENFILE, EAGAIN) -> ST_LIMIT,
 * ENOMEM -> ST_NOMEM, a program that cannot be one (ENOEXEC) -> ST_INVALID, else ST_IO).      */
enum status err_errno(struct err *err, const char *fmt, ...) BASE_PRINTF(2, 3);

/* Puts "prefix: " before the sentence that err already holds; returns its code. */
enum status err_prefix(struct err *err, const char *fmt, ...) BASE_PRINTF(2, 3);

/* The analyser does not follow variadic calls, and would believe that a failure may be ST_OK. */
#ifdef __clang_analyzer__
#define err_set(err, code, ...) (err_set((err), (code), __VA_ARGS__), (code))
#define err_errno(...) (err_errno(__VA_ARGS__), ST_IO)
#define err_prefix(...) (err_prefix(__VA_ARGS__), ST_IO)
#endif

/* Passes a failure on from a function that owns nothing yet. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum status try_st_ = (call);                                                              \
        if (try_st_ != ST_OK)                                                                      \
            return try_st_;                                                                        \
    } while (0)

#endif
