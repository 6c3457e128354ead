/* findings.h - the faults of a text file, each with its place: of job files and of the daemon's configuration. */
#ifndef JOBFILE_FINDINGS_H
#define JOBFILE_FINDINGS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/term.h"

#include <stdbool.h>

#define JOBFILE_MAX_FINDINGS 200

struct finding {
    bool warning;     /* else an error: the job is refused */
    int line, column; /* 1-based; 0 = no single place */
    char key[96];
    char text[384];
};

struct findings {
    struct finding *list; /* owned */
    int n, errors;
    bool truncated; /* more than JOBFILE_MAX_FINDINGS */
};
void findings_fini(struct findings *f);
void findings_add(struct findings *f, bool warning, int line, int column, const char *key,
                  const char *fmt, ...) BASE_PRINTF(6, 7);

/* One finding as people read it, with its line's end: "job.yaml:12:5: error: phases.serach: no such key; nearest is
 * phases.search". */
void finding_print(struct buf *out, const struct term *t, const char *file_name,
                   const struct finding *f);

#endif
