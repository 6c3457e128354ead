/* slurm_words.h - which words of a job file may become options of sbatch. Pure; shared by the job file's check and by
 * the daemon, which checks again before it writes a script. */
#ifndef JOBFILE_SLURM_WORDS_H
#define JOBFILE_SLURM_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* One value: printable ASCII without blanks, quotes, backslash, $, `, ; and #. "" is allowed. */
bool slurm_word_ok(const char *word);

/* Options with blanks between them, each "--name" or "--name=value", none of those that espalier sets itself.
 * On false, why says what is wrong. */
bool slurm_options_ok(const char *options, char *why, size_t size);

#endif
