/* job_text.h - a job's parts in words: states and their colours, events as lines, findings, the
 * plan. */
#ifndef CLIENT_JOB_TEXT_H
#define CLIENT_JOB_TEXT_H

#include "client/cli.h"
#include "jobfile/jobfile.h"

const char *state_text(Espalier__V1__JobState state, char out[16]); /* "RUNNING" */
enum style state_style(Espalier__V1__JobState state);

/* "structure  version 4: 71.3 % kept ..." without time and newline; kind and text apart by two
 * spaces. */
void event_text(struct buf *out, const struct term *t, const Espalier__V1__Event *event);

/* Findings as a compiler prints them, with the line of the job file and a caret below. text may be
 * NULL. */
void findings_text(struct buf *out, const struct term *t, const char *file_name, const char *text,
                   size_t len, const struct findings *findings);

/* A row of a job or a plan: its name, then what the caller adds and ends. */
void row_begin(struct buf *out, const struct term *t, const char *name);
/* A whole one; nothing for an empty text. */
void row_text(struct buf *out, const struct term *t, const char *name, const char *text);

void plan_text(struct buf *out, const struct term *t, const Espalier__V1__Plan *plan);

#endif
