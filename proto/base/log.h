/* log.h - one line a message to stderr: "2026-01-31T12:34:56Z INFO  who: text".
 * Only programs (main, services, recipes) log; libraries return errors. Thread-safe: one write a line. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_init(const char *who, enum log_level least); /* who is borrowed for the process's life */
void log_at(enum log_level level, const char *fmt, ...) BASE_PRINTF(2, 3);

#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

#endif
