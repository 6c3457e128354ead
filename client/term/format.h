/* format.h - numbers as people read them. Each writes into a small caller's array and returns it.
 */
#ifndef TERM_FORMAT_H
#define TERM_FORMAT_H

#include <stdint.h>

#define FORMAT_MAX 32

const char *
format_duration(char out[FORMAT_MAX],
                double seconds); /* "48 ms", "7.2 s", "3:07", "1:02:03", "3d 04:05"; "-" < 0 */
const char *format_size(char out[FORMAT_MAX], uint64_t bytes); /* "812 B", "4.2 MiB" */
const char *format_count(char out[FORMAT_MAX], uint64_t n);    /* "1,234,567" */
const char *format_percent(char out[FORMAT_MAX], double part); /* "64.4 %" */
const char *format_time(char out[FORMAT_MAX],
                        int64_t wall_ms); /* local "2026-01-31 12:34:56"; "-" for 0 */
const char *format_clock(char out[FORMAT_MAX], int64_t wall_ms); /* local "12:34:56" */

#endif
