/* scratch.h - a temp folder for one test, and small files in it. Failures are assertions. */
#ifndef TESTS_DATA_SCRATCH_H
#define TESTS_DATA_SCRATCH_H

#include <stddef.h>

struct scratch {
    char dir[64];
    char path[512]; /* of the last scratch_path() */
};

void scratch_init(struct scratch *s);
void scratch_fini(struct scratch *s); /* removes the folder and all in it */
const char *scratch_path(struct scratch *s, const char *name); /* valid until the next call */
const char *scratch_write(struct scratch *s, const char *name, const void *data, size_t len);
const char *scratch_text(struct scratch *s, const char *name, const char *text);
/* A PNG of one colour. */
void scratch_png(struct scratch *s, const char *name, int width, int height, unsigned rgb);

#endif
