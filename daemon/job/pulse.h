/* pulse.h - what the ranks of an attempt say of themselves in its folder: rank-R files, and stacks on request.
 *
 * The files are evidence about progress only. Nothing here ends a process: SIGUSR2 goes to a process that is told apart by pid,
 * start time and boot id and that catches the signal (docs/spec/worker-environment.md).
 */
#ifndef JOB_PULSE_H
#define JOB_PULSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PULSE_RANKS_MAX 4096

enum pulse_at { PULSE_START, PULSE_COMPUTE, PULSE_SUM, PULSE_EVALUATE, PULSE_GATHER, PULSE_DONE };

struct pulse {
    pid_t pid;
    uint64_t start_time;
    char boot_id[40], host[64];
    uint64_t beats; /* marks made so far */
    int64_t step;   /* total_step of the newest */
    enum pulse_at at;
    int64_t time_ms;
};

/* False: no such file, or its text is none (a write was under way). */
bool pulse_parse(const char *text, struct pulse *ret_pulse);
bool pulse_read(const char *attempt_dir, int rank, struct pulse *ret_pulse);
const char *pulse_at_text(enum pulse_at at); /* "computes", for people */

/* Marks of all ranks together; *ret_found: ranks whose file could be read. */
uint64_t pulse_beats(const char *attempt_dir, int ranks, int *ret_found);
/* The rank that the others wait for: least step, then least place in the step, then one whose process does not run (stopped, gone,
 * in an uninterruptible wait), then least number. -1: no rank's file can be read. *ret_alone: it differs from another
 * in one of the first three. */
int pulse_behind(const char *attempt_dir, int ranks, struct pulse *ret_pulse, bool *ret_alone);

/* Asks the rank for its stack; false if it is not a process of this host, or does not catch the signal. An older stack is
 * removed first. */
bool pulse_ask_stack(const char *attempt_dir, int rank, const struct pulse *p);
/* One line: the kernel's word on the process and, if it has come, its stack, innermost frame first. "" if there is neither. */
void pulse_describe(const char *attempt_dir, int rank, const struct pulse *p, char *out,
                    size_t size);

#endif
