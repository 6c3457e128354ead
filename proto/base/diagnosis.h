/* diagnosis.h - one line of what a doctor found, the client's and the daemon's alike. */
#ifndef BASE_DIAGNOSIS_H
#define BASE_DIAGNOSIS_H

#include "base/term.h"

/* Borrowed. */
struct diagnosis {
    const char *result; /* OK, WARNING, FAULT, SKIPPED */
    const char *name;   /* of what was looked at */
    const char *text;
    const char *remedy; /* "" = none is needed */
};

void diagnosis_print(struct buf *out, const struct term *t, const struct diagnosis *d);

#endif
