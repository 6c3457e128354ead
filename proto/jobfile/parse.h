/* parse.h - the state of one jobfile_parse(), shared by its steps. Inside jobfile only.
 *
 * Order: defaults -> read.c (YAML events; each value through scalar.c) -> overrides (scalar.c
 * again) -> check.c (what needs several keys). Every step adds findings and goes on; a key with a
 * bad value is marked, so that no later check complains about what follows from it.
 */
#ifndef JOBFILE_PARSE_H
#define JOBFILE_PARSE_H

#include "jobfile/schema.h"

struct place {
    int line, column; /* of the value; 0 = default or --set */
    bool set, bad;
};

struct parse {
    struct jobfile *job;
    struct findings *findings; /* the caller's */
    const struct jobfile_source *source;
    bool broken; /* syntax error: what was read is not all there is */
    bool nomem;
    struct place place[KEY_COUNT];
};

struct scalar {
    const char *text; /* NUL-terminated UTF-8 without NUL inside */
    bool quoted;      /* "12" is a text, 12 a number */
    int line, column;
};

/* Checks and stores one value; a fault becomes a finding. */
void scalar_assign(struct parse *p, int key, const struct scalar *value);

/* Walks the YAML text. */
void read_yaml(struct parse *p, const char *text, size_t len);
/* One --set: the value is read as a YAML scalar. */
void read_override(struct parse *p, const struct jobfile_override *over);

void check_all(struct parse *p);
void check_slurm(struct parse *p);     /* its part of it; check_slurm.c */
void check_structure(struct parse *p); /* the same; check_structure.c */
/* The search of the job starts on this one; fails where it is of another model. check_structure.c */
enum status start_frozen(struct jobfile *job, const char *json, size_t len, struct err *err);
/* Whether the path lies in one of p->roots; else a finding. roots.c */
bool check_root(struct parse *p, int key, const char *path);

/* A finding at the place where the key was given. */
void complain(struct parse *p, int key, bool warning, const char *fmt, ...) BASE_PRINTF(4, 5);

/* Number of bytes before the first that is not UTF-8 text (no NUL, no control but \t \n \r); len if
 * all is. */
size_t text_valid(const char *text, size_t len);

/* Model numbers with `size` filled in, for the row of a model.* number; the stored value otherwise.
 * plan.c */
int64_t effective_int(const struct jobfile *job, int key);

/* Words in the list, one a line; 0 when it cannot be read. plan.c */
int64_t vocabulary_lines(const char *path);

/* Shape and frame of the job; a vocabulary that cannot be read here counts as its special words
 * alone, so that the counts are a lower bound. The caller destroys *ret_frame. plan.c */
enum status plan_frame(const struct jobfile *job, struct model_shape *ret_shape,
                       struct frame **ret_frame, struct err *err);

#endif
