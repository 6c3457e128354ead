/* job_view.h - what a followed job looks like now: fed with events, drawn as a block of lines. No I/O. */
#ifndef CLIENT_JOB_VIEW_H
#define CLIENT_JOB_VIEW_H

#include "client/cli.h"

#define VIEW_PHASES_MAX 16
#define VIEW_EVENTS_MAX 8
#define VIEW_METRICS_MAX 48
#define VIEW_TEXT_MAX 400

struct view_phase {
    char name[16];
    uint64_t step, steps; /* steps 0 = not known */
    double seconds;       /* once done; < 0 before */
};

struct view_metric {
    char name[48];
    double value;
};

struct job_view {
    char id[24], name[80];
    Espalier__V1__JobState state;
    char text[VIEW_TEXT_MAX]; /* of the last change of state */
    uint32_t attempt;
    int64_t submitted_ms, started_ms, ended_ms;
    int nphases, current; /* current -1: none yet */
    struct view_phase phase[VIEW_PHASES_MAX];
    bool any_progress;
    double loss, kept, target, step_seconds, eta_seconds;
    int64_t progress_ms;
    int nevents; /* the newest last */
    struct view_event {
        int64_t time_ms;
        char text[VIEW_TEXT_MAX];
    } event[VIEW_EVENTS_MAX];
    int nmetrics;
    struct view_metric metric[VIEW_METRICS_MAX];
    bool lost; /* no connection at present */
};

/* Plans the phases from the job's own file. */
void job_view_init(struct job_view *v, const Espalier__V1__Job *job);
void job_view_event(struct job_view *v, const struct term *t, const Espalier__V1__Event *event);
/* Lines, each ended by \n; the term gives width, height, colours. */
void job_view_draw(const struct job_view *v, const struct term *t, int64_t now_ms, struct buf *out);

#endif
